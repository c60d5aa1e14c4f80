"""What is true of one item, given who said what and how reliable they are."""

from collections.abc import Hashable, Mapping, Sequence
from math import exp, fsum, inf, log
from typing import Any

from trueloop.reviewers.dawid_skene import DawidSkene
from trueloop.reviewers.expectation_maximisation import COMPETENCE

_SUREST = 1e-9
"""No accuracy counts as closer to 0 or 1 than this: one reviewer never decides alone, whatever their record."""


def item_truth(
    votes: Mapping[Any, Hashable],
    accuracies: Mapping[Any, float],
    categories: Sequence[Hashable],
    *,
    prevalence: Sequence[float] | None = None,
    weights: Mapping[Any, float] | None = None,
) -> dict[Hashable, float] | None:
    """Return the probability of each category of an item; None without votes that count.

    Each reviewer is right with their own probability, and when wrong says any other category alike (the one-coin model). For a Beta posterior
    of an accuracy its mean is to be given: a reviewer speaks once of an item, so the chance to be right is that mean exactly.

    Args:
        votes: Reviewer -> category.
        accuracies: Reviewer -> chance to be right, [0, 1]; a reviewer without one does not count. Below 1 / categories a vote speaks against what it
            says.
        categories: What can be true, at least one.
        prevalence: Share of items of each category, in their order; all alike when left out.
        weights: Reviewer -> exponent of their vote, [0, 1], such as a half for each of two accounts of the same person; 1 when left out.

    Raises:
        ValueError: A vote is no category, or prevalence and categories differ in length.

    Reference: Zhang, Y., Chen, X., Zhou, D., Jordan, M. I. (2016). Spectral methods meet EM. JMLR 17(102), equation 2 (one-coin Dawid-Skene).

    >>> found = item_truth({"ada": 1, "ben": 0}, {"ada": 0.9, "ben": 0.6}, (0, 1))
    >>> round(found[1], 3)
    0.857
    """
    if prevalence is not None and len(prevalence) != len(categories):
        raise ValueError(f"{len(prevalence)} prevalences for {len(categories)} categories; expected one each")
    heard = {reviewer: value for reviewer, value in votes.items() if reviewer in accuracies and (weights is None or weights.get(reviewer, 1.0) > 0)}
    if not heard:
        return None
    for value in heard.values():
        if value not in categories:
            raise ValueError(f"a vote is none of the {len(categories)} categories; expected one of them")
    weighed = [(value, accuracies[reviewer], 1.0 if weights is None else weights.get(reviewer, 1.0)) for reviewer, value in heard.items()]
    return _posterior(weighed, categories, prevalence)


def fitted_truth(
    votes: Mapping[Any, Hashable], model: DawidSkene | None, categories: Sequence[Hashable], *, weights: Mapping[Any, float] | None = None
) -> dict[Hashable, float] | None:
    """Return the probability of each category of an item by a fitted model; None without votes that count.

    The expectation step of Dawid and Skene for one item, which need not be among those that the model was fitted to: each reviewer by their own
    errors, which may be different ones for different truths. Who was not fitted, or said what no reviewer had said before, is taken for right
    with `COMPETENCE`, as the fit's smoothing takes them; so is everybody without a model.

    Args:
        votes: Reviewer -> category.
        model: The fitted model; None, or one without categories, before the first fit.
        categories: What can be true without a model. With one it is what the model has seen and what was said here.
        weights: Reviewer -> exponent of their vote, [0, 1]; 1 when left out.

    Raises:
        ValueError: Without a model, a vote is no category.

    Reference: Dawid, A. P., Skene, A. M. (1979). Applied Statistics 28, 20-28, equation 2.5.

    >>> found = fitted_truth({"ada": 1, "ben": 1, "cleo": 0}, None, (0, 1))
    >>> round(found[1], 3)
    0.7
    """
    if model is None or not model.categories:
        return item_truth(votes, dict.fromkeys(votes, COMPETENCE), categories, weights=weights)
    exponents = {reviewer: 1.0 if weights is None else weights.get(reviewer, 1.0) for reviewer in votes}
    heard = {reviewer: value for reviewer, value in votes.items() if exponents[reviewer] > 0}
    if not heard:
        return None
    seen = {category: place for place, category in enumerate(model.categories)}
    possible = (*model.categories, *sorted({value for value in heard.values() if value not in seen}, key=repr))
    scores: list[float] = []
    for category in possible:
        # What the fit never saw is thought as frequent as the rarest that it saw.
        share = model.prevalence[seen[category]] if category in seen else min(model.prevalence)
        chances = (exponents[reviewer] * log(_chance(model, reviewer, truth=category, said=value, k=len(possible))) for reviewer, value in heard.items())
        scores.append(fsum((log(max(share, _SUREST)), *chances)))
    return _normalised(scores, possible)


def _chance(model: DawidSkene, reviewer: Any, *, truth: Hashable, said: Hashable, k: int) -> float:
    """Return how often a reviewer who is shown `truth` says `said`, within (0, 1)."""
    rows = model.confusion.get(reviewer)
    if rows is not None and truth in model.categories and said in model.categories:
        row = rows[model.categories.index(truth)]
        if row is not None:
            return min(max(row[model.categories.index(said)], _SUREST), 1 - _SUREST)
    return COMPETENCE if said == truth else (1 - COMPETENCE) / max(k - 1, 1)


def _posterior(votes: Sequence[tuple[Hashable, float, float]], categories: Sequence[Hashable], prevalence: Sequence[float] | None) -> dict[Hashable, float]:
    """Return the posterior from votes with accuracy and exponent each."""
    k = len(categories)
    scores = [0.0] * k if prevalence is None else [log(share) if share > 0 else -inf for share in prevalence]
    for value, accuracy, exponent in votes:
        right = min(max(accuracy, _SUREST), 1 - _SUREST)
        wrong = (1 - right) / (k - 1) if k > 1 else 1.0
        scores = [score + exponent * log(right if category == value else wrong) for score, category in zip(scores, categories, strict=True)]
    return _normalised(scores, categories)


def _normalised(scores: Sequence[float], categories: Sequence[Hashable]) -> dict[Hashable, float]:
    highest = max(scores)
    shares = [exp(score - highest) for score in scores]
    total = fsum(shares)
    return {category: share / total for category, share in zip(categories, shares, strict=True)}


def p_correct(votes: Mapping[Any, int], accuracies: Mapping[Any, float], *, weights: Mapping[Any, float] | None = None) -> float | None:
    """Return the probability that the order of two candidates is right; None when nobody who counts saw a difference.

    Args:
        votes: Reviewer -> 1 for the order, -1 against it, 0 for a tie, which speaks for neither.
        accuracies: Reviewer -> chance to be right on a pair, [0, 1]; a reviewer without one does not count.
        weights: Reviewer -> exponent of their vote, [0, 1]; 1 when left out.

    Raises:
        ValueError: A vote is not 1, 0 or -1.

    >>> round(p_correct({"ada": 1, "ben": 1, "cleo": -1}, {"ada": 0.9, "ben": 0.7, "cleo": 0.7}), 3)
    0.9
    """
    for vote in votes.values():
        if vote not in (-1, 0, 1):
            raise ValueError("a vote is not 1, 0 or -1; expected 1 for the order, -1 against it, 0 for a tie")
    found = item_truth({reviewer: vote for reviewer, vote in votes.items() if vote}, accuracies, (1, -1), weights=weights)
    return None if found is None else found[1]
