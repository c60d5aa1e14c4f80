"""The batch transport overrides private methods of Faust. When their source changes, somebody has to read it again before we go on."""

import asyncio
import hashlib
import inspect
from collections import defaultdict, deque
from collections.abc import Callable
from importlib.metadata import version
from itertools import islice
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka.conn import AIOKafkaConnection, AIOKafkaProtocol, create_conn
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition
from faust.assignor.partition_assignor import PartitionAssignor
from faust.serializers.schemas import Schema
from faust.stores.memory import Store
from faust.tables.base import Collection
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as AIOKafkaConsumer
from faust.types import TP
from pydantic import SecretStr

from trueloop.adapters.faust_batch import BatchApp, StateTable
from trueloop.adapters.faust_batch.assignor import SoleAssignor
from trueloop.adapters.faust_batch.batch import MAX_BUFFERED_BYTES, Batch, split
from trueloop.adapters.faust_batch.consumer import BatchConsumer, PromptConsumerThread
from trueloop.adapters.faust_batch.credentials import broker_options
from trueloop.adapters.faust_batch.fetched_records import FetchedRecords, SpannedResult
from trueloop.adapters.faust_batch.responses import DirectConnection
from trueloop.adapters.faust_batch.table import PartitionedStore
from trueloop.config import KafkaSettings
from trueloop.errors import ConfigurationError

VERSIONS = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}
OVERRIDDEN: dict[str, tuple[Callable[..., Any], str]] = {
    "create_conn": (create_conn, "673276cbddb4dc7c"),
    "AIOKafkaProtocol": (AIOKafkaProtocol, "0f94e2d601522f90"),
    "AIOKafkaConnection.connect": (AIOKafkaConnection.connect, "b0f9ba7f0cf6b432"),
    "AIOKafkaConnection.close": (AIOKafkaConnection.close, "28f164aa1e4f0bbc"),
    "AIOKafkaConnection._create_reader_task": (AIOKafkaConnection._create_reader_task, "9577a6e84c72c36b"),
    "AIOKafkaConnection._read": (AIOKafkaConnection._read, "7b892995c0b81468"),
    "AIOKafkaConnection._handle_frame": (AIOKafkaConnection._handle_frame, "46a7d9b8cf7ca222"),
    "AIOKafkaConsumer._to_message": (AIOKafkaConsumer._to_message, "7c24f6511b2fcef7"),
    "PartitionRecords": (PartitionRecords, "94aa0da0dbec8d1b"),
    "FetchResult.getall": (FetchResult.getall, "3e717e30de5068d5"),
    "Fetcher._proc_fetch_request": (Fetcher._proc_fetch_request, "59bf948fff47eed5"),
    "Consumer.getmany": (Consumer.getmany, "4b168d84882a70d6"),
    "Consumer._wait_next_records": (Consumer._wait_next_records, "6218e1969a636b3f"),
    "Consumer._drain_messages": (Consumer._drain_messages, "44a2500309e83c63"),
    "Consumer._new_offset": (Consumer._new_offset, "1d2c7ea89a7ad4f1"),
    "Consumer._filter_tps_with_pending_acks": (Consumer._filter_tps_with_pending_acks, "f6f9239774234e7e"),
    "Consumer._filter_committable_offsets": (Consumer._filter_committable_offsets, "dc5e9baf5d994485"),
    "Consumer._commit_tps": (Consumer._commit_tps, "a20e230b05ae8b15"),
    "Consumer._should_commit": (Consumer._should_commit, "5ce941793947ad42"),
    "Consumer.ack": (Consumer.ack, "5fcf41cf45153475"),
    "Consumer.wait_empty": (Consumer.wait_empty, "e4662fe24f094819"),
    "ThreadDelegateConsumer.seek_wait": (ThreadDelegateConsumer.seek_wait, "e9db5bbc4ceb2543"),
    "ThreadDelegateConsumer._getmany": (ThreadDelegateConsumer._getmany, "f9d47aa9010b5ff2"),
    "Consumer.perform_seek": (Consumer.perform_seek, "0e8c130ff4b0afd8"),
    "Consumer.on_partitions_revoked": (Consumer.on_partitions_revoked, "d04b7ae72c6fc206"),
    "Consumer.on_buffer_full": (Consumer.on_buffer_full, "c8961679e0bcdce5"),
    "Consumer.on_buffer_drop": (Consumer.on_buffer_drop, "4b57e8a418d5ad9c"),
    "Consumer.verify_all_partitions_active": (Consumer.verify_all_partitions_active, "4e0e46f5c297305d"),
    "Consumer.stop_flow": (Consumer.stop_flow, "cf7e875a2b0d40e8"),
    "AIOKafkaConsumerThread._fetch_records": (AIOKafkaConsumerThread._fetch_records, "39a2c6c79fc1455a"),
    "AIOKafkaConsumerThread._create_worker_consumer": (AIOKafkaConsumerThread._create_worker_consumer, "c2701bfc3e6f6cad"),
    "AIOKafkaConsumer._new_consumer_thread": (AIOKafkaConsumer._new_consumer_thread, "0870ec53dea75083"),
    "aiokafka.AIOKafkaConsumer.start": (aiokafka.AIOKafkaConsumer.start, "2f1ba70443327538"),
    "Schema.compile": (Schema.compile, "d46eec5ce3195b2c"),
    "Store.apply_changelog_batch": (Store.apply_changelog_batch, "71863e3cd727aac2"),
    "Store.on_recovery_completed": (Store.on_recovery_completed, "a00bef343e139602"),
    "Collection._new_store": (Collection._new_store, "914a2bda605d38f5"),
    "Collection.apply_changelog_batch": (Collection.apply_changelog_batch, "b980a78d3ae9b1e8"),
    "Collection.on_rebalance": (Collection.on_rebalance, "0812ad692171a8fd"),
    "TableManager.on_start": (TableManager.on_start, "365dd25fbc0e0684"),
    "TableManager._update_channels": (TableManager._update_channels, "88e3941facc934d6"),
    "TableManager.on_rebalance": (TableManager.on_rebalance, "2d2c23a07bf54328"),
    "Recovery._slurp_changelogs": (Recovery._slurp_changelogs.fun, "7825c7e50f766d5a"),
    "Recovery.on_rebalance": (Recovery.on_rebalance, "aa4d997a1795ceae"),
    "Recovery.on_recovery_completed": (Recovery.on_recovery_completed, "6ef567acf072e46d"),
    "Recovery._resume_streams": (Recovery._resume_streams, "d986a6710c1aca98"),
    "PartitionAssignor._perform_assignment": (PartitionAssignor._perform_assignment, "1e0bf2c5c8f42574"),
    "PartitionAssignor._protocol_assignments": (PartitionAssignor._protocol_assignments, "e231e876d04a222d"),
    "PartitionAssignor.on_assignment": (PartitionAssignor.on_assignment, "72f34bf053d696b5"),
    "faust.App._new_transport": (faust.App._new_transport, "42db531312dd776f"),
    "faust.App._create_directories": (faust.App._create_directories, "a9f571c3b04abec3"),
    "faust.App._on_partitions_revoked": (faust.App._on_partitions_revoked, "d5c895bbe57dc73a"),
    "faust.App._on_partitions_assigned": (faust.App._on_partitions_assigned, "de932b7927db85b3"),
    "faust.App._stop_consumer": (faust.App._stop_consumer, "55854a5de12c3f52"),
}
"""Upstream methods that we override or lean on, and the start of the SHA-256 of the source that was read."""


