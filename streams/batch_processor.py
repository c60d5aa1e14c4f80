"""One batch through one processor: decode, step, deliver, store, complete."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from trueloop.streams.batch_run import RETRY_GRACE_MS, BatchRun, due_ms
from trueloop.streams.lane import Lane
from trueloop.streams.other_inputs import until_read
from trueloop.streams.resources import Resources
from trueloop.streams.screening import Decoded, screened

from trueloop.adapters.delivery import Outgoing
from trueloop.adapters.faust_batch import Batch, KeptStates
from trueloop.adapters.faust_batch.records import RawRecord
from trueloop.adapters.kafka import physical_name, read_events
from trueloop.errors import ConfigurationError, DecodeError, UnavailableError
from trueloop.events import Event
from trueloop.processors.processor import Context, Processor, Screened, StepFunction
from trueloop.rejection import Rejection, RejectReason
from trueloop.rubrics import Governance
from trueloop.topics import MAX_MESSAGE_BYTES, Topic, topic_of

logger = logging.getLogger(__name__)

T = TypeVar("T")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
"""Between attempts to reach a registry: soon enough for a restart, and not a burden on one that is down."""
LARGEST_EVENT = MAX_MESSAGE_BYTES - 4096
"""Bytes of a derived event; the rest is for key, headers and the record's own overhead."""


class Single(NamedTuple):
    """A record that is stepped by itself."""

    record: RawRecord
    event: Decoded
    step: StepFunction


class Work(NamedTuple):
    """A batch after the first look."""

    screened: Screened
    singly: list[Single]


class SuspendedError(Exception):
    """The flow was suspended while a batch waited: its partition is being moved, or the worker stops."""


