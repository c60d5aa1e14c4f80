"""A confidence sequence for the mean of bounded values."""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from trueloop.drift.comparison import Undefined
from trueloop.drift.shiryaev_roberts import Losses, checked

_POINTS = 1001
_LARGEST_STAKE = 0.5
"""Share of the wealth that may be lost on one value (c of the paper)."""


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """The mean of values in [0, 1] and an interval that holds at all times at once.

    Attributes:
        value: Mean of the values; None without any.
        n: Number of values.
        ci_low: Lower end of the interval, [0, 1]; None when nothing is possible any more.
        ci_high: Upper end, likewise.
        confidence: Probability, at least, that the expectation lies in the intervals after every number of values.
        undefined: NO_CURRENT without values; NOT_CONSTANT when every expectation is out, so that it must have changed on the way.
    """

    value: float | None
    n: int
    ci_low: float | None
    ci_high: float | None
    confidence: float
    undefined: Undefined | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends of the interval, or None."""
        return None if self.ci_low is None or self.ci_high is None else (self.ci_low, self.ci_high)


def betting_confidence_sequence(values: Losses, confidence: float = 0.95) -> ConfidenceSequence:
    """Return the mean of values in [0, 1], in their order, with an interval that may be looked at after every value.

    For each m, two gamblers bet that the expectation is above and below m; m is out for good once their mean wealth, with the hedged capital
    of the paper, passes 1 / (1 - confidence). Valid for values with the same expectation given those before, whatever their distribution: an
    agreement rate, a judge's gap, a refusal rate. Ends are on a grid of a thousandth, rounded outwards.

    Args:
        values: Numbers in [0, 1].
        confidence: In (0, 1), over all times together.

    Raises:
        ValueError: A value is NaN or outside [0, 1], or the confidence outside (0, 1).

    Reference: Waudby-Smith, I., Ramdas, A. (2024). Estimating means of bounded random variables by betting. Journal of the Royal Statistical
    Society B 86, 1-27, theorem 3 with the bets of equation 26.

    >>> betting_confidence_sequence([0.0, 1.0] * 100)
    ConfidenceSequence(value=0.5, n=200, ci_low=0.375, ci_high=0.616, confidence=0.95, undefined=None)
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence!r}; expected a number in (0, 1)")
    column, error = checked(values, "values"), 1.0 - confidence
    if not column:
        return ConfidenceSequence(None, 0, None, None, confidence, Undefined.NO_CURRENT)
    grid = np.linspace(0.0, 1.0, _POINTS)
    with np.errstate(divide="ignore"):
        most_up, most_down = _LARGEST_STAKE / grid, _LARGEST_STAKE / (1.0 - grid)
    up, down, possible = np.zeros(_POINTS), np.zeros(_POINTS), np.ones(_POINTS, bool)
    total, spread = 0.5, 0.25  # a prior value of 1/2, of variance 1/4, as in the paper
    for count, value in enumerate(column, 1):
        stake = sqrt(2.0 * log(2.0 / error) / (spread * log(1.0 + count)))
        gap = value - grid
        up += np.log1p(np.minimum(stake, most_up) * gap)
        down += np.log1p(-np.minimum(stake, most_down) * gap)
        possible &= np.maximum(up, down) < log(2.0 / error)
        total += value
        spread += (value - total / (count + 1)) ** 2
    left, mean = np.flatnonzero(possible), min(1.0, sum(column) / len(column))
    if not len(left):
        return ConfidenceSequence(mean, len(column), None, None, confidence, Undefined.NOT_CONSTANT)
    low, high = grid[max(left[0] - 1, 0)], grid[min(left[-1] + 1, _POINTS - 1)]
    return ConfidenceSequence(mean, len(column), float(low), float(high), confidence)
