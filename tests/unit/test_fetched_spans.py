"""Records as spans are those that aiokafka parses, however they are taken, and what it refuses is refused."""

import gc
import struct
import weakref
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from trueloop.adapters.faust_batch import fetched_records
from trueloop.adapters.faust_batch.batch import split
from trueloop.adapters.faust_batch.fetched_records import FetchedBytes, SpannedRecordsOfFetch, SpannedResult
from trueloop.adapters.faust_batch.records import RawRecord, SpannedRecords, offsets_of, sizes_of, values_of

COMPILED: Any = fetched_records._COMPILED
pytestmark = pytest.mark.skipif(COMPILED is None, reason="nothing was compiled here")
TP = TopicPartition("t", 0)
READ_UNCOMMITTED, READ_COMMITTED = 0, 1
ATTRIBUTES_AT, CRC_AT, HEADER_BYTES = 21, 17, 61
TRANSACTIONAL, CONTROL = 0x10, 0x20

MAYBE = st.none() | st.binary(max_size=40)
RECORD = st.tuples(MAYBE, MAYBE, st.lists(st.tuples(st.text(max_size=5), MAYBE), max_size=2), st.integers(0, 2**40))
BATCHES = st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 4]), st.lists(RECORD, min_size=1, max_size=6)), min_size=1, max_size=4)


def batch_of(records: Sequence[Any], base: int = 0, compression: int = 3, producer: int = -1, attributes: int = 0) -> bytes:
    transactional = int(bool(attributes & TRANSACTIONAL))
    builder = DefaultRecordBatchBuilder(2, compression, transactional, producer, 0, 0, 10**6)
    for place, (key, value, headers, timestamp) in enumerate(records):
        builder.append(place, timestamp, key, value, headers)
    found = bytearray(builder.build())
    found[:8] = struct.pack(">q", base)
    found[ATTRIBUTES_AT + 1] |= attributes
    return summed(found)


def summed(batch: bytearray) -> bytes:
    batch[8:12] = struct.pack(">i", len(batch) - 12)
    batch[CRC_AT:ATTRIBUTES_AT] = struct.pack(">I", calc_crc32c(bytes(batch[ATTRIBUTES_AT:])))
    return bytes(batch)


def fetch_of(batches: Sequence[tuple[int, Sequence[Any]]], gap: int = 0) -> bytes:
    found, base = b"", 0
    for compression, records in batches:
        found += batch_of(records, base, compression)
        base += len(records) + gap
    return found


def parts(records: Sequence[RawRecord]) -> list[tuple[Any, ...]]:
    return [(each.offset, each.timestamp, each.timestamp_type, each.key, each.value, tuple(each.headers)) for each in records]


def theirs(fetch: bytes, first: int = 0, aborted: Any = (), isolation: int = READ_UNCOMMITTED) -> tuple[Any, int]:
    found = PartitionRecords(TP, MemoryRecords(fetch), list(aborted), first, None, None, True, isolation)
    found._consumer_record = lambda tp, record: record
    try:
        return parts(list(found)), found.next_fetch_offset
    except (CorruptRecordException, UnicodeDecodeError) as error:
        return type(error), found.next_fetch_offset


def fetched(fetch: bytes, first: int = 0, aborted: Any = (), isolation: int = READ_UNCOMMITTED) -> SpannedRecordsOfFetch:
    return SpannedRecordsOfFetch(TP, FetchedBytes(fetch), list(aborted), first, None, None, True, isolation)


def ours(fetch: bytes, first: int = 0, aborted: Any = (), isolation: int = READ_UNCOMMITTED, most: int | None = None) -> tuple[Any, int]:
    found, all_of_them = fetched(fetch, first, aborted, isolation), []
    try:
        while records := found.take(most):
            assert most is None or len(records) <= most
            all_of_them += parts(records)
    except CorruptRecordException as error:
        assert found.take(most) == ()
        return type(error), found.next_fetch_offset
    return all_of_them, found.next_fetch_offset


@given(BATCHES, st.integers(0, 20), st.none() | st.integers(1, 7), st.integers(0, 3))
@settings(max_examples=80)
def test_they_are_those_of_aiokafka_however_many_are_taken(batches: Any, first: int, most: int | None, gap: int) -> None:
    fetch = fetch_of(batches, gap)
    assert ours(fetch, first, most=most) == theirs(fetch, first)
    found = fetched(fetch, first)
    while records := found.take(most):
        assert found.next_fetch_offset > records[-1].offset
    assert ours(fetch[: len(fetch) - 5], first, most=most) == theirs(fetch[: len(fetch) - 5], first)  # a fetch ends inside a batch as a rule


