"""Gold items: which one a reviewer sees next, and which no longer tell good reviewers from bad ones."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import fsum

from trueloop.estimates.estimate import Estimate
from trueloop.estimates.pearson import pearson_correlation
from trueloop.events.identity import derive_id, unit_interval
from trueloop.reviewers.gold_accuracy import gold_accuracy
from trueloop.rubrics.policy import Reviewers

MIN_ANSWERS = 20
"""Answers below which an item is not judged."""
MIN_OTHERS = 5
"""Other gold items that a reviewer must have answered, so that their accuracy on these says something."""
EASY = 0.95
"""An item that more reviewers than this answer right, for sure, costs their time and tells nothing."""
LEAST_CORRELATION = 0.1

Answers = Mapping[str, Mapping[str, float]]
"""Item -> reviewer -> share of the answer that is right, [0, 1]."""


class Retirement(StrEnum):
    """Why a gold item is not used any more."""

    EXPOSED = "EXPOSED"
    """It was answered as often as it may be: sooner or later people talk about it."""
    TOO_EASY = "TOO_EASY"
    """Nearly everybody is right, because it is easy or because it is known."""
    NO_DISCRIMINATION = "NO_DISCRIMINATION"
    """Good and bad reviewers are right alike."""
    SUSPECT_ANSWER = "SUSPECT_ANSWER"
    """The better reviewers are, the more often they are wrong: look at its answer before anyone is judged by it."""


@dataclass(frozen=True, slots=True)
class GoldItem:
    """How an item has done.

    Attributes:
        item_id: The item.
        accuracy: Share of reviewers who were right on it.
        discrimination: Correlation, over reviewers, of being right on it with accuracy on their other gold items (item-rest correlation).
        retirement: Why it should not be used any more; None while it should.
    """

    item_id: str
    accuracy: Estimate
    discrimination: Estimate
    retirement: Retirement | None = None


def gold_items(answers: Answers, policy: Reviewers, *, confidence: float = 0.95) -> dict[str, GoldItem]:
    """Return how each item has done, and whether it should be retired.

    An item is retired when it was answered `policy.gold_max_exposures` times; or, after `MIN_ANSWERS`, when the lower bound of its accuracy is above
    `EASY`, or the upper bound of its discrimination below 0 (its answer is suspect) or below `LEAST_CORRELATION`. Bounds, not estimates: an item
    is not thrown away by chance.

    Args:
        answers: First answers only: whoever sees an item again may remember it.
        policy: The rule.
        confidence: Of the two-sided intervals, (0, 1).

    Reference: Lord, F. M., Novick, M. R. (1968). Statistical Theories of Mental Test Scores, section 15.3 (item-rest correlation).

    >>> found = gold_items({"easy": {f"r{n}": 1.0 for n in range(80)}}, Reviewers())
    >>> found["easy"].retirement
    <Retirement.TOO_EASY: 'TOO_EASY'>
    """
    totals: dict[str, list[float]] = {}
    for by_reviewer in answers.values():
        for reviewer, share in by_reviewer.items():
            totals.setdefault(reviewer, []).append(share)
    return {item_id: _judged(item_id, by_reviewer, totals, policy.gold_max_exposures, confidence) for item_id, by_reviewer in answers.items()}


def _judged(item_id: str, by_reviewer: Mapping[str, float], totals: Mapping[str, list[float]], max_exposures: int, confidence: float) -> GoldItem:
    rest = [
        (share, (fsum(totals[reviewer]) - share) / (len(totals[reviewer]) - 1))
        for reviewer, share in sorted(by_reviewer.items())
        if len(totals[reviewer]) > MIN_OTHERS
    ]
    accuracy = gold_accuracy(list(by_reviewer.values()), confidence=confidence)
    discrimination = pearson_correlation([share for share, _ in rest], [other for _, other in rest], confidence=confidence)
    return GoldItem(item_id, accuracy, discrimination, _retirement(accuracy, discrimination, max_exposures))


def _retirement(accuracy: Estimate, discrimination: Estimate, max_exposures: int) -> Retirement | None:
    if accuracy.n >= max_exposures:
        return Retirement.EXPOSED
    if accuracy.n < MIN_ANSWERS:
        return None
    if accuracy.ci_low is not None and accuracy.ci_low > EASY:
        return Retirement.TOO_EASY
    if discrimination.n < MIN_ANSWERS or discrimination.ci_high is None:
        return None
    if discrimination.ci_high < 0:
        return Retirement.SUSPECT_ANSWER
    return Retirement.NO_DISCRIMINATION if discrimination.ci_high < LEAST_CORRELATION else None


def next_gold_item(exposures: Mapping[str, int], seen: Collection[Hashable], reviewer_id: str, policy: Reviewers, *, salt: str = "1") -> str | None:
    """Return the gold item that a reviewer should see next; None when none is left for them.

    The least exposed of those that the reviewer has not seen and that are not worn; among equals a hash decides, so that reviewers do not
    meet the same items in the same order.

    Args:
        exposures: Item -> how often it was shown; only items that are not retired.
        seen: Items that this reviewer was shown.
        reviewer_id: The reviewer.
        policy: How often an item may be shown.
        salt: Another one gives another order.

    >>> next_gold_item({"a": 3, "b": 1, "c": 0}, {"c"}, "ada", Reviewers())
    'b'
    """
    fresh = [
        (count, derive_id("gold", salt, reviewer_id, item_id), item_id)
        for item_id, count in exposures.items()
        if count < policy.gold_max_exposures and item_id not in seen
    ]
    return min(fresh)[2] if fresh else None


def gold_is_due(reviewer_id: str, number: int, policy: Reviewers, *, salt: str = "1") -> bool:
    """Return whether a reviewer's next task should be a gold item: true for `policy.gold_share` of them, at places that nobody can foresee without the salt.

    Args:
        reviewer_id: The reviewer.
        number: How many tasks they were given before.
        policy: The share.
        salt: Keep it secret: whoever knows it knows where the gold is.

    >>> gold_is_due("ada", 7, Reviewers(gold_share=1)), gold_is_due("ada", 7, Reviewers(gold_share=0))
    (True, False)
    """
    return unit_interval("gold-is-due", salt, reviewer_id, str(number)) < policy.gold_share
