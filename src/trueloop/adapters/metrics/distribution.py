"""How values spread over buckets: what a Prometheus histogram is made of."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
"""Bounds of durations, 1 ms to 1 min. Finer from 0.2 to 1 s, where the targets of the loop lie: a quantile is interpolated in its bucket."""
RECORDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0, 20000.0)
"""Bounds of batch sizes: a stream worker takes up to 500 records at once, the sink 10,000 and what one more fetch brings."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """A distribution at one moment: the upper bound of each bucket but the last, the values in each, the sum of the values."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    total: float

    @property
    def count(self) -> float:
        """Number of values."""
        return sum(self.counts)

    def since(self, earlier: "Buckets") -> "Buckets":
        """Return what was added after `earlier`, an older state of the same distribution.

        >>> Buckets((1.0,), (3.0, 1.0), 9.0).since(Buckets((1.0,), (2.0, 0.0), 1.0))
        Buckets(bounds=(1.0,), counts=(1.0, 1.0), total=8.0)
        """
        return Buckets(self.bounds, tuple(now - then for now, then in zip(self.counts, earlier.counts, strict=True)), self.total - earlier.total)

    def quantile(self, share: float) -> float | None:
        """Return the value below which a share (0 to 1) of the values lies, taking them as evenly spread within their bucket.

        None when there is no value, and when it lies above the largest bound, of which nothing is known but that.

        >>> spread = Buckets((1.0, 2.0, 4.0), (10.0, 10.0, 0.0, 0.0), 25.0)
        >>> spread.quantile(0.5), spread.quantile(0.75), Buckets((1.0,), (0.0, 0.0), 0.0).quantile(0.5)
        (1.0, 1.5, None)
        """
        rank = share * self.count
        if not rank:
            return None
        below = 0.0
        for lower, upper, count in zip((0.0, *self.bounds), self.bounds, self.counts, strict=False):
            if count and below + count >= rank:
                return lower + (upper - lower) * (rank - below) / count
            below += count
        return None


class Distribution:
    """Counts values by bucket. Not for two threads at once: its owner locks."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the upper bounds of the buckets, ascending; what lies above the last has a bucket of its own."""
        self._bounds = tuple(bounds)
        self._counts = [0.0] * (len(self._bounds) + 1)
        self._total = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count a value, as if it had come so many times. A bound belongs to the bucket that it closes, as Prometheus has it."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._total += value * times

    def read(self) -> Buckets:
        """Return the present state."""
        return Buckets(self._bounds, tuple(self._counts), self._total)
