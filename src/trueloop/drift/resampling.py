"""How far a statistic of two samples goes when both come from the same distribution."""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from math import ceil, floor, sqrt

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64] | Floats

REPLICATES = 1999
"""Odd, as (replicates + 1) x rate should be whole: the band of 1 % is then the 20th largest of 2000."""
_REACH = 9.0
"""Standard deviations around the mean outside which a Poisson count has a probability that no double can tell from 0."""


@lru_cache(maxsize=8)
def hashed_uniforms(seed: str, count: int) -> Floats:
    """Return numbers that are uniform on (0, 1), shape (count,): the same wherever and whenever they are asked for.

    >>> hashed_uniforms("a", 2).round(4)
    array([0.8594, 0.6133])
    """
    digest = hashlib.shake_256(seed.encode()).digest(8 * count)
    found = ((np.frombuffer(digest, "<u8") >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    found.setflags(write=False)  # it is shared
    return found


def poisson(mean: float, uniforms: Floats) -> Floats:
    """Return Poisson counts by inversion, one per uniform number; `mean` >= 0.

    >>> poisson(2.0, np.array([0.1, 0.5, 0.99]))
    array([0., 2., 6.])
    """
    if mean <= 0.0:
        return np.zeros(len(uniforms))
    reach = _REACH * sqrt(mean) + _REACH * 2
    counts = np.arange(max(0, floor(mean - reach)), ceil(mean + reach) + 1, dtype=np.float64)
    steps = np.log(mean) - np.log(counts[1:])  # of the logarithm of the probability, from one count to the next
    mass = np.concatenate(([0.0], np.cumsum(steps)))
    mass = np.exp(mass - mass.max())
    return counts[np.minimum(np.searchsorted(np.cumsum(mass) / mass.sum(), uniforms), len(counts) - 1)]


def band_high(reference: Counts, current: Counts, statistic: Callable[[Floats, Floats], Floats], rate: float) -> float:
    """Return the value that a statistic exceeds with probability `rate` when reference and current come from the same distribution.

    Both are drawn again and again, in their sizes, from what they are together: with Poisson counts around its shares. Drawing from the
    reference alone would warn twice as often as declared for small references of skewed metrics, whose rare large values it has not seen.

    Args:
        reference: Counts per bin, shape (bins,), at least one above 0.
        current: Likewise, in the same bins.
        statistic: From counts of two samples, each (replicates, bins), to (replicates,).
        rate: In [1 / 2000, 1).

    Raises:
        ValueError: The rate is outside.

    References: Efron, B. (1979). Bootstrap methods: another look at the jackknife. Annals of Statistics 7, 1-26; for drawing from both
    together Efron, B., Tibshirani, R. J. (1993). An introduction to the bootstrap, algorithm 16.1.
    """
    if not 1.0 / (REPLICATES + 1) <= rate < 1.0:
        raise ValueError(f"false_warning_rate is {rate!r}; expected a number in [{1 / (REPLICATES + 1)}, 1)")
    bins, sizes = len(reference), (float(reference.sum()), float(current.sum()))
    shares = (reference + current) / sum(sizes)
    uniforms = hashed_uniforms("drift band", 2 * REPLICATES * bins).reshape(2, bins, REPLICATES)
    drawn = [np.stack(list(map(poisson, size * shares, rows)), axis=1) for size, rows in zip(sizes, uniforms, strict=True)]
    # A sample that came out empty has no statistic: with a handful of values it happens, and then says nothing.
    some = np.logical_and(drawn[0].sum(axis=1) > 0, drawn[1].sum(axis=1) > 0)
    values = np.sort(statistic(drawn[0][some], drawn[1][some]))
    return float(values[min(ceil((len(values) + 1) * (1.0 - rate)), len(values)) - 1])
