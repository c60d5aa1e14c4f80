"""What became of the records that a worker read, and how long it took."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from trueloop.adapters.metrics.distribution import RECORDS, SECONDS, Buckets, Distribution

_NOTHING: Mapping[str, int] = {}


class Flow(NamedTuple):
    """What one processor has done with one topic since its process started."""

    processor: str
    topic: str
    outcomes: dict[str, int]
    rejected: dict[str, int]
    drops: dict[str, int]
    batch_records: Buckets
    batch_seconds: Buckets
    end_to_end_seconds: Buckets


class _Running:
    """The counters behind a `Flow`."""

    __slots__ = ("ages", "drops", "outcomes", "rejected", "seconds", "sizes")

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.drops: Counter[str] = Counter()
        self.sizes = Distribution(RECORDS)
        self.seconds = Distribution(SECONDS)
        self.ages = Distribution(SECONDS)


class RecordMetrics:
    """Counts batches. One thread adds, others read: what they share is held for microseconds, so a reader never stops a worker."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """`now` gives the seconds since the epoch."""
        self._now = now
        self._lock = threading.Lock()
        self._flows: dict[tuple[str, str], _Running] = {}
        self._retries: Counter[str] = Counter()

    def batch(
        self,
        *,
        processor: str,
        topic: str,
        records: int,
        seconds: float,
        oldest_ms: int,
        outcomes: Mapping[str, int],
        rejected: Mapping[str, int] = _NOTHING,
        drops: Mapping[str, int] = _NOTHING,
    ) -> None:
        """Count a batch once its effects are durable. Takes some microseconds whatever the number of records.

        Args:
            processor: Who dealt with it.
            topic: Where it was read, without the deployment's prefix; of retried records, the retry topic.
            records: Number of records.
            seconds: From when the processor took the batch until its effects were durable.
            oldest_ms: Timestamp of its first record, milliseconds since the epoch; negative when it has none. Every record of the batch is
                counted with the age of this one, so end-to-end times are upper bounds.
            outcomes: Number of records by outcome; each record falls under exactly one.
            rejected: Number of dead letters by reason.
            drops: Number of things that the records would have led to and did not, by reason.
        """
        age = self._now() - oldest_ms / 1000
        with self._lock:
            running = self._running(processor, topic)
            for outcome, count in outcomes.items():
                running.outcomes[outcome] += count
            for reason, count in rejected.items():
                running.rejected[reason] += count
            for reason, count in drops.items():
                running.drops[reason] += count
            running.sizes.add(records)
            running.seconds.add(seconds)
            if oldest_ms >= 0:
                running.ages.add(max(age, 0.0), records)  # a producer's clock may be ahead of ours

    def retried(self, processor: str) -> None:
        """Count an attempt that failed because a service did not answer, and that is made again."""
        with self._lock:
            self._retries[processor] += 1

    def flows(self) -> list[Flow]:
        """Return what was counted so far, by processor and topic."""
        with self._lock:
            return [
                Flow(
                    processor,
                    topic,
                    dict(run.outcomes),
                    dict(run.rejected),
                    dict(run.drops),
                    run.sizes.read(),
                    run.seconds.read(),
                    run.ages.read(),
                )
                for (processor, topic), run in sorted(self._flows.items())
            ]

    def retries(self) -> dict[str, int]:
        """Return the failed attempts by processor."""
        with self._lock:
            return dict(self._retries)

    def _running(self, processor: str, topic: str) -> _Running:
        found = self._flows.get((processor, topic))
        if found is None:
            found = self._flows[processor, topic] = _Running()
        return found
