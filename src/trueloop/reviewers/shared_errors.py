"""Reviewers who make the same mistakes: two accounts of one person, or people who agreed on what to say."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import exp, log
from typing import Any

from trueloop.estimates.beta import binomial_tail
from trueloop.estimates.frame import Column, aligned, cells
from trueloop.reviewers.expectation_maximisation import COMPETENCE

MIN_ERRORS = 5
"""Items with an error of either below which a pair is not judged."""
_ROUNDS = 10
SURE = 0.8
"""Probability from which others say what is true: two of them who agree, or one who is excellent."""
_LEAST = 0.01
"""No accuracy counts as closer to 0 or 1: nobody decides alone."""


@dataclass(frozen=True, slots=True)
class SharedErrors:
    """What two reviewers have in common where at least one of them is wrong.

    Attributes:
        first: A reviewer.
        second: Another.
        n_items: Items that both judged, and of which gold or the others say what is true.
        n_errors: Those on which at least one was wrong.
        n_shared: Those on which both said the same wrong thing.
        share: n_shared / n_errors; None without errors.
        expected: The share that their own rates of errors would give, if they erred as independently as other pairs do.
        p_value: Chance of as many or more; None for fewer than `MIN_ERRORS` errors.
        flagged: Whether they share more than chance gives, with the rate of false flags under control.
    """

    first: Hashable
    second: Hashable
    n_items: int
    n_errors: int
    n_shared: int
    share: float | None
    expected: float | None = None
    p_value: float | None = None
    flagged: bool = False


def shared_errors(
    items: Column,
    reviewers: Column,
    values: Column,
    truths: Mapping[Any, Any] | None = None,
    *,
    accuracies: Mapping[Any, float] | None = None,
    data: Any = None,
    false_discovery_rate: float = 0.01,
) -> tuple[SharedErrors, ...]:
    """Return every pair of reviewers that judged common items, those that share the most errors first.

    What is wrong is said by gold, and where there is none by the *other* reviewers of the item, when they are sure of it: a truth in which the
    pair has a say would make two accounts that always agree look right. The others may err too, a careless one above all: then two who are right
    seem to share an error, so what is expected counts how sure the others are (`_Counts.expected_share`). But people err on the same hard items
    without knowing of each other. So the yardstick is that share times a factor, at least 1: what all pairs share, over what they would if they were
    independent, pairs with one voice (`same_voice`) left out. Where most reviewers collude, they are the yardstick, and only gold helps.

    Args:
        items: What was judged.
        reviewers: By whom; one row per judgement. A later row of the same reviewer and item replaces an earlier one.
        values: What they said; a missing value (None, NaN) does not count.
        truths: Gold items -> what is true.
        accuracies: Reviewer -> chance to be right, (0, 1), from a fit that is anchored by gold; who is not named counts by how often they are seen to err.
        data: Data frame; then columns may be given by name.
        false_discovery_rate: Expected share of false flags among all flags, (0, 1).

    Raises:
        ValueError: Columns differ in length.

    References: Benjamini, Y., Hochberg, Y. (1995), JRSS B 57, 289-300. That agreement on errors shows copying: Wesolowsky, G. O. (2000). Detecting
    excessive similarity in answers on multiple choice exams. Journal of Applied Statistics 27, 909-921.

    >>> said = {"ada": [1] * 8, "ben": [0] * 6 + [1] * 2, "cleo": [0] * 6 + [1] * 2}
    >>> pairs = shared_errors(list(range(8)) * 3, [name for name in said for _ in range(8)], sum(said.values(), []), dict.fromkeys(range(8), 1))
    >>> pairs[0].first, pairs[0].second, pairs[0].n_shared, pairs[0].n_errors
    ('ben', 'cleo', 6, 6)
    """
    given = cells(items, data), cells(reviewers, data), cells(values, data)
    aligned(items=given[0], reviewers=given[1], values=given[2])
    said: dict[Hashable, dict[Hashable, Any]] = defaultdict(dict)
    for item, reviewer, value in zip(*given, strict=True):
        if value is not None:
            said[item][reviewer] = value
    return _settled(said, truths or {}, accuracies or {}, false_discovery_rate)


def same_voice(pairs: Sequence[SharedErrors], least_share: float = 0.8) -> dict[Hashable, float]:
    """Return the weight of each reviewer who speaks with the voice of others: 1 / size of the group that flagged pairs connect.

    Only pairs that share at least `least_share` of their errors count: those are one person or one source. Others count fully and are absent.

    >>> same_voice([SharedErrors("a", "b", 50, 10, 9, 0.9, flagged=True), SharedErrors("c", "d", 50, 10, 4, 0.4, flagged=True)])
    {'a': 0.5, 'b': 0.5}
    """
    group_of: dict[Hashable, set[Hashable]] = {}
    for pair in pairs:
        if pair.flagged and pair.share is not None and pair.share >= least_share:
            joined = group_of.get(pair.first, {pair.first}) | group_of.get(pair.second, {pair.second})
            group_of |= dict.fromkeys(joined, joined)
    return {reviewer: 1 / len(group_of[reviewer]) for reviewer in sorted(group_of, key=repr)}


@dataclass(frozen=True, slots=True)
class _Counts:
    """Of a pair: items, errors of the first, of the second, of either, and shared; the sum of the probabilities that the others are right."""

    items: int = 0
    first: int = 0
    second: int = 0
    either: int = 0
    shared: int = 0
    sure: float = 0.0

    def expected_share(self, first: float, second: float) -> float:
        """Return the share of errors that are shared by two who err with rates a and b and know nothing of each other; 0 without an item.

        Where the others are right with probability q, the two seem to share an error with probability q ab + (1 - q)(1 - a)(1 - b), and neither
        seems to err with probability q (1 - a)(1 - b) + (1 - q) ab. Both are summed over the items.
        """
        both_err, both_right = first * second, (1 - first) * (1 - second)
        unsure = self.items - self.sure
        either = self.items - self.sure * both_right - unsure * both_err
        return (self.sure * both_err + unsure * both_right) / either if either > 0 else 0.0


def _settled(
    said: Mapping[Hashable, Mapping[Hashable, Any]], truths: Mapping[Any, Any], accuracies: Mapping[Any, float], rate: float
) -> tuple[SharedErrors, ...]:
    """Flag pairs, and again with one vote for each voice that was found, until no other voice is found.

    Who has no accuracy counts as competent at first, and then by how often they were seen to err.
    """
    names = {reviewer for by_reviewer in said.values() for reviewer in by_reviewer}
    odds = {name: _log_odds(accuracies.get(name, COMPETENCE)) for name in names}
    seen = _error_rates(_counted(said, truths, odds)) if names - accuracies.keys() else {}
    odds = {name: _log_odds(accuracies.get(name, 1 - seen.get(name, 1 - COMPETENCE))) for name in names}
    voices: dict[Hashable, float] = {}
    for _ in range(_ROUNDS):
        weights = {reviewer: each * voices.get(reviewer, 1.0) for reviewer, each in odds.items()}
        pairs = _flagged(_counted(said, truths, weights), voices, rate)
        found = same_voice(pairs)
        if found == voices:
            break
        voices = found
    return pairs


def _log_odds(accuracy: float) -> float:
    held = min(max(accuracy, _LEAST), 1 - _LEAST)
    return log(held / (1 - held))


def _counted(
    said: Mapping[Hashable, Mapping[Hashable, Any]], truths: Mapping[Any, Any], weights: Mapping[Hashable, float]
) -> dict[tuple[Hashable, Hashable], _Counts]:
    counts: dict[tuple[Hashable, Hashable], _Counts] = {}
    for item, by_reviewer in said.items():
        votes: dict[Any, float] = defaultdict(float)
        for reviewer, value in by_reviewer.items():
            votes[value] += weights[reviewer]
        ordered = sorted(by_reviewer.items(), key=lambda each: (type(each[0]).__name__, repr(each[0])))
        for (first, one), (second, other) in combinations(ordered, 2):
            if item in truths:
                truth, sure = truths[item], 1.0
            else:
                rest = dict(votes)
                rest[one] -= weights[first]
                rest[other] -= weights[second]
                truth, sure = _likeliest(rest)
                if sure < SURE:
                    continue
            had, wrong = counts.get((first, second), _Counts()), (one != truth, other != truth)
            shared = had.shared + (one == other != truth)
            counts[first, second] = _Counts(
                had.items + 1, had.first + wrong[0], had.second + wrong[1], had.either + any(wrong), shared, had.sure + sure
            )  # fmt: skip
    return counts


def _likeliest(scores: Mapping[Any, float]) -> tuple[Any, float]:
    """Return the value that votes make likeliest, and its probability, given the sum of their log odds by value.

    Where only one value was named, there is another one that nobody named: an always-flipper who stands alone speaks for it, but does not name it.
    """
    highest = max((*scores.values(), 0.0))
    total = sum(exp(score - highest) for score in scores.values()) + (exp(-highest) if len(scores) == 1 else 0.0)
    return max(((value, exp(score - highest) / total) for value, score in scores.items()), key=lambda each: each[1])


def _error_rates(counts: Mapping[tuple[Hashable, Hashable], _Counts]) -> dict[Hashable, float]:
    """Return how often each reviewer errs; one error of two more than were seen, so that nobody counts as infallible.

    Who is right with probability 1 - a seems to err where the others do: in a share r = qa + (1 - q)(1 - a) of the items, which is solved for a.
    """
    totals: dict[Hashable, tuple[float, float, float]] = defaultdict(lambda: (1.0, 2.0, 2.0))
    for (first, second), count in counts.items():
        for reviewer, errors in ((first, count.first), (second, count.second)):
            seen, items, sure = totals[reviewer]
            totals[reviewer] = seen + errors, items + count.items, sure + count.sure
    found = {reviewer: (errors / items, sure / items) for reviewer, (errors, items, sure) in totals.items()}
    solved = {reviewer: (r - (1 - q)) / (2 * q - 1) for reviewer, (r, q) in found.items()}
    return {reviewer: min(max(a, 1 / totals[reviewer][1]), 1 - 1 / totals[reviewer][1]) for reviewer, a in solved.items()}


def _flagged(counts: Mapping[tuple[Hashable, Hashable], _Counts], voices: Mapping[Hashable, float], rate: float) -> tuple[SharedErrors, ...]:
    rates = _error_rates(counts)
    ordered = sorted(counts.items(), key=lambda each: (repr(each[0][0]), repr(each[0][1])))
    pairs = [SharedErrors(*pair, n.items, n.either, n.shared, n.shared / n.either if n.either else None) for pair, n in ordered]
    alone = [count.expected_share(rates[first], rates[second]) for (first, second), count in ordered]
    apart = [place for place, pair in enumerate(pairs) if not (pair.first in voices and pair.second in voices)]
    # One shared error more than was seen, so that a panel without any is no proof that there can be none.
    factor = max(1.0, (sum(pairs[place].n_shared for place in apart) + 1) / (sum(pairs[place].n_errors * alone[place] for place in apart) + 1))
    pairs = [_tested(pair, min(1.0, share * factor)) for pair, share in zip(pairs, alone, strict=True)]
    flags = _discoveries([pair.p_value for pair in pairs], rate)
    return tuple(sorted((replace(pair, flagged=place in flags) for place, pair in enumerate(pairs)), key=_rank))


def _tested(pair: SharedErrors, expected: float) -> SharedErrors:
    judged = pair.n_errors >= MIN_ERRORS
    return replace(pair, expected=expected, p_value=binomial_tail(pair.n_shared, pair.n_errors, expected) if judged else None)


def _rank(pair: SharedErrors) -> tuple[bool, float, float, str]:
    return not pair.flagged, 2.0 if pair.p_value is None else pair.p_value, -(pair.share or 0.0), repr((pair.first, pair.second))


def _discoveries(p_values: Sequence[float | None], rate: float) -> set[int]:
    """Return the places that Benjamini and Hochberg's procedure rejects."""
    ranked = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    last = max((rank for rank, (p, _) in enumerate(ranked, 1) if p <= rate * rank / len(ranked)), default=0)
    return {place for _, place in ranked[:last]}
