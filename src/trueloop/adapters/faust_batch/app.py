"""The Faust app that reads batches."""

from collections.abc import Mapping
from typing import Any

import faust
from faust.tables.manager import TableManager
from faust.types import TP
from faust.types.transports import TransportT

from trueloop.adapters.faust_batch.batch import FETCH_BYTES, MAX_BATCH_RECORDS
from trueloop.adapters.faust_batch.consumer import BatchTransport
from trueloop.adapters.faust_batch.credentials import broker_options
from trueloop.adapters.faust_batch.table import StateTable
from trueloop.config import KafkaSettings

BUFFERED_BATCHES = 1
"""Batches that wait for an agent, per topic. What is not fetched yet grows into one large batch, and a batch costs about as much as fifty records: with
eight of them waiting, small ones queued for 300 ms at 200 records a second. Fetching still overlaps with processing, in aiokafka."""


class PromptTableManager(TableManager):  # type: ignore[misc]
    """Starts at once. Faust waits a second for tables to be declared; ours are declared before the app starts."""

    def table_of(self, changelog: str) -> StateTable:
        """Return the table that a changelog belongs to."""
        table: StateTable = self._changelogs[changelog]
        return table

    async def on_start(self) -> None:
        """Recover the tables."""
        await self._update_channels()
        await self.recovery.start()


class BatchApp(faust.App):  # type: ignore[misc]
    """A Faust app over batches. Writes no files and opens no port."""

    def _new_transport(self) -> TransportT:
        return BatchTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Create nothing: state is in memory and in the changelog."""

    async def commit_offsets(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit offsets of assigned partitions, by topic on the broker and partition: what a recovery ends with a seek to."""
        await self.consumer._commit({TP(topic, partition): offset for (topic, partition), offset in offsets.items()})


def make_batch_app(group: str, kafka: KafkaSettings, instance: str | None = None, *, max_batch_records: int = MAX_BATCH_RECORDS, **options: Any) -> BatchApp:
    """Return an app that consumes as `group`, at most `max_batch_records` at once. Opens no connection.

    `instance` makes it a static member of the group: restarted under the same name within the session timeout, it gets its partitions back
    without a rebalance; but no two workers may have the same, and a stopped one's partitions move only after the timeout.
    """
    return BatchApp(
        group,
        **broker_options(kafka),
        autodiscover=False,
        web_enabled=False,
        store="memory://",
        table_standby_replicas=0,  # state is small and read anew within a second; a standby would read every changelog all the time
        TableManager=PromptTableManager,
        topic_disable_leader=True,
        topic_replication_factor=kafka.replication_factor,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=instance,
        broker_max_poll_records=max_batch_records,
        consumer_max_fetch_size=FETCH_BYTES,
        stream_buffer_maxsize=BUFFERED_BATCHES,
        stream_wait_empty=True,  # a batch in progress is completed and committed before its partition goes to another worker
        stream_recovery_delay=0.0,
        broker_commit_interval=0.5,  # seconds; what a crash repeats at most, at two small requests a second
        broker_session_timeout=10.0,  # seconds until the partitions of a killed worker move; six is the least that brokers allow
        broker_heartbeat_interval=1.0,  # seconds; also how late a member hears of a rebalance
        **options,
    )