class BatchProcessor:
    """Steps a processor over batches. Effects are durable in this order: outputs, state, and then the batch is complete."""

    def __init__(self, processor: Processor, resources: Resources, app: Any, table: KeptStates | None) -> None:
        self._processor = processor
        self.resources = resources
        self.settings = resources.settings
        self._kafka = resources.settings.kafka
        self._app = app
        self._table = table
        self._whole = table is not None and table.partitions == 1
        self._lanes: dict[int, Lane] = {}
        self._past: tuple[Event, ...] | None = None
        # Inputs that meet the same state take turns, a whole batch each.
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        if table is not None:
            table.on_recover(self._forget)

    async def _forget(self) -> None:
        """Drop what was derived from the states and read from the history: another worker may have gone on in the meantime."""
        self._lanes.clear()
        self._past = None

    async def process(self, topic: Topic, batch: Batch, *, retried: bool) -> None:
        """Bring about everything that a batch causes, then complete it.

        Raises SuspendedError when it was given up before anything happened; UnavailableError when an effect could not be made durable.
        """
        if retried:
            await self._until_due(batch)
            if await self._is_early(topic, batch):
                await self._until_others_are_read(topic, batch)
        begun = time.monotonic()
        context = Context(await self._governance(begun if retried else batch.fetched_at), self.settings.blinding_key.get_secret_value(), await self._history())
        work = await self._work(topic, batch, context)
        place = 0 if self._whole else batch.partition
        async with self._locks[place]:
            try:
                run = await self._run(topic, batch, work, context, self._lane(place), retried=retried)
                await self._make_durable(run, place)
            except BaseException:
                self._lanes.pop(place, None)  # it holds changes that were not made durable
                raise
            batch.complete()
            self.resources.counters.batch(
                processor=self._processor.name,
                topic=topic.retry if retried else topic.name,
                records=len(batch.records),
                seconds=time.monotonic() - begun,
                oldest_ms=batch.records[0].timestamp,
                outcomes=run.counts,
                rejected=run.rejected,
                drops=run.drops,
            )

    async def _governance(self, since: float) -> Governance:
        """Return the documents as they were at `since` or later: those of a look that another batch has taken meanwhile, if there is one."""
        store = self.resources.governance
        known = store.known(since)
        return known if known is not None else await self._patiently(lambda: store.fresh(since))

    async def _history(self) -> tuple[Event, ...]:
        if self._past is None:
            found: list[Event] = []
            for topic in self._processor.history:
                found += await self._patiently(lambda topic=topic: read_events(self._kafka, self.resources.codec, topic))  # type: ignore[misc]
            self._past = tuple(found)
        return self._past

    def _lane(self, place: int) -> Lane:
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = Lane(self._processor, self._table.partition(place) if self._table is not None else {})
        return lane

    async def _run(self, topic: Topic, batch: Batch, work: Work, context: Context, lane: Lane, *, retried: bool) -> BatchRun:
        run = BatchRun(self._kafka, self._processor.name, topic, batch, self.resources.clock(), retried=retried)
        for outcome, events in work.screened.outcomes.items():
            run.count(outcome, events)
        await self._publish_all(run, work.screened.out)
        for single in work.singly:
            await self._step(run, single, context, lane, retried=retried)
        if run.touched:
            if lane.view is None:
                raise TypeError(f"processor {self._processor.name!r} touches summaries but has no view")
            await self._publish_all(run, lane.view.summarise(tuple(run.touched), now=run.now, context=context))
            for key in lane.view.expired():
                lane.put(key, None)
                run.count("expired")
        return run

    async def _step(self, run: BatchRun, single: Single, context: Context, lane: Lane, *, retried: bool) -> None:
        record, event = single.record, single.event
        if event is None:
            run.count("tombstone")
            return
        if isinstance(event, DecodeError):
            run.count(event.reason.value)
            run.reject(record, Rejection(event.reason, event.message))
            return
        processor = self._processor
        key = processor.key(event) if processor.key else None
        state = None if key is None else lane.get(key)
        step = single.step(state, event, source=run.source(record), now=run.now, final=retried, context=context)
        if step.outcome not in processor.outcomes or (step.retry and retried):
            raise ValueError(f"processor {processor.name!r} returned outcome {step.outcome!r}, retry {step.retry} on final {retried}; see Step")
        if not step.drops.keys() <= processor.drops:
            raise ValueError(f"processor {processor.name!r} dropped for {sorted(step.drops)}; it declares {sorted(processor.drops)}")
        too_large = await self._publish(run, step.out) if step.out else None
        if too_large is not None:
            run.count(RejectReason.TOO_LARGE.value)
            run.reject(record, too_large)
            return
        run.count(step.outcome)
        run.drops.update(step.drops)
        if key is not None:
            lane.put(key, step.state)
        if step.touched:
            run.touched |= dict.fromkeys(step.touched)
        if step.rejection is not None:
            run.reject(record, step.rejection)
        if step.retry:
            run.retry(record)

    async def _publish_all(self, run: BatchRun, events: Iterable[Event]) -> None:
        """Add events that no single record caused, so that none can be refused for them."""
        too_large = await self._publish(run, events)
        if too_large is not None:
            raise ConfigurationError(f"a summary of processor {self._processor.name!r} cannot be published: {too_large.message}")

    async def _publish(self, run: BatchRun, events: Iterable[Event]) -> Rejection | None:
        """Add derived events to the run; if one is too large for its topic, add none and say so."""
        outgoing: list[Outgoing] = []
        for event in events:
            topic = topic_of(event)
            try:
                data = self.resources.codec.encode(topic, event)
            except UnavailableError:
                data = await self._patiently(lambda topic=topic, event=event: self.resources.codec.encode(topic, event))  # type: ignore[misc]
            if len(data) > LARGEST_EVENT:
                return Rejection(
                    RejectReason.TOO_LARGE, f"{type(event).__name__} {event.event_id!r} has {len(data)} bytes; at most {LARGEST_EVENT} are possible"
                )
            outgoing.append(Outgoing(physical_name(self._kafka, topic.name), topic.key(event).encode(), data))
        run.outgoing.extend(outgoing)
        return None

    async def _make_durable(self, run: BatchRun, place: int) -> None:
        await self.resources.delivery.send(run.outgoing)
        if self._table is None:
            return
        lane = self._lanes[place]
        change = self._table.planned(place, lane.dumped(), run.reached)
        await self.resources.delivery.send(change.records(self._table.changelog_topic_name))
        self._table.adopt(change)
        lane.settle()

    async def _work(self, topic: Topic, batch: Batch, context: Context) -> Work:
        """Screen the batch if that can be done, and decode what has to be read whole."""
        try:
            return self._work_now(topic, batch, context)
        except UnavailableError:
            return await self._patiently(lambda: self._work_now(topic, batch, context))

    def _work_now(self, topic: Topic, batch: Batch, context: Context) -> Work:
        screen = self._processor.screen
        if screen is None:
            return Work(Screened(), [Single(record, self._decode_one(topic, record), self._processor.step) for record in batch.records])
        found, rest = screened(screen, self.resources.codec, topic, batch, context=context, decode=lambda place: self._decode_one(topic, batch.records[place]))
        singly = []
        for place, drawn in found.picked.items():
            record = batch.records[place]
            event = rest[place] if place in rest else self._decode_one(topic, record)
            singly.append(Single(record, event, partial(screen.finish, drawn=drawn)))
        bad = [Single(batch.records[place], event, screen.finish) for place, event in rest.items() if not isinstance(event, Event)]
        return Work(found, singly + bad)

    def _decode_one(self, topic: Topic, record: RawRecord) -> Decoded:
        if record.value is None and topic.cleanup_policy == "compact":
            return None
        try:
            return self.resources.codec.decode(topic, record.value)
        except DecodeError as error:
            return error

    async def _until_due(self, batch: Batch) -> None:
        remaining_ms = due_ms(batch) - self.resources.clock().timestamp() * 1000
        if remaining_ms > 0:
            await self._pause(min(remaining_ms, RETRY_GRACE_MS) / 1000)

    async def _is_early(self, topic: Topic, batch: Batch) -> bool:
        """Return whether an event meets no state. Most meet one by now, and waiting for a busy input, batch after batch, would take minutes."""
        key, lane = self._processor.key, self._lane(0 if self._whole else batch.partition)
        events = await self._patiently(lambda: [self._decode_one(topic, record) for record in batch.records])
        return any(isinstance(event, Event) and (key is None or lane.get(key(event)) is None) for event in events)

    async def _until_others_are_read(self, topic: Topic, batch: Batch) -> None:
        """Wait until the other inputs are read as far as they reach now: what a retried event refers to may lie there, unread since a crash."""
        others = [physical_name(self._kafka, other.name) for other in self._processor.inputs if other is not topic and other.partitions == topic.partitions]
        await until_read(self._app.consumer, others, batch.partition, self._pause)

    async def _patiently(self, attempt: Callable[[], T]) -> T:
        """Call in a thread until the service answers. It is no fault of the records, so they are not refused."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                return await asyncio.to_thread(attempt)
            except UnavailableError as error:
                logger.warning("%s waits %.1f s and tries again: %s", self._processor.name, pause, error)
                self.resources.counters.retried(self._processor.name)
            await self._pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _pause(self, seconds: float) -> None:
        """Wait. Raises SuspendedError as soon as the flow is suspended: who suspends it waits for the batches in progress."""
        try:
            await asyncio.wait_for(self._app.consumer.suspend_flow.wait(), seconds)
        except TimeoutError:
            return
        raise SuspendedError