@given(st.lists(RECORD, min_size=1, max_size=5), st.data())
@settings(max_examples=150)
def test_what_aiokafka_refuses_is_refused_and_all_else_is_read(records: Any, data: st.DataObject) -> None:
    batch = bytearray(batch_of(records, compression=0))
    for _ in range(data.draw(st.integers(1, 3))):
        batch[data.draw(st.integers(57, len(batch) - 1))] = data.draw(st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    del batch[data.draw(st.integers(HEADER_BYTES, len(batch))) if data.draw(st.booleans()) else len(batch) :]
    fetch = summed(batch)
    read, found = theirs(fetch)[0], ours(fetch)[0]
    if read is UnicodeDecodeError:
        assert found  # a header's name that is no text: aiokafka cannot go on, and we mend it
    elif not read:
        assert found in ([], CorruptRecordException)  # fewer than no records, in no bytes
    elif read is CorruptRecordException:
        assert found is CorruptRecordException
    else:
        offsets = [record.offset for record in DefaultRecordBatch(fetch)]
        ascend = all(after > before for before, after in pairwise(offsets))
        # No broker lets others in. Where aiokafka passes over what does not ascend, it is refused here: nothing is passed over silently.
        assert found == (read if ascend else CorruptRecordException)


def test_a_wrong_sum_is_refused_and_nothing_after_it_is_read() -> None:
    good, bad = batch_of([(b"k", b"v", [], 1)]), bytearray(batch_of([(b"k", b"w", [], 1)], base=1))
    bad[-1] ^= 1
    found = fetched(good + bytes(bad) + batch_of([(b"k", b"x", [], 1)], base=2))
    assert [record.value for record in found.take(1)] == [b"v"]
    with pytest.raises(CorruptRecordException, match="Invalid CRC"):
        found.take(1)
    assert found.take(None) == ()
    assert found.next_fetch_offset == 1


def test_an_unknown_codec_is_told() -> None:
    batch = bytearray(batch_of([(b"k", b"v", [], 1)], compression=0))
    batch[ATTRIBUTES_AT + 1] |= 7
    with pytest.raises(UnsupportedCodecError):
        fetched(summed(batch)).take(None)


def test_records_of_the_broker_s_clock_have_its_time() -> None:
    fetch = batch_of([(b"k", b"v", [], 5), (b"k", b"v", [], 9)], attributes=0x08)
    assert ours(fetch) == theirs(fetch)
    assert [(record.timestamp, record.timestamp_type) for record in fetched(fetch).take(None)] == [(9, 1), (9, 1)]


def test_batches_of_an_older_format_are_read_too() -> None:
    builder = LegacyRecordBatchBuilder(magic=1, compression_type=0, batch_size=10**6)
    for offset, (key, value) in enumerate([(b"a", b"1"), (b"b", b"22"), (b"c", b"")]):
        builder.append(offset, timestamp=7 + offset, key=key, value=value)
    fetch = bytes(builder.build())
    assert ours(fetch) == ours(fetch, most=2) == theirs(fetch)
    assert len(ours(fetch, first=1)[0]) == 2


@pytest.mark.parametrize("isolation", [READ_UNCOMMITTED, READ_COMMITTED])
def test_markers_are_passed_over_and_aborted_transactions_where_it_is_wanted(isolation: int) -> None:
    def marker(base: int, kind: int) -> bytes:
        return batch_of([(struct.pack(">hh", 0, kind), b"\0" * 6, [], 1)], base, 0, producer=7, attributes=TRANSACTIONAL | CONTROL)

    def written(base: int, value: bytes) -> bytes:
        return batch_of([(b"k", value, [], 1)] * 2, base, producer=7, attributes=TRANSACTIONAL)

    fetch = written(0, b"aborted") + marker(2, 0) + written(3, b"kept") + marker(5, 1)
    aborted = [(7, 0)]
    assert ours(fetch, 0, aborted, isolation) == theirs(fetch, 0, aborted, isolation)
    values = {record.value for record in fetched(fetch, 0, aborted, isolation).take(None)}
    assert values == ({b"kept"} if isolation == READ_COMMITTED else {b"aborted", b"kept"})


def test_a_name_of_a_header_that_is_no_text_stops_nobody() -> None:
    batch = bytearray(batch_of([(b"k", b"v", [("name", b"x")], 1)], compression=0))
    place = bytes(batch).index(b"name")
    batch[place : place + 2] = b"\xff\xfe"
    assert [(name[-2:], value) for name, value in fetched(summed(batch)).take(None)[0].headers] == [("me", b"x")]


class Assignment:
    """What aiokafka's fetch result asks of the assignment of partitions."""

    active, paused = True, False

    def __init__(self, position: int) -> None:
        self.position = position

    def state_value(self, _tp: Any) -> "Assignment":
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


def test_a_result_moves_the_position_and_gives_nothing_once_it_was_moved_by_others() -> None:
    fetch, assignment = fetch_of([(3, [(b"k", b"v", [], 1)] * 5)] * 2), Assignment(2)
    result = SpannedResult(TP, assignment=assignment, partition_records=fetched(fetch, 2), backoff=0.1)
    assert [record.offset for record in result.getall(3)] == [2, 3, 4]
    assert (assignment.position, result.has_more()) == (5, True)
    assert [record.offset for record in result.getall(None)] == [5, 6, 7, 8, 9]
    assert (assignment.position, len(result.getall(3)), result.has_more()) == (10, 0, False)
    moved = SpannedResult(TP, assignment=Assignment(4), partition_records=fetched(fetch, 2), backoff=0.1)
    assert len(moved.getall(3)) == 0
    assert not moved.has_more()


def test_the_bytes_of_a_fetch_go_with_its_last_user() -> None:
    """Megabytes that wait for the garbage collector, which counts objects, add up to gigabytes."""
    gc.disable()
    try:
        found = fetched(fetch_of([(3, [(b"k", b"v", [], 1)] * 5)]))
        taken, kept = found.take(None), weakref.ref(found)
        del found
        assert kept() is None
        assert len(taken) == 5
    finally:
        gc.enable()


@given(BATCHES, st.integers(-8, 8), st.integers(-8, 8))
@settings(max_examples=60)
def test_a_sequence_of_them_is_a_sequence(batches: Any, start: int, end: int) -> None:
    records = fetched(fetch_of(batches)).take(None)
    assert isinstance(records, SpannedRecords)
    as_list = list(records)
    assert [records[place] for place in range(-len(records), len(records))] == as_list * 2
    assert list(records[start:end]) == as_list[start:end]
    for wrong in (len(records), -len(records) - 1):
        with pytest.raises(IndexError):
            records[wrong]
    for ours_found, theirs_found in ((offsets_of, [each.offset for each in as_list]), (sizes_of, [len(r.key or b"") + len(r.value or b"") for r in as_list])):
        assert ours_found(records).tolist() == ours_found(as_list).tolist() == theirs_found
    values = values_of(records[1:])
    assert [values.data[a:b] if a >= 0 else None for a, b in zip(values.start.tolist(), values.end.tolist(), strict=True)] == [r.value for r in as_list[1:]]
    assert [list(batch.records) for batch in split("t", 0, records, 60)] == [list(batch.records) for batch in split("t", 0, as_list, 60)]


@given(st.binary(max_size=200))
def test_sums_are_those_of_aiokafka(data: bytes) -> None:
    assert COMPILED.crc32c(data) == COMPILED.crc32c(data, True) == calc_crc32c(data)


@given(st.binary(max_size=60), st.integers(-2, 70))
@settings(max_examples=200)
def test_of_any_bytes_spans_lie_inside_or_there_are_none(data: bytes, count: int) -> None:
    try:
        edges, _, _, *places, headers = (np.frombuffer(each, np.int64) for each in COMPILED.spans(data, count, 0, 0, 0))
    except ValueError:
        return
    assert len(edges) == count + 1
    assert edges[-1] == len(data)
    for array in (*places, headers):
        assert ((array >= -1) & (array <= len(data))).all()


def test_numbers_that_cannot_be_are_refused() -> None:
    for count, shift in ((2**62, 0), (-1, 0), (0, -1), (0, 2**63 - 1)):
        with pytest.raises(ValueError):
            COMPILED.spans(b"", count, 0, 0, shift)
