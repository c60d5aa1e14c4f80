"""Which series have been silent for too long, on event time."""

import heapq
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Silence:
    """When a series will have been silent for too long, if nothing more comes."""

    application: str
    series_id: str
    silent_at: datetime


class SilenceBook:
    """The moments of all series. Each series is named once per silence, and again only after it was observed.

    >>> from datetime import timedelta
    >>> book, noon, day = SilenceBook(), datetime(2026, 1, 1, 12), timedelta(days=1)
    >>> book.observe(Silence("shop", "a", noon + day), noon), book.observe(Silence("shop", "b", noon + 3 * day), noon + 2 * day)
    ([], ['a'])
    >>> book.observe(Silence("shop", "b", noon + 3 * day), noon + 2 * day)
    []
    """

    def __init__(self) -> None:
        self._due: dict[str, Silence] = {}
        self._heaps: dict[str, list[tuple[datetime, str]]] = {}

    def observe(self, series: Silence, at: datetime) -> list[str]:
        """Take in an observation of a series at a moment; return which other series of its application were silent for too long by then."""
        heap = self._heaps.setdefault(series.application, [])
        self._due[series.series_id] = series
        heapq.heappush(heap, (series.silent_at, series.series_id))
        found: list[str] = []
        while heap and heap[0][0] < at:
            moment, name = heapq.heappop(heap)
            due = self._due.get(name)
            if due is not None and due.silent_at == moment:
                del self._due[name]
                if name != series.series_id:
                    found.append(name)
        return found

    def drop(self, series_id: str) -> None:
        """Forget a series."""
        self._due.pop(series_id, None)
