"""How far the evidence lies from a limit, in standard errors: above 0 speaks for the candidate, below against it.

A one-sided confidence bound clears a limit exactly when the statistic at the limit exceeds the normal quantile, so the gate decides on the
statistics, and `intervals` gives the same as bounds for people. Everything takes arrays: a simulation of thousands of candidates and the gate of
one run the same lines.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Some = Numbers | float
"""Numbers of one shape, or one for all."""

_TOLERANCE = 1e-10
_ERFC = np.vectorize(math.erfc, otypes=[np.float64])


def floor_statistic(mean: Some, n: Some, floor: Some) -> Numbers:
    """Return the score statistic of the hypothesis that a proportion is `floor` (Wilson 1927, JASA 22:209-212). n >= 1.

    For scores that are not only 0 and 1 it lies nearer to 0 than it need: among scores in [0, 1] of equal mean, binary ones vary most. A floor of
    0 is always met.

    >>> round(float(floor_statistic(0.97, 1000, 0.95)), 3)
    2.902
    """
    share, least = np.asarray(mean, dtype=np.float64), np.asarray(floor, dtype=np.float64)
    found = _ratio(share - least, np.sqrt(least * (1 - least) / np.asarray(n, dtype=np.float64)))
    return np.where(least <= 0, np.inf, found)


def tango_statistic(b: Some, c: Some, n: Some, limit: Some) -> Numbers:
    """Return the score statistic of the hypothesis that the difference of two paired proportions is `limit`.

    `b` items that only the first got right, `c` that only the second did, of `n` pairs (Tango 1998, Statistics in Medicine 17:891-908, eq. 6-8).

    >>> round(float(tango_statistic(12, 2, 44, 0.0)), 3)  # McNemar's statistic: (12 - 2) / sqrt(14)
    2.673
    """
    ours, theirs, pairs, delta = (np.asarray(given, dtype=np.float64) for given in (b, c, n, limit))
    linear = -ours - theirs + (2 * pairs - ours + theirs) * delta
    constant = -theirs * delta * (1 - delta)
    share = (np.sqrt(np.maximum(linear * linear - 8 * pairs * constant, 0.0)) - linear) / (4 * pairs)
    return _ratio(ours - theirs - pairs * delta, np.sqrt(np.maximum(pairs * (2 * share + delta * (1 - delta)), 0.0)))


def mean_statistic(mean: Some, variance: Some, n: Some, limit: Some) -> Numbers:
    """Return the normal-theory statistic of the hypothesis that a mean paired difference is `limit`; `variance` is that of one difference.

    >>> round(float(mean_statistic(0.0, 0.04, 400, -0.02)), 3)
    2.0
    """
    spread = np.sqrt(np.maximum(np.asarray(variance, dtype=np.float64), 0.0) / np.asarray(n, dtype=np.float64))
    return _ratio(np.asarray(mean, dtype=np.float64) - np.asarray(limit, dtype=np.float64), spread)


def upper_tail(statistic: Any) -> Numbers:
    """Return the chance that a standard normal number exceeds the statistic, [0, 1].

    >>> round(float(upper_tail(1.6448536)), 6)
    0.05
    """
    return np.asarray(0.5 * _ERFC(np.asarray(statistic, dtype=np.float64) / math.sqrt(2)), dtype=np.float64)


def _ratio(distance: Numbers, spread: Numbers) -> Numbers:
    """Divide; without spread only the direction counts, and none is left when there is no distance either."""
    settled = np.where(np.abs(distance) < _TOLERANCE, 0.0, np.copysign(np.inf, distance))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, distance / spread, settled)
