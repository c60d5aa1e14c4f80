"""How often a reviewer is right on items whose answer is known."""

from math import fsum
from typing import Any

from trueloop.estimates.beta import beta_quantile
from trueloop.estimates.estimate import Estimate, Undefined
from trueloop.estimates.frame import Column, numbers


def gold_accuracy(right: Column, *, data: Any = None, confidence: float = 0.95) -> Estimate:
    """Return the share of gold items answered right, with Jeffreys' equal-tailed credible interval.

    Args:
        right: One row per gold item: 1 or True for a right answer, 0 for a wrong one, the share that is right for an item with several answers,
            which counts as one observation: what is said of one item is not independent. Missing rows do not count.
        data: Data frame; then `right` may be given by name.
        confidence: Of the two-sided interval, (0, 1).

    Returns:
        Undefined without items. There is an interval from the first item on, and it is wide.

    Raises:
        ValueError: A row is not in [0, 1].

    Reference: Brown, L. D., Cai, T. T., DasGupta, A. (2001). Interval estimation for a binomial proportion. Statistical Science 16, 101-133,
    section 4.1.1: the posterior is Beta(right + 1/2, wrong + 1/2), and at 0 and n the interval reaches to 0 and 1.

    >>> estimate = gold_accuracy([1] * 9 + [0])
    >>> estimate.value, round(estimate.ci_low, 3), round(estimate.ci_high, 3)
    (0.9, 0.619, 0.989)
    """
    given = [share for share in numbers(right, data, name="right") if share is not None]
    for row, share in enumerate(given):
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"right[{row}] is {share!r}; expected 0, 1, or the share of the item's answers that is right")
    return gold_accuracy_of(fsum(given), len(given), confidence=confidence)


def gold_accuracy_of(right: float, n: int, *, confidence: float = 0.95) -> Estimate:
    """Return the estimate for `right` of `n` items, 0 <= right <= n. See `gold_accuracy`.

    >>> gold_accuracy_of(0, 0).undefined
    <Undefined.NO_LABELS: 'NO_LABELS'>
    """
    if not 0 <= right <= n:
        raise ValueError(f"right, n are {right!r}, {n!r}; expected 0 <= right <= n")
    if n == 0:
        return Estimate(None, 0, undefined=Undefined.NO_LABELS)
    alpha, beta, tail = right + 0.5, n - right + 0.5, (1 - confidence) / 2
    low = 0.0 if right == 0 else beta_quantile(tail, alpha, beta)
    high = 1.0 if right == n else beta_quantile(1 - tail, alpha, beta)
    spread = (alpha * beta / ((alpha + beta) ** 2 * (alpha + beta + 1))) ** 0.5
    return Estimate(right / n, n, low, high, spread, n)
