"""The consumer that turns a fetch of a partition into one Faust event."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from trueloop.adapters.faust_batch.batch import Batch, RawRecord, split

_FETCH_TIMEOUT_S = 1.0
"""How long a fetch may wait for records; it bounds how late a fetch notices that the consumer stops."""


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, delivering a `Batch` per event for stream topics and single messages for changelogs.

    What is committed for a partition is the end of the longest prefix of completed batches.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._outstanding: defaultdict[TP, deque[Batch]] = defaultdict(deque)
        self._finished: dict[TP, int] = {}

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Sequence[RawRecord]]]:
        """Fetch once; yield what came per partition.

        The generation is noted when the fetch has returned, as Faust does: one that began before a rebalance returns records of the new
        assignment, and passing those over would leave a hole. What a rebalance overtakes later is given back.
        """
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        for tp, fetched in records.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                await self._give_back()
                return
            if fetched and (active is None or tp in active):
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                yield tp, fetched

    async def _give_back(self) -> None:
        try:
            # Not our own perform_seek: batches that are still being processed are to be committed when they are complete.
            await super().perform_seek()
        except Exception as error:  # the group may be rebalancing: the assignment that follows seeks again
            self.log.info("could not seek to the committed offsets: %s", type(error).__name__)

    async def perform_seek(self) -> None:
        """Go to the committed offsets, forgetting what was delivered before: it is fetched again."""
        self._outstanding.clear()
        self._finished.clear()
        await super().perform_seek()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let batches in progress be completed and committed, then forget the partitions."""
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._outstanding.pop(tp, None)
            self._finished.pop(tp, None)

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: the bounded queues hold the fetcher back. Pausing would make it sleep a whole second once every partition is paused."""

    async def verify_all_partitions_active(self) -> None:
        """Do nothing: the check counts messages, so a partition whose batches are whole and few would be reported as stuck."""

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                # Without a pause of the loop a fetch that always finds records would starve everything else.
                await asyncio.sleep(0)
                async for tp, records in self.getmany(_FETCH_TIMEOUT_S):
                    if self._is_changelog_tp(tp):
                        await self._until_suspended(self._deliver_changelog(tp, records))
                    else:
                        await self._until_suspended(self._deliver_batches(tp, records))
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise

    async def _until_suspended(self, delivery: Any) -> None:
        """Deliver, but give up when a rebalance suspends the flow: delivery would wait for the end of the rebalance that waits for it."""
        await self.wait_first(delivery, self.suspend_flow.wait())

    async def _deliver_changelog(self, tp: TP, records: Sequence[RawRecord]) -> None:
        for record in records:
            expected = self._read_offset[tp]
            if expected is None or record.offset >= expected:
                await self.callback(self._to_message(tp, record))
                self._read_offset[tp] = record.offset

    async def _deliver_batches(self, tp: TP, records: Sequence[RawRecord]) -> None:
        expected = self._read_offset[tp]
        if expected is not None and records[0].offset < expected:
            records = [record for record in records if record.offset >= expected]
        for batch in split(tp.topic, tp.partition, records):
            self._outstanding[tp].append(batch)
            self._read_offset[tp] = batch.next_offset
            await self.callback(self._to_batch_message(tp, batch))

    def _to_batch_message(self, tp: TP, batch: Batch) -> ConsumerMessage:
        last = batch.records[-1]
        # No headers: Faust would obey those that ask for a reply, and anyone may have written them.
        return ConsumerMessage(
            batch.topic,
            batch.partition,
            batch.first_offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            None,
            None,
            batch,
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def _filter_tps_with_pending_acks(self, topics: Iterable[Any] | None = None) -> Iterator[TP]:
        wanted = None if topics is None else set(topics)
        return (tp for tp in list(self._outstanding) if wanted is None or tp in wanted or tp.topic in wanted)

    def _new_offset(self, tp: TP) -> int | None:
        outstanding = self._outstanding[tp]
        while outstanding and outstanding[0].completed:
            self._finished[tp] = outstanding.popleft().next_offset
        # Faust notes its own acknowledgements here. Nothing reads them, and they would only grow.
        self._acked.pop(tp, None)
        self._acked_index.pop(tp, None)
        return self._finished.get(tp)


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with our consumer."""

    Consumer = BatchConsumer
