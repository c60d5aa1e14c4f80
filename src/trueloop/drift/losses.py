"""Bounded losses of items: what an e-detector can watch."""

from collections import Counter
from collections.abc import Sequence


def disagreement(ratings: Sequence[int], counts: Sequence[int] | None = None) -> float | None:
    """Return the share of pairs of reviewers that gave an item different ratings, [0, 1]; None for fewer than two ratings.

    Its mean over items is 1 - observed agreement (Fleiss 1971): so a detector of this loss watches agreement itself. Alpha and AC1 are no means
    of anything that an item has by itself, so there is no such loss of them.

    Args:
        ratings: What was given.
        counts: How often each was given, >= 0; once each if left out.

    >>> disagreement([5, 5, 3]), disagreement([5, 3], [2, 1]), disagreement([4])
    (0.6666666666666667, 0.6666666666666667, None)
    """
    given: Counter[int] = Counter()
    for rating, count in zip(ratings, counts or [1] * len(ratings), strict=True):
        given[rating] += count
    n = given.total()
    return 1.0 - sum(count * (count - 1) for count in given.values()) / (n * (n - 1)) if n > 1 else None


def judge_gap(judge: float | None, human: float | None) -> float | None:
    """Return the distance between a judge's score and people's, [0, 1], both in [0, 1]; None when either is missing.

    >>> judge_gap(1.0, 0.25), judge_gap(None, 0.5)
    (0.75, None)
    """
    if judge is None or human is None:
        return None
    if not (0.0 <= judge <= 1.0 and 0.0 <= human <= 1.0):
        raise ValueError(f"scores are {judge!r} and {human!r}; expected numbers in [0, 1]: scale them")
    return abs(judge - human)


def rating_loss(rating: float, low: float, high: float) -> float:
    """Return what a rating lacks to the best one, as a share of the scale from `low` to `high`, [0, 1].

    Raises:
        ValueError: The rating is NaN or off the scale, or the scale is empty.

    >>> rating_loss(4, low=1, high=5)
    0.25
    """
    if not low < high or not low <= rating <= high:
        raise ValueError(f"rating {rating!r} on the scale from {low!r} to {high!r}; expected low <= rating <= high and low < high")
    return (high - rating) / (high - low)
