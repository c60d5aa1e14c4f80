"""The population stability index and the Jensen-Shannon divergence: how far two distributions over the same bins lie apart."""

from collections.abc import Callable
from math import log

import numpy as np
import numpy.typing as npt

from trueloop.drift.comparison import Comparison, Undefined
from trueloop.drift.histogram import Floats, Histogram, add, coarser, finite, joined, quantile_edges
from trueloop.drift.resampling import band_high
from trueloop.estimates.frame import Column

Ints = npt.NDArray[np.int64]
Counted = Histogram | Column | Floats
"""A histogram, or values as a list, an array or a series; None and NaN are missing."""


def population_stability_index(
    reference: Counted, current: Counted, *, bins: int = 10, pseudo_count: float = 0.5, false_warning_rate: float = 0.01
) -> Comparison:
    """Return the population stability index, sum of (q - p) log(q / p) over bins, in nats >= 0, with the band that it keeps by chance.

    Values are cut at the quantiles of the reference; of histograms, neighbouring bins are joined likewise. The usual thresholds 0.1 and 0.25
    know no sample size: of windows of 100 values that come from the same distribution most exceed 0.1. The band knows it.

    Args:
        reference: What was, p.
        current: What is, q; of the same kind.
        bins: Parts into which the reference is cut, >= 2.
        pseudo_count: What is added to each count, >= 0, so that an empty bin does not make the index infinite; 0 is the textbook's index, which
            is undefined (EMPTY_BIN) when a bin is empty on one side.
        false_warning_rate: Probability of a value above the band when nothing has changed.

    Raises:
        ValueError: A value is infinite or no number, histograms have different edges, or an argument is off its scale.

    References: Jeffreys, H. (1946). Proceedings of the Royal Society A 186, 453-461; Siddiqi, N. (2006). Credit risk scorecards, chapter 8; for
    its distribution Yurdakul, B., Naranjo, J. (2020). Statistical properties of the population stability index. Journal of Risk Model
    Validation 14(4).

    >>> population_stability_index([1, 2, 3, 4] * 25, [1, 1, 1, 2, 3, 4] * 25, bins=4, pseudo_count=0.0).value
    0.27465307216702745
    """
    if not 0.0 <= pseudo_count < float("inf"):
        raise ValueError(f"pseudo_count is {pseudo_count!r}; expected a finite number >= 0")

    def statistic(p: Floats, q: Floats) -> Floats:
        return _index(p, q, pseudo_count)

    return _compared(reference, current, bins, false_warning_rate, statistic)


def jensen_shannon_divergence(reference: Counted, current: Counted, *, bins: int = 10, false_warning_rate: float = 0.01) -> Comparison:
    """Return the Jensen-Shannon divergence of two distributions, in bits [0, 1], with the band that it keeps by chance.

    The mean of the Kullback-Leibler divergences of both from their mean: 0 when they are equal, 1 when they have no bin in common. Its square
    root is a metric. Bins, arguments and errors are those of `population_stability_index`.

    Reference: Lin, J. (1991). Divergence measures based on the Shannon entropy. IEEE Transactions on Information Theory 37, 145-151.

    >>> jensen_shannon_divergence([1.0] * 50, [2.0] * 50).value
    1.0
    """
    return _compared(reference, current, bins, false_warning_rate, _jensen_shannon)


def _compared(reference: Counted, current: Counted, bins: int, rate: float, statistic: Callable[[Floats, Floats], Floats]) -> Comparison:
    if bins < 2:
        raise ValueError(f"bins is {bins!r}; expected at least 2")
    before, now = binned(reference, current, bins)
    n_before, n_now = int(before.sum()), int(now.sum())
    if not (n_before and n_now):
        missing = Undefined.NO_CURRENT if n_before else Undefined.NO_REFERENCE
        return Comparison(None, n_before, n_now, false_warning_rate=rate, undefined=missing)
    band = band_high(before, now, statistic, rate)
    value = float(statistic(before[np.newaxis].astype(np.float64), now[np.newaxis].astype(np.float64))[0])
    if not np.isfinite(value):
        return Comparison(None, n_before, n_now, false_warning_rate=rate, undefined=Undefined.EMPTY_BIN)
    return Comparison(value, n_before, n_now, band_high=band if np.isfinite(band) else None, false_warning_rate=rate)


def binned(reference: Counted, current: Counted, bins: int) -> tuple[Ints, Ints]:
    """Return the counts of both in bins that hold about the same share of the reference. Raises ValueError when kinds or edges differ."""
    if isinstance(reference, Histogram) and isinstance(current, Histogram):
        if reference.edges != current.edges:
            raise ValueError("reference and current are histograms of different edges; only equal bins can be compared")
        parts = coarser(reference, bins)
        return joined(reference.column, parts), joined(current.column, parts)
    if isinstance(reference, Histogram) or isinstance(current, Histogram):
        raise ValueError("one of reference and current is a histogram and the other is not; give both as histograms or both as values")
    before, now = finite(reference, "reference")[0], finite(current, "current")[0]
    empty = Histogram(edges=quantile_edges(before, bins) if len(before) else (0.0,))
    return add(empty, before).column, add(empty, now).column


def _index(p: Floats, q: Floats, pseudo_count: float) -> Floats:
    p, q = p + pseudo_count, q + pseudo_count
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = (q - p) * np.log(q / p)
    return np.asarray(np.where((p == 0.0) & (q == 0.0), 0.0, terms).sum(axis=1))


def _jensen_shannon(p: Floats, q: Floats) -> Floats:
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    middle = (p + q) / 2
    return np.asarray(np.clip((_relative_entropy(p, middle) + _relative_entropy(q, middle)) / (2 * log(2)), 0.0, 1.0))


def _relative_entropy(p: Floats, q: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(p > 0.0, p * np.log(p / q), 0.0).sum(axis=1))
