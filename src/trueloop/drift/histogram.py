"""Counts of a metric in fixed bins: how distributions of latency, tokens and lengths are kept on the stream."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from trueloop.estimates.frame import Column, numbers

VERSION = 1

QUARTER_OCTAVES = (0.0, *(2.0 ** (quarter / 4) for quarter in range(97)))
"""Edges 0, 1, 1.19, 1.41, ... 2^24: milliseconds up to 4.6 hours, tokens or characters up to 16 million, to within 19 %."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values lie in each bin. Bin 0 is everything up to the first edge, bin k is (edge k - 1, edge k], the last is all above.

    Attributes:
        edges: Ascending.
        counts: One more than edges; none at all before the first value.
        missing: Values that were None or NaN.

    >>> histogram = add(Histogram(edges=(1.0, 10.0)), [0.5, 1.0, 7.0, None, 99.0])
    >>> histogram.counts, histogram.missing, histogram.n
    ((2, 1, 1), 1, 4)
    """

    edges: tuple[float, ...] = QUARTER_OCTAVES
    counts: tuple[int, ...] = ()
    missing: int = 0
    version: int = VERSION

    @property
    def n(self) -> int:
        """Number of values, the missing ones not among them."""
        return sum(self.counts)

    @property
    def column(self) -> npt.NDArray[np.int64]:
        """The counts of all bins."""
        return np.array(self.counts or (0,) * (len(self.edges) + 1), np.int64)


def add(histogram: Histogram, values: Column | Floats) -> Histogram:
    """Return the histogram with further values; O(log bins) each. Raises ValueError when one is infinite or no number."""
    column, missing = finite(values, "values")
    bins = np.searchsorted(np.array(histogram.edges), column, side="left")
    counts = histogram.column + np.bincount(bins, minlength=len(histogram.edges) + 1)
    return replace(histogram, counts=tuple(counts.tolist()), missing=histogram.missing + missing)


def merge(first: Histogram, second: Histogram) -> Histogram:
    """Return what one histogram of the values of both would be, exactly. Raises ValueError when their edges differ."""
    if first.edges != second.edges:
        raise ValueError(f"histograms have {len(first.edges)} and {len(second.edges)} edges that are not the same; only equal bins merge")
    return replace(first, counts=tuple((first.column + second.column).tolist()), missing=first.missing + second.missing)


def finite(values: Column | Floats, name: str) -> tuple[Floats, int]:
    """Return the values that are there, and how many are missing (None or NaN). Raises ValueError when one is infinite or no number.

    >>> finite([1, None, 2.5], "latency_ms")
    (array([1. , 2.5]), 1)
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        column = values.astype(np.float64).ravel()
        if np.any(np.isinf(column)):
            raise ValueError(f"{name}[{int(np.flatnonzero(np.isinf(column))[0])}] is infinite; expected a finite number, or nothing (None, NaN)")
        there = column[~np.isnan(column)]
        return there, len(column) - len(there)
    found = numbers(values, name=name)
    there = np.array([value for value in found if value is not None], np.float64)
    return there, len(found) - len(there)


def quantile_edges(values: Floats, bins: int) -> tuple[float, ...]:
    """Return edges that cut values into `bins` parts of about equal size. A value that fills a part by itself gets a bin of its own.

    >>> quantile_edges(np.arange(1.0, 101.0), 4)
    (25.0, 50.0, 75.0)
    >>> quantile_edges(np.array([3.0, 3.0, 3.0]), 4) == (np.nextafter(3.0, 0.0), 3.0)
    True
    """
    inner = np.sort(values)[np.ceil(np.arange(1, bins) / bins * len(values)).astype(int) - 1]
    edges: set[float] = set()
    for edge, times in zip(*np.unique(inner, return_counts=True), strict=True):
        edges.update((float(edge),) if times == 1 else (float(np.nextafter(edge, -np.inf)), float(edge)))
    return tuple(sorted(edges))


def coarser(reference: Histogram, bins: int) -> list[slice]:
    """Return how to join neighbouring bins so that each holds a share of about 1 / `bins` of the reference.

    >>> coarser(Histogram(edges=(1.0, 2.0, 3.0), counts=(5, 5, 9, 1)), 2)
    [slice(0, 2, None), slice(2, 4, None)]
    """
    counts, joined, start, held = reference.column, [], 0, 0
    for place, count in enumerate(counts.tolist()):
        held += count
        if held * bins >= reference.n:
            joined.append(slice(start, place + 1))
            start, held = place + 1, 0
    if held or not joined:
        joined.append(slice(start, len(counts)))
    return [*joined[:-1], slice(joined[-1].start, len(counts))]


def joined(counts: npt.NDArray[np.int64], parts: Sequence[slice]) -> npt.NDArray[np.int64]:
    """Return the counts of joined bins."""
    return np.array([counts[part].sum() for part in parts], np.int64)
