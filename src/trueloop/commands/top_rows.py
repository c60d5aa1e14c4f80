"""What `trueloop top` shows, as numbers: rates between scrapes, and quantiles over a window."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from trueloop.adapters.metrics.distribution import Buckets
from trueloop.adapters.metrics.scrape import ProcessorReading, TopicReading, WorkerReading
from trueloop.commands.worker import ALONE, STREAMS

T = TypeVar("T")
WINDOW_S = 60.0
"""Seconds over which the live view takes quantiles: long enough to hold more than a few batches, short enough to speak of now."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of `count` durations, in seconds. One that is None with `count` > 0 lies above `limit_s`; beyond that nothing is known of it."""

    count: int
    p50: float | None
    p99: float | None
    limit_s: float | None

    @classmethod
    def of(cls, buckets: Buckets | None) -> "Spread":
        """Return the quantiles of a histogram; none of one that is None."""
        if buckets is None:
            return cls(0, None, None, None)
        return cls(int(buckets.count), buckets.quantile(0.5), buckets.quantile(0.99), buckets.bounds[-1])


@dataclass(frozen=True, slots=True)
class TopicRow:
    """A processor and a topic that it reads. `events_per_s` is None until two scrapes are there, `lag` while the worker does not know it."""

    processor: str
    topic: str
    events_per_s: float | None
    lag: int | None
    processing_s: Spread
    end_to_end_s: Spread
    outcomes: Mapping[str, int]
    dead_letters: Mapping[str, int]
    dropped: Mapping[str, int]

    @property
    def is_quiet(self) -> bool:
        """Return whether nothing has come of the topic, and nothing waits."""
        return not (self.outcomes or self.dropped or self.lag)


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker that answers."""

    worker: str
    address: str
    version: str
    cpu_share: float | None
    memory_bytes: int | None
    topics: tuple[TopicRow, ...]
    processors: Mapping[str, ProcessorReading]

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


class History:
    """The scrapes of one worker within the window."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._readings: deque[WorkerReading] = deque()

    def add(self, reading: WorkerReading) -> None:
        """Add a scrape. One of a process that started anew forgets those before: its counters began at zero."""
        if self._readings and self._readings[-1].started != reading.started:
            self._readings.clear()
        self._readings.append(reading)
        while reading.at - self._readings[0].at > WINDOW_S:
            self._readings.popleft()

    def row(self, *, since_start: bool) -> WorkerRow:
        """Return what is known now; quantiles since the start of the process, or since the oldest scrape within the window."""
        now = self._readings[-1]
        before = self._readings[-2] if len(self._readings) > 1 else None
        base = None if since_start else self._readings[0]
        topics = tuple(_topic_row(place, now, before, base) for place in now.topics)
        return WorkerRow(now.worker, self._address, now.version, _cpu_share(now, before), now.memory_bytes, topics, now.processors)


def _topic_row(place: tuple[str, str], now: WorkerReading, before: WorkerReading | None, base: WorkerReading | None) -> TopicRow:
    topic = now.topics[place]
    rate = None
    if before is not None:
        rate = (topic.records - _records(before.topics.get(place))) / (now.at - before.at)
    old = base.topics.get(place) if base is not None else None
    return TopicRow(
        processor=place[0],
        topic=place[1],
        events_per_s=rate,
        lag=topic.lag,
        processing_s=Spread.of(_since(topic.batch_seconds, old.batch_seconds if old else None)),
        end_to_end_s=Spread.of(_since(topic.end_to_end_seconds, old.end_to_end_seconds if old else None)),
        outcomes=topic.outcomes,
        dead_letters=topic.dead_letters,
        dropped=topic.dropped,
    )


def _records(topic: TopicReading | None) -> int:
    return topic.records if topic is not None else 0


def _since(now: Buckets | None, old: Buckets | None) -> Buckets | None:
    return now if now is None or old is None or now.bounds != old.bounds else now.since(old)


def _cpu_share(now: WorkerReading, before: WorkerReading | None) -> float | None:
    if before is None or now.cpu_seconds is None or before.cpu_seconds is None:
        return None
    return (now.cpu_seconds - before.cpu_seconds) / (now.at - before.at)


def loop_order(items: Iterable[T], processor: Callable[[T], str]) -> list[T]:
    """Return items by their processor, in the order in which events pass the loop; those of unknown ones last, by name.

    >>> loop_order(["sink", "a", "sampling", "gating"], str)
    ['sampling', 'gating', 'sink', 'a']
    """
    places = {name: place for place, name in enumerate((*STREAMS, *ALONE))}
    return sorted(items, key=lambda item: (places.get(processor(item), len(places)), processor(item)))