@pytest.mark.parametrize(("package", "expected"), VERSIONS.items())
def test_the_pinned_versions_are_installed(package: str, expected: str) -> None:
    assert version(package) == expected


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_what_is_overridden_upstream_is_what_was_read(name: str) -> None:
    method, expected = OVERRIDDEN[name]
    found = hashlib.sha256(inspect.getsource(method).encode()).hexdigest()[:16]
    assert found == expected, f"{name} changed upstream: read it, adapt trueloop.adapters.faust_batch, then pin {found}"


PAIRS = [
    (BatchConsumer, AIOKafkaConsumer),
    (PromptConsumerThread, AIOKafkaConsumerThread),
    (PartitionedStore, Store),
    (StateTable, faust.Table),
    (SoleAssignor, PartitionAssignor),
    (FetchedRecords, PartitionRecords),
    (SpannedResult, FetchResult),
    (DirectConnection, AIOKafkaConnection),
    (BatchApp, faust.App),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_every_override_still_overrides_something(ours: type, theirs: type) -> None:
    own_additions = {
        "partition", "put", "recover", "_fetch_and_deliver", "_until_suspended", "_deliver_changelog", "_take_batches", "_message", "_room_for",
        "lags", "_completed_to", "ends", "unread", "is_working_on", "adopt", "kept", "planned", "commit_offsets",
    }  # fmt: skip
    defined = {name for name, member in vars(ours).items() if inspect.isfunction(member) or isinstance(member, property)} - own_additions
    missing = [name for name in sorted(defined) if not hasattr(theirs, name)]
    assert defined
    assert not missing


def record(offset: int, size: int = 10) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("t", 0, offset, 1000, 0, b"k", b"v" * (size - 1), None, 1, size - 1, ())


def test_fetched_records_are_those_of_aiokafka_without_the_copy() -> None:
    builder = DefaultRecordBatchBuilder(magic=2, compression_type=3, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=10**6)
    for offset in range(50):
        builder.append(offset, 1000 + offset, b"key-%d" % offset if offset % 5 else None, b"v" * offset if offset % 7 else None, [("name", b"value")])
    fetch = bytes(builder.build())

    def read(kind: type[PartitionRecords], first: int) -> tuple[list[Any], int]:
        found = kind(TopicPartition("t", 0), MemoryRecords(fetch), [], first, None, None, True, 0)
        some = [next(found), *islice(found, 9)]
        return [*some, *found], found.next_fetch_offset

    fields = ("offset", "timestamp", "timestamp_type", "key", "value")
    (ours, our_next), (theirs, their_next) = read(FetchedRecords, 20), read(PartitionRecords, 20)
    assert [[*(getattr(each, name) for name in fields), *each.headers] for each in ours] == [
        [*(getattr(each, name) for name in fields), *each.headers] for each in theirs
    ]
    assert our_next == their_next == 50
    assert [each.offset for each in ours] == list(range(20, 50))
    assert not any(isinstance(each, ConsumerRecord) for each in ours)


def test_a_fetch_is_split_by_bytes_and_nothing_is_lost() -> None:
    records = [record(offset, size) for offset, size in enumerate([10, 10, 300, 10, 95, 10])]
    batches = list(split("t", 0, records, max_bytes=100))
    assert [[r.offset for r in batch.records] for batch in batches] == [[0, 1], [2], [3], [4], [5]]
    assert [batch.next_offset for batch in batches] == [2, 3, 4, 5, 6]


def test_only_a_prefix_of_completed_batches_is_committed() -> None:
    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer._freed = asyncio.Event()
    tp = TP("t", 0)
    batches = [Batch("t", 0, [record(offset), record(offset + 1)]) for offset in (0, 2, 4)]
    consumer._outstanding = defaultdict(deque, {tp: deque(batches)})
    consumer._finished, consumer._acked, consumer._acked_index = {}, {tp: [0]}, {tp: {0}}
    assert consumer._new_offset(tp) is None
    batches[1].complete()
    assert consumer._new_offset(tp) is None, "the first batch is still in progress"
    batches[0].complete()
    assert consumer._new_offset(tp) == 4
    assert consumer._new_offset(tp) == 4, "an offset whose commit failed has to be offered again"
    batches[2].complete()
    assert consumer._new_offset(tp) == 6
    assert list(consumer._filter_tps_with_pending_acks(["other"])) == []
    assert list(consumer._filter_tps_with_pending_acks(["t"])) == [tp]


async def room_taken(consumer: BatchConsumer, size: int) -> bool:
    """Whether a batch of this size is let in before anything is committed."""
    waiting = asyncio.ensure_future(consumer._room_for(Batch("t", 1, [record(9)], size)))
    await asyncio.sleep(0)
    done = waiting.done()
    waiting.cancel()
    return done


def test_what_is_buffered_is_bounded_in_bytes() -> None:
    async def scenario() -> None:
        consumer = BatchConsumer.__new__(BatchConsumer)
        consumer._freed = asyncio.Event()
        tp = TP("t", 0)
        held = Batch("t", 0, [record(0)], MAX_BUFFERED_BYTES - 10)
        consumer._outstanding = defaultdict(deque)
        consumer._finished, consumer._acked, consumer._acked_index = {}, {}, {}
        assert await room_taken(consumer, 2 * MAX_BUFFERED_BYTES), "a batch larger than all of the room must not wait forever"
        consumer._outstanding[tp].append(held)
        assert await room_taken(consumer, 10)
        assert not await room_taken(consumer, 11)
        waiting = asyncio.ensure_future(consumer._room_for(Batch("t", 1, [record(9)], 11)))
        await asyncio.sleep(0)
        held.complete()
        assert consumer._new_offset(tp) == 1
        await asyncio.wait_for(waiting, 1)

    asyncio.run(scenario())


def test_the_credentials_follow_the_settings() -> None:
    plain = broker_options(KafkaSettings(bootstrap_servers="a:1, b:2"))
    assert plain == {"broker": ["aiokafka://a:1", "aiokafka://b:2"]}
    sasl = broker_options(KafkaSettings(security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", sasl_username="user", sasl_password=SecretStr("secret")))[
        "broker_credentials"
    ]
    assert (sasl.protocol.value, sasl.mechanism.value, sasl.username, sasl.password) == ("SASL_SSL", "SCRAM-SHA-512", "user", "secret")
    assert "secret" not in repr(sasl)
    assert sasl.ssl_context.check_hostname
    assert broker_options(KafkaSettings(security_protocol="SSL"))["broker_credentials"].protocol.value == "SSL"
    unencrypted = broker_options(KafkaSettings(security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN", sasl_username="u", sasl_password=SecretStr("p")))
    assert unencrypted["broker_credentials"].protocol.value == "SASL_PLAINTEXT"


def test_a_missing_certificate_is_named() -> None:
    with pytest.raises(ConfigurationError, match="ssl_ca_location"):
        broker_options(KafkaSettings(security_protocol="SSL", ssl_ca_location="no-such-file.pem"))
