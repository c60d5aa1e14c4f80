"""Looks at recovered state before anything is processed with it: whole state is served, lost state is rebuilt, partial state never."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from trueloop.streams.rerun import Rerun, Silence
from trueloop.streams.resources import Resources
from trueloop.streams.state_topics import changelog_of, is_ordered, state_partitions

from trueloop.adapters.delivery import Delivery, Outgoing
from trueloop.adapters.faust_batch import BatchApp, StateTable
from trueloop.adapters.faust_batch.partition_states import MARK_KEY, StateMark
from trueloop.adapters.kafka import physical_name
from trueloop.adapters.log_positions import Bounds, LogPositions, Partition
from trueloop.adapters.log_reader import Chunk, read_merged, read_partition
from trueloop.config import KafkaSettings, Settings
from trueloop.errors import IntegrityError
from trueloop.processors.processor import Processor
from trueloop.topics import Topic

logger = logging.getLogger(__name__)

SENT_AT_ONCE = 10_000
"""Records of a rebuilt changelog that are in flight together: some ten megabytes."""


class StateGuard:
    """Compares what was recovered with its mark, and the mark with what the group has committed.

    State is whole when the newest mark of the changelog describes it and no input is committed beyond the mark: the changelog is written before
    the offsets are. Otherwise the changelog was cut, emptied or made anew. The state is then rebuilt from the inputs, whose records up to the
    committed offsets are stepped through once more; what comes out of them was delivered before, and is dropped. When the inputs have lost
    records too, nothing is processed until a person accepts the loss.

    Offsets that the brokers forgot (they keep those of a group that is away for a week) are taken from the mark.
    """

    def __init__(self, processor: Processor, resources: Resources, app: BatchApp, table: StateTable) -> None:
        """Watch over the table of an app."""
        self._processor = processor
        self._resources = resources
        self._app = app
        self._table = table
        self._kafka = resources.settings.kafka
        self._positions: LogPositions | None = None
        table.on_recover(self.check)

    async def check(self) -> None:
        """Return when the states of all partitions here are whole. When they cannot be, log why, and have the process stopped."""
        try:
            for partition in sorted(self._table.active):
                await self._check(partition)
        except Exception as error:
            # Our own errors only: the text of a foreign one may quote an event.
            text = str(error) if isinstance(error, IntegrityError) else type(error).__name__
            logger.critical("%s stops: its state cannot be used: %s", self._processor.name, text)
            self._resources.on_failure()
            raise

    async def _check(self, partition: int) -> None:
        inputs = input_partitions(self._processor, partition)
        committed, bounds = await asyncio.to_thread(self._ask, inputs)
        states, mark = self._table.kept, self._table.kept.mark(partition)
        for place in inputs:
            reached = mark.offsets.get(_name(place), 0) if mark else 0
            if reached > bounds[place].end:
                raise self._foreign(place, bounds[place].end, reached)
        forgotten = {place: mark.offsets.get(_name(place), 0) for place in inputs if place not in committed} if mark else {}
        forgotten = {place: offset for place, offset in forgotten.items() if offset}
        fault = fault_of(mark, agrees=states.agrees(partition), keys=len(states.partition(partition)), committed=committed)
        if fault is not None:
            await self._rebuild(partition, fault, committed | forgotten, bounds, accepted=mark is not None and mark.loss_accepted)
        if forgotten:
            logger.warning("%s: the group has no offsets of %s; it goes on where its state stands", self._processor.name, ", ".join(map(_name, forgotten)))
            await self._app.commit_offsets({(physical_name(self._kafka, topic), number): offset for (topic, number), offset in forgotten.items()})

    def _ask(self, inputs: list[Partition]) -> tuple[dict[Partition, int], dict[Partition, Bounds]]:
        if self._positions is None:
            self._positions = LogPositions(self._kafka)
        committed = self._positions.committed(self._app.conf.id.removeprefix(self._kafka.topic_prefix))
        return {place: committed[place] for place in inputs if place in committed}, self._positions.bounds(inputs)

    async def _rebuild(self, partition: int, fault: str, reached: Mapping[Partition, int], bounds: Mapping[Partition, Bounds], *, accepted: bool) -> None:
        name = self._processor.name
        lost = {place: bounds[place].start for place, offset in reached.items() if offset and bounds[place].start}
        if lost and not accepted:
            raise self._unrecoverable(partition, fault, lost)
        stretches = {place: Bounds(bounds[place].start, reached[place]) for place in input_partitions(self._processor, partition) if place in reached}
        logger.warning("%s: the state of partition %d is not whole (%s); rebuilding it from %s", name, partition, fault, ", ".join(map(_name, stretches)))
        generation = self._app.consumer_generation_id
        rerun = Rerun(self._processor, replace(self._resources, delivery=Silence(self._kafka)), self._table.partitions, restoring=True)
        await rerun.take_all(topics_by_name(self._processor), recorded(self._kafka, self._processor, stretches))
        if generation != self._app.consumer_generation_id:
            return  # the partitions are being divided anew; whoever gets this one looks at it again
        await self._replace(partition, rerun.states.partition(partition), {_name(place): offset for place, offset in reached.items()})
        logger.warning("%s: the state of partition %d is whole again: %d keys", name, partition, len(self._table.partition(partition)))

    async def _replace(self, partition: int, rebuilt: Mapping[bytes, bytes], offsets: Mapping[str, int]) -> None:
        present = self._table.partition(partition)
        changes: dict[bytes, bytes | None] = {key: None for key in present if key not in rebuilt}
        # All of them, also those that are in memory: the changelog may lack what was read from it before.
        changes.update(rebuilt)
        change = self._table.planned(partition, changes, offsets)
        records = change.records(self._table.changelog_topic_name)
        for start in range(0, len(records), SENT_AT_ONCE):
            await self._resources.delivery.send(records[start : start + SENT_AT_ONCE])  # the mark is the last
        self._table.adopt(change)

    def _unrecoverable(self, partition: int, fault: str, lost: Mapping[Partition, int]) -> IntegrityError:
        gone = ", ".join(f"{_name(place)} before offset {offset}" for place, offset in lost.items())
        return IntegrityError(
            f"the state of worker {self._processor.name!r} partition {partition} is not whole ({fault}), and it cannot be rebuilt, because records that it was "
            f"made of are gone: {gone}. Put the changelog {self._table.changelog_topic_name!r} back from a backup; or accept that the state knows nothing of "
            f"those records: run `trueloop worker {self._processor.name} --accept-loss` and start the worker again"
        )

    def _foreign(self, place: Partition, end: int, reached: int) -> IntegrityError:
        return IntegrityError(
            f"{physical_name(self._kafka, place[0])!r} partition {place[1]} ends at offset {end}, but the state of worker {self._processor.name!r} "
            f"knows its records up to offset {reached - 1}: the topic was made anew, or this is another cluster. Delete the topic "
            f"{self._table.changelog_topic_name!r} and the group {self._app.conf.id!r} to begin anew, or give this deployment other topics with "
            "TRUELOOP_KAFKA__TOPIC_PREFIX"
        )


def fault_of(mark: StateMark | None, *, agrees: bool, keys: int, committed: Mapping[Partition, int]) -> str | None:
    """Return what is wrong with the state of a partition, None when it is whole.

    Args:
        mark: The newest mark of its changelog.
        agrees: Whether the states were, where the mark lay, what it says.
        keys: States that were recovered.
        committed: Per input, the offset that the group has committed.

    >>> fault_of(None, agrees=True, keys=0, committed={})
    >>> fault_of(None, agrees=True, keys=0, committed={("labels", 0): 12})
    'its changelog holds no mark, yet labels/0 was read up to offset 12'
    """
    read = {_name(place): offset for place, offset in committed.items() if offset}
    if mark is None:
        return f"its changelog holds no mark, yet {next(iter(read))} was read up to offset {read[next(iter(read))]}" if read else None
    if mark.loss_accepted:
        return "its loss was accepted"
    if not agrees:
        return f"its changelog gives {keys} keys, which are not the {mark.keys} that its mark sums up"
    behind = [f"{name} was read up to offset {offset}, the state knows {mark.offsets.get(name, 0)}" for name, offset in read.items()
              if offset > mark.offsets.get(name, 0)]  # fmt: skip
    return behind[0] if behind else None


def input_partitions(processor: Processor, partition: int) -> list[Partition]:
    """Return the partitions, retry topics included, whose records meet the states of one partition; in the order in which they are rerun."""
    whole = state_partitions(processor) == 1
    names = [(topic.name, topic.partitions) for topic in processor.inputs]
    names += [(topic.retry, topic.partitions) for topic in processor.inputs if topic.retried]
    return [(name, number) for name, partitions in names for number in (range(partitions) if whole else (partition,))]


def topics_by_name(processor: Processor) -> dict[str, tuple[Topic, bool]]:
    """Return, by the name of each topic that a processor reads, its input and whether it is the input's retry topic."""
    found = {topic.name: (topic, False) for topic in processor.inputs}
    return found | {topic.retry: (topic, True) for topic in processor.inputs if topic.retried}


