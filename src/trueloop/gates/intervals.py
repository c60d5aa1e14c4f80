"""Confidence bounds of a proportion, and of the difference of two paired proportions: what people are shown beside a verdict."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from trueloop.gates.score_statistics import tango_statistic

_TOLERANCE = 1e-10
_STEPS = 100
"""Bisection halves an interval of length 2: 100 steps reach the limit of double precision."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """A lower and an upper one-sided confidence bound, each at the stated confidence."""

    low: float
    high: float


def z_of(confidence: float) -> float:
    """Return the standard normal quantile of a one-sided confidence in (0, 1).

    >>> round(z_of(0.95), 4)
    1.6449
    """
    return NormalDist().inv_cdf(confidence)


def wilson(mean: float, n: int, confidence: float) -> Bounds:
    """Return Wilson's score bounds of a proportion (Wilson 1927, JASA 22:209-212). `mean` in [0, 1], n >= 1.

    For scores that are not only 0 and 1 the bounds are conservative: among scores in [0, 1] of equal mean, binary ones vary most.

    >>> bounds = wilson(0.95, 1000, 0.975)
    >>> round(bounds.low, 4), round(bounds.high, 4)
    (0.9347, 0.9619)
    """
    z = z_of(confidence)
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    spread = z / (1 + z * z / n) * sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    # At 0 and 1 a bound equals the mean, up to rounding, which must not put it on the wrong side.
    return Bounds(max(0.0, min(centre - spread, mean)), min(1.0, max(centre + spread, mean)))


def tango(b: float, c: float, n: int, confidence: float) -> Bounds:
    """Return Tango's score bounds of the difference of two paired proportions (Tango 1998, Statistics in Medicine 17:891-908, eq. 6-8).

    `b` items that only the first got right, `c` that only the second did, of `n` pairs; the difference is (b - c) / n. Bounds hold with
    small and with zero discordant counts, where the normal approximation collapses.

    >>> bounds = tango(0, 0, 100, 0.95)
    >>> round(bounds.low, 4), round(bounds.high, 4)
    (-0.0263, 0.0263)
    """
    z = z_of(confidence)
    estimate = (b - c) / n
    low = _root(lambda delta: float(tango_statistic(b, c, n, delta)) - z, -1.0, estimate)
    high = _root(lambda delta: float(tango_statistic(b, c, n, delta)) + z, estimate, 1.0)
    return Bounds(low, high)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a falling function crosses 0 between low and high, by bisection; the nearer end when it does not cross."""
    if function(low) < 0:
        return low
    if function(high) > 0:
        return high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if function(middle) > 0:
            low = middle
        else:
            high = middle
        if high - low < _TOLERANCE:
            break
    return (low + high) / 2


def mean_difference(mean: float, variance: float, n: int, confidence: float) -> Bounds:
    """Return normal-theory bounds of a mean paired difference; `variance` is that of one difference, n >= 2.

    For scores between 0 and 1; with binary scores use `tango`.
    """
    spread = z_of(confidence) * sqrt(max(variance, 0.0) / n)
    return Bounds(max(-1.0, mean - spread), min(1.0, mean + spread))
