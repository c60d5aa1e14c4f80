"""The Wasserstein-1 distance: how far values would have to be moved to turn one distribution into the other."""

import numpy as np
import numpy.typing as npt

from trueloop.drift.comparison import Comparison, Undefined
from trueloop.drift.divergences import Counted
from trueloop.drift.histogram import Floats, Histogram, finite
from trueloop.drift.resampling import band_high

_ATOMS = 128
"""Points that stand for all values when the band is computed: more would change it by less than it scatters."""


def wasserstein_distance(reference: Counted, current: Counted, *, false_warning_rate: float = 0.01) -> Comparison:
    """Return the Wasserstein-1 distance of two distributions, in the unit of the values, with the band that it keeps by chance.

    The area between the two distribution functions. Of histograms each bin stands at its middle, and what lies outside the edges at the edge,
    so that distances are right to about the width of a bin.

    Args:
        reference: Values, or a histogram.
        current: Of the same kind.
        false_warning_rate: Probability of a value above the band when nothing has changed.

    Raises:
        ValueError: A value is infinite or no number, histograms have different edges, or the rate is off its scale.

    Reference: Vallender, S. S. (1974). Calculation of the Wasserstein distance between probability distributions on the line. Theory of
    Probability and its Applications 18, 784-786.

    >>> wasserstein_distance([0, 1, 3], [5, 6, 8]).value
    5.0
    """
    before, now = _sample(reference, "reference"), _sample(current, "current")
    if isinstance(reference, Histogram) != isinstance(current, Histogram):
        raise ValueError("one of reference and current is a histogram and the other is not; give both as histograms or both as values")
    if isinstance(reference, Histogram) and isinstance(current, Histogram) and reference.edges != current.edges:
        raise ValueError("reference and current are histograms of different edges; only equal bins can be compared")
    n_before, n_now = int(before[1].sum()), int(now[1].sum())
    if not (n_before and n_now):
        missing = Undefined.NO_CURRENT if n_before else Undefined.NO_REFERENCE
        return Comparison(None, n_before, n_now, false_warning_rate=false_warning_rate, undefined=missing)
    values = np.unique(np.concatenate((before[0], now[0])))
    p, q = (_spread(values, *each) for each in (before, now))
    distance = float(_distance(values, p[np.newaxis], q[np.newaxis])[0])
    part = _parts(values, p + q)
    points = np.bincount(part, weights=values * (p + q)) / np.bincount(part, weights=p + q)

    def statistic(drawn: Floats, other: Floats) -> Floats:
        return _distance(points, drawn, other)

    band = band_high(np.bincount(part, weights=p), np.bincount(part, weights=q), statistic, false_warning_rate)
    return Comparison(distance, n_before, n_now, band_high=band, false_warning_rate=false_warning_rate)


def _sample(given: Counted, name: str) -> tuple[Floats, Floats]:
    """Return different values, ascending, and how many there are of each."""
    if isinstance(given, Histogram):
        edges = np.array(given.edges)
        middles = np.concatenate((edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]))
        held = given.column
        return middles[held > 0], held[held > 0].astype(np.float64)
    values, counts = np.unique(finite(given, name)[0], return_counts=True)
    return values, counts.astype(np.float64)


def _spread(support: Floats, values: Floats, counts: Floats) -> Floats:
    """Return the counts at each point of a support that holds the values."""
    found = np.zeros(len(support))
    found[np.searchsorted(support, values)] = counts
    return found


def _parts(values: Floats, counts: Floats) -> npt.NDArray[np.int64]:
    """Return which of at most `_ATOMS` points stands for each value. Values far out, which make the distance scatter, get more of them."""
    if len(values) <= _ATOMS:
        return np.arange(len(values))
    weights = np.abs(values - values @ counts / counts.sum()) * counts
    reached = np.cumsum(counts) / counts.sum() + np.cumsum(weights) / weights.sum()
    return np.unique(np.ceil(reached * _ATOMS / 2 - 1e-9), return_inverse=True)[1]


def _distance(values: Floats, p: Floats, q: Floats) -> Floats:
    """Return distances of (replicates, len(values)) counts at ascending values."""
    gap = np.cumsum(p, axis=1) / p.sum(axis=1, keepdims=True) - np.cumsum(q, axis=1) / q.sum(axis=1, keepdims=True)
    return np.asarray(np.abs(gap[:, :-1]) @ np.diff(values))
