"""The consumer that turns a fetch of a partition into one Faust event."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from trueloop.adapters.faust_batch.batch import MAX_BUFFERED_BYTES, Batch, split
from trueloop.adapters.faust_batch.fetched_records import use_fetched_records
from trueloop.adapters.faust_batch.hand_over import HandOver
from trueloop.adapters.faust_batch.records import RawRecord, offsets_of
from trueloop.adapters.faust_batch.responses import receive_directly

_FETCH_TIMEOUT_S = 1.0
"""How long a fetch may wait for records; it bounds how late a fetch notices that the consumer stops."""
_RECOVERY_FETCH_TIMEOUT_S = 0.1
"""The same while state is recovered, when seeks wait for the fetch."""
_BUSY_FETCH_TIMEOUT_S = 0.02
"""The same while a topic has batches that no agent took yet: it is not fetched then, and must not wait long for those beside it once it may be."""
_BROKER_WAIT_MS = 150
"""How long the broker may hold a fetch that finds nothing. It answers the requests of a connection in order, so whatever a rebalance asks of it
waits for the fetch in flight: with Faust's 1500 ms, reading the start of a partition took 1.5 s."""


class PromptConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's thread around the aiokafka consumer, with fetches that do not hold up what comes after them."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        use_fetched_records()
        receive_directly()
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _BROKER_WAIT_MS  # Faust has no setting for it; read when the consumer starts
        return consumer


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, delivering a `Batch` per event for stream topics and single messages for changelogs.

    What is committed for a partition is the end of the longest prefix of completed batches.

    A fetch moves the position, so records that are fetched and then passed over would be a hole. Three rules keep holes out, where Faust
    has races: a seek waits until no fetch is in flight; stream topics are not fetched before a rebalance is over (Faust empties its
    queues at the end of one); and a partition without a committed offset is sent back to its beginning, which Faust leaves where it is.

    Topics do not hold up each other. What is fetched is handed to a topic's agents by a task of its own, and a topic is not fetched again before
    that is done. One task for all would wait for the slowest: labels that are retried, and wait for their tasks, would keep the tasks away.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._outstanding: defaultdict[TP, deque[Batch]] = defaultdict(deque)
        self._finished: dict[TP, int] = {}
        self.gaps: Counter[TP] = Counter()
        """Offsets between fetches that held no record: deleted by retention before they were read, compacted, or markers of transactions."""
        self._fetching = asyncio.Lock()
        self._freed = asyncio.Event()
        self._hand_over = HandOver(lambda message: self._until_suspended(self.callback(message)), self.add_future)

    def _new_consumer_thread(self) -> PromptConsumerThread:
        return PromptConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Sequence[RawRecord]]]:
        """Fetch once; yield what came per partition, until the flow is suspended: the rebalance ends with a seek that gives back the rest."""
        records, _active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        for tp, fetched in records.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            if fetched:
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                yield tp, fetched

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, Sequence[RawRecord]]:
        wanted = set(active_partitions or ())
        if self.app.rebalancing:
            wanted = {tp for tp in wanted if self._is_changelog_tp(tp)}
            timeout = _RECOVERY_FETCH_TIMEOUT_S
        busy = self._hand_over.busy
        if busy:
            wanted, timeout = {tp for tp in wanted if tp.topic not in busy}, min(timeout, _BUSY_FETCH_TIMEOUT_S)
        if not wanted:
            await self._hand_over.until_less_busy(_RECOVERY_FETCH_TIMEOUT_S)
            return {}
        fetched: Mapping[TP, Sequence[RawRecord]] = await super()._getmany(wanted, timeout)
        return fetched

    async def perform_seek(self) -> None:
        """Go to the committed offsets, forgetting what was delivered before: it is fetched again."""
        async with self._fetching:
            self._hand_over.clear()
            self._outstanding.clear()
            self._finished.clear()
            self._freed.set()
            await super().perform_seek()
            uncommitted = [tp for tp in self.assignment() if not self._is_changelog_tp(tp) and not self._read_offset[tp]]
            if uncommitted:
                await self._thread.seek_to_beginning(*driver.ensure_aiokafka_TPset(uncommitted))

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Go to these offsets (of changelogs, before they are recovered)."""
        async with self._fetching:
            await super().seek_wait(partitions)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let batches in progress be completed and committed, then forget the partitions."""
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._outstanding.pop(tp, None)
            self._finished.pop(tp, None)
        self._freed.set()

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: a topic whose agents are behind is not fetched. Pausing would make it sleep a whole second once every partition is paused."""

    async def verify_all_partitions_active(self) -> None:
        """Do nothing: the check counts messages, so a partition whose batches are whole and few would be reported as stuck."""

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                # Without a pause of the loop a fetch that always finds records would starve everything else.
                await asyncio.sleep(0)
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)
                    continue
                async with self._fetching:
                    await self._fetch_and_deliver()
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise

    async def _fetch_and_deliver(self) -> None:
        async for tp, records in self.getmany(_FETCH_TIMEOUT_S):
            take = self._deliver_changelog if self._is_changelog_tp(tp) else self._take_batches
            await self._until_suspended(take(tp, records))

    async def _until_suspended(self, delivery: Any) -> None:
        """Deliver, but give up when a rebalance suspends the flow: delivery would wait for the end of the rebalance that waits for it."""
        await self.wait_first(delivery, self.suspend_flow.wait())

    async def _deliver_changelog(self, tp: TP, records: Sequence[RawRecord]) -> None:
        """Put what was fetched into the table, and tell Faust's recovery about the last record only: it spends 150 µs on each."""
        expected = self._read_offset[tp]
        fresh = [record for record in records if expected is None or record.offset >= expected]
        if fresh:
            self.app.tables.table_of(tp.topic).recover(tp.partition, fresh)
            await self.callback(self._message(tp, fresh[-1].offset, fresh[-1], None))
            self._read_offset[tp] = fresh[-1].offset

    async def _take_batches(self, tp: TP, records: Sequence[RawRecord]) -> None:
        expected = self._read_offset[tp]
        if expected is not None and records[0].offset < expected:
            records = records[int(np.searchsorted(offsets_of(records), expected)) :]
        if expected and records[0].offset > expected:
            self.gaps[tp] += records[0].offset - expected
        for batch in split(tp.topic, tp.partition, records):
            await self._room_for(batch)
            self._outstanding[tp].append(batch)
            self._read_offset[tp] = batch.next_offset
            self._hand_over.put(self._message(tp, batch.first_offset, batch.records[-1], batch))

    async def _room_for(self, batch: Batch) -> None:
        """Wait until a batch fits into the bytes that may be buffered. One that is larger than all of them waits until it is alone."""
        while buffered := sum(held.size for batches in self._outstanding.values() for held in batches):
            if buffered + batch.size <= MAX_BUFFERED_BYTES:
                return
            self._freed.clear()
            await self._freed.wait()

    def _message(self, tp: TP, offset: int, last: RawRecord, value: Batch | None) -> ConsumerMessage:
        """Return what Faust passes on: a batch, or the news that a changelog was read up to an offset."""
        # No headers: Faust would obey those that ask for a reply, and anyone may have written them.
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            None,
            None,
            value,
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def lags(self) -> dict[TP, int]:
        """Return how many offsets of each partition are not completed, as the last fetch told its end; partitions it is not known of are left out.

        Asks the broker nothing, and may be called in any thread.
        """
        found: dict[TP, int] = {}
        for tp in self.assignment():
            if not self._is_changelog_tp(tp):
                try:
                    end = self.highwater(tp)
                except (AssertionError, AttributeError, KeyError):
                    continue  # the partition went to another worker meanwhile
                done = 0 if end == 0 else self._completed_to(tp)
                if end is not None and done is not None:
                    found[tp] = max(end - done, 0)
        return found

    async def ends(self, topics: Iterable[str], partition: int) -> Mapping[TP, int]:
        """Ask the broker where this partition of these topics ends now."""
        wanted = [TP(topic, partition) for topic in topics]
        found: Mapping[TP, int] = await self.highwaters(*wanted) if wanted else {}
        return found

    def unread(self, ends: Mapping[TP, int]) -> int:
        """Return how many offsets before these ends are not completed."""
        return sum(max(end - (self._completed_to(tp) or 0), 0) for tp, end in ends.items())

    def is_working_on(self, topics: Collection[str]) -> bool:
        """Return whether a batch of some partition of these topics is fetched and not completed."""
        return any(not batch.completed for tp, batches in self._outstanding.items() if tp.topic in topics for batch in batches)

    def _completed_to(self, tp: TP) -> int | None:
        batches = list(self._outstanding.get(tp, ()))  # a copy: the event loop goes on changing it
        unfinished = next((batch.first_offset for batch in batches if not batch.completed), None)
        if unfinished is not None:
            return unfinished
        return batches[-1].next_offset if batches else self._finished.get(tp) or self._committed_offset.get(tp)

    def _filter_tps_with_pending_acks(self, topics: Iterable[Any] | None = None) -> Iterator[TP]:
        wanted = None if topics is None else set(topics)
        return (tp for tp in list(self._outstanding) if wanted is None or tp in wanted or tp.topic in wanted)

    def _new_offset(self, tp: TP) -> int | None:
        outstanding = self._outstanding[tp]
        while outstanding and outstanding[0].completed:
            self._finished[tp] = outstanding.popleft().next_offset
            self._freed.set()
        # Faust notes its own acknowledgements here. Nothing reads them, and they would only grow.
        self._acked.pop(tp, None)
        self._acked_index.pop(tp, None)
        return self._finished.get(tp)


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with our consumer."""

    Consumer = BatchConsumer
