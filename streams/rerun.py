"""A processor over records of the past: the code that runs live, fed from the log in an order of our choice, at the records' own times."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar

from trueloop.streams.batch_processor import BatchProcessor, Work
from trueloop.streams.batch_run import BatchRun, due_ms
from trueloop.streams.lane import Lane
from trueloop.streams.resources import Resources

from trueloop.adapters.delivery import Delivery, Outgoing
from trueloop.adapters.faust_batch import Batch
from trueloop.adapters.faust_batch.partition_states import PartitionStates
from trueloop.adapters.log_reader import Chunk
from trueloop.processors.processor import Context, Processor
from trueloop.topics import Topic

T = TypeVar("T")


class RecordClock:
    """Stands at the time of the newest record that was taken: what is made of the same log says the same times.

    Partitions of state have a time each, for one may be read to its end before another is begun.
    """

    def __init__(self) -> None:
        self._milliseconds: dict[int, int] = {}
        self._place = 0

    def __call__(self) -> datetime:
        """Return the moment that it stands at, in the partition that was taken last."""
        return datetime.fromtimestamp(self._milliseconds.get(self._place, 0) / 1000, UTC)

    def reach(self, place: int, milliseconds: int) -> None:
        """Move a partition forward to a moment, milliseconds since the epoch; never back."""
        self._place = place
        self._milliseconds[place] = max(self._milliseconds.get(place, 0), milliseconds)


class Silence(Delivery):
    """Delivers nothing: for who wants to know the states only."""

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Drop the records."""


class _OutputsOnly(Delivery):
    """Delivers what goes to a topic, which the changes of `RerunStates` do not."""

    def __init__(self, inner: Delivery) -> None:
        self._inner = inner

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Send records to where they have a topic."""
        await self._inner.send([record for record in records if record.topic])


class RerunStates(PartitionStates):
    """States in memory, which no changelog keeps: a rerun that ends early is begun again."""

    changelog_topic_name = ""

    def __init__(self, partitions: int) -> None:
        super().__init__()
        self.partitions = partitions

    def on_recover(self, callback: Any) -> Any:
        """Never call back: nothing is recovered."""
        return callback


class Rerun(BatchProcessor):
    """Steps a processor over chunks of the log.

    With `restoring` only its states are wanted: the processor orders nothing that its history does not hold. Use it with `Silence`.
    """

    def __init__(self, processor: Processor, resources: Resources, partitions: int, *, restoring: bool = False) -> None:
        """Prepare a rerun over `partitions` partitions of state; outputs go where `resources` delivers them."""
        self._clock = RecordClock()
        self._restoring = restoring
        self.states = RerunStates(partitions)
        never_suspended: Any = SimpleNamespace(consumer=SimpleNamespace(suspend_flow=asyncio.Event()))
        own = replace(resources, clock=self._clock, delivery=_OutputsOnly(resources.delivery))
        super().__init__(processor, own, never_suspended, self.states if processor.key else None)

    async def take(self, topic: Topic, chunk: Chunk, *, retried: bool = False) -> None:
        """Bring about everything that a chunk of a topic, or of its retry topic, causes."""
        batch = Batch(chunk.topic, chunk.partition, chunk.records)
        place = 0 if self._whole else chunk.partition
        self._clock.reach(place, chunk.records[-1].timestamp)
        if retried:
            self._clock.reach(place, due_ms(batch))
        await self.process(topic, batch, retried=retried)

    async def take_all(self, topics: Mapping[str, tuple[Topic, bool]], chunks: Iterator[Chunk], progress: Callable[[Chunk], None] = lambda _: None) -> None:
        """Take chunks in their order. `topics` tells by name what lies in a topic, and whether it is the retry topic of that."""
        while (chunk := await asyncio.to_thread(_next, chunks)) is not None:
            topic, retried = topics[chunk.topic]
            await self.take(topic, chunk, retried=retried)
            progress(chunk)

    async def _until_others_are_read(self, topic: Topic, batch: Batch) -> None:
        """Wait for nothing: retried records are taken when everything else has been."""

    async def _run(self, topic: Topic, batch: Batch, work: Work, context: Context, lane: Lane, *, retried: bool) -> BatchRun:
        return await super()._run(topic, batch, work, replace(context, restoring=self._restoring), lane, retried=retried)


def _next(chunks: Iterator[Chunk]) -> Chunk | None:
    return next(chunks, None)