def recorded(kafka: KafkaSettings, processor: Processor, stretches: Mapping[Partition, Bounds]) -> Iterator[Chunk]:
    """Yield what a processor read, one input after the other, so that tasks come before their labels and retried records last.

    Inputs whose order matters are merged by their records' timestamps.
    """
    if is_ordered(processor):
        return read_merged(kafka, stretches)
    return (chunk for place, bounds in stretches.items() for chunk in read_partition(kafka, place, bounds))


def accept_loss(settings: Settings, chosen: Iterable[Processor]) -> list[str]:
    """Have the states of processors rebuilt from what their inputs still hold, at the next start of their workers; return their names.

    Raises UnavailableError when the broker does not answer or a changelog does not exist.
    """
    stateful = [processor for processor in chosen if processor.key is not None]
    mark = StateMark(0, 0, {}, loss_accepted=True).dump()
    places = LogPositions(settings.kafka).partitions(changelog_of(processor) for processor in stateful)
    records: list[Any] = [Outgoing(physical_name(settings.kafka, name), MARK_KEY, mark, (), number) for name, number in places]
    asyncio.run(Delivery(settings.kafka).send(records))
    return [processor.name for processor in stateful]


def _name(place: Partition) -> str:
    return f"{place[0]}/{place[1]}"
