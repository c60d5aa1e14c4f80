"""The rebuild: every worker of the plan, run over its stretch of the log into the shadow."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from trueloop.streams.rerun import Rerun
from trueloop.streams.resources import Resources
from trueloop.streams.shadow import Shadow
from trueloop.streams.shadow_plan import Part
from trueloop.streams.shadow_positions import Say, Stretches
from trueloop.streams.state_guard import topics_by_name
from trueloop.streams.state_topics import is_ordered, state_partitions

from trueloop.adapters.governance_store import GovernanceStore
from trueloop.adapters.log_positions import Bounds, LogPositions, Partition
from trueloop.adapters.log_reader import Chunk, read_merged, read_partitions
from trueloop.config import Settings
from trueloop.errors import ConfigurationError
from trueloop.processors.processor import Processor
from trueloop.rubrics import Governance
from trueloop.topics import PhysicalTopic

Plan = Sequence[tuple[Part, Processor]]
"""The parts that are run, in this order, each with its worker's processor."""


class FixedGovernance(GovernanceStore):
    """The documents as they were when the rebuild began: what is published meanwhile must not divide it."""

    def __init__(self, governance: Governance) -> None:
        self._fixed = governance

    def known(self, since: float) -> Governance:
        """Return the documents, whatever `since` is."""
        return self._fixed

    def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class _Running:
    part: Part
    processor: Processor
    rerun: Rerun


class ShadowRun:
    """Rebuilds what the loop wrote. Nothing it does is seen by anyone: its outputs go to the shadow, and it is in no consumer group."""

    def __init__(self, settings: Settings, shadow: Shadow, stretches: Stretches, *, governance: Governance, plan: Plan, say: Say) -> None:
        """Prepare a run over `stretches` of the log that `settings` name."""
        self._real, self._shadow, self._stretches, self._say = settings, shadow, stretches, say
        resources = replace(Resources.of(shadow.settings), governance=FixedGovernance(governance))
        self._parts = [_Running(part, processor, Rerun(processor, resources, state_partitions(processor))) for part, processor in plan]
        self._taken: dict[Partition, int] = {}
        self._read: Counter[tuple[str, str]] = Counter()
        self._positions = LogPositions(shadow.settings.kafka)

    @property
    def thinned(self) -> frozenset[str]:
        """The topics that were made of a log from which compaction has removed records."""
        start, end = self._stretches.start, self._stretches.end
        held: Counter[str] = Counter()
        for (topic, number), offset in end.items():
            held[topic] += max(0, offset - start[topic, number])
        return frozenset(
            output.name
            for running in self._parts
            if any(
                topic.cleanup_policy == "compact" and self._read[running.part.processor, topic.name] < held[topic.name] for topic in running.processor.inputs
            )
            for output in running.part.outputs
        )

    def topics(self) -> list[PhysicalTopic]:
        """Return the topics that the shadow needs: outputs, dead letters and retries, with as many partitions as the real ones have.

        And those of workers' histories, which stay empty: what was decided is decided anew.
        """
        names = {topic.name: topic.max_message_bytes for running in self._parts for topic in (*running.part.outputs, *running.processor.history)}
        for running in self._parts:
            for topic in running.processor.inputs:
                names[topic.dead_letters] = topic.max_message_bytes
                if topic.retried:
                    names[topic.retry] = topic.max_message_bytes
        counts: dict[str, int] = {}
        for name, _ in LogPositions(self._real.kafka).partitions(names):
            counts[name] = counts.get(name, 0) + 1
        return [PhysicalTopic(name, counts[name], -1, "delete", size) for name, size in names.items()]

    async def run(self) -> dict[Partition, int]:
        """Rebuild everything; return the offsets of the shadow's partitions up to which it is made of what the loop has worked off."""
        await self._pass(self._stretches.start, self._stretches.settled)
        settled = self._positions.ends(self._positions.partitions(topic.name for topic in self.topics()))
        if self._stretches.end != self._stretches.settled:
            await self._pass(self._stretches.settled, self._stretches.end)
        return settled

    async def _pass(self, begin: dict[Partition, int], end: dict[Partition, int]) -> None:
        for running in self._parts:
            cut = self._stretches.cut if running.part.begins_anywhere else {}
            start = {place: max(offset, cut.get(place, 0)) for place, offset in begin.items()}
            await running.rerun.take_all(topics_by_name(running.processor), self._watched(running, self._chunks(running, start, end)))
            for topic in running.part.rebuilt:
                if topic in running.part.outputs:
                    await running.rerun.take_all(topics_by_name(running.processor), self._from_shadow(topic.name))
            for topic in running.processor.inputs:
                if topic.retried:
                    await running.rerun.take_all(topics_by_name(running.processor), self._from_shadow(topic.retry))

    def _chunks(self, running: _Running, start: dict[Partition, int], end: dict[Partition, int]) -> Iterator[Chunk]:
        """Yield what a worker reads: tasks before labels; merged by time where the order of inputs matters."""
        names = [topic.name for topic in running.processor.inputs]
        if is_ordered(running.processor):
            return read_merged(self._real.kafka, {place: Bounds(start[place], end[place]) for place in end if place[0] in names})
        return self._one_by_one(running, start, end)

    def _one_by_one(self, running: _Running, start: dict[Partition, int], end: dict[Partition, int]) -> Iterator[Chunk]:
        for topic in running.processor.inputs:
            if topic in running.part.rebuilt:
                yield from self._from_shadow(topic.name)
                continue
            yield from read_partitions(self._real.kafka, {place: Bounds(start[place], end[place]) for place in end if place[0] == topic.name})

    def _from_shadow(self, name: str) -> Iterator[Chunk]:
        """Yield what the shadow has of a topic and was not taken yet."""
        ends = self._positions.ends(self._positions.partitions([name]))
        yield from read_partitions(self._shadow.settings.kafka, {place: Bounds(self._taken.get(place, 0), end) for place, end in ends.items()})
        self._taken |= ends

    def _watched(self, running: _Running, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        done = 0
        for chunk in chunks:
            yield chunk
            done += len(chunk.records)
            self._read[running.part.processor, chunk.topic] += len(chunk.records)
            self._say(f"rebuilding with worker {running.part.processor}: {done:,} records")


def governance_of(settings: Settings) -> Governance:
    """Return what is published now. Raises UnavailableError, or ConfigurationError when nothing is."""
    store = GovernanceStore(settings.kafka, Resources.of(settings).codec)
    try:
        governance = store.fresh(time.monotonic())
    finally:
        store.close()
    if not governance.applications:
        raise ConfigurationError("no policy is published, so the loop has made nothing that could be rebuilt; see `trueloop policy publish --help`")
    return governance
