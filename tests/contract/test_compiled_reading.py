"""What the compiled reader makes of bytes is what fastavro makes of them, or it leaves them to fastavro."""

import gc
import io
import random
import sys
import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import example as explicitly
from hypothesis import strategies as st

from tests.contract.avro_values import variations
from tests.factories import examples
from trueloop import topics
from trueloop.avro_plan import Kind, plan_of
from trueloop.codec import HEADER_BYTES, Codec
from trueloop.compiled import compiled
from trueloop.errors import DecodeError
from trueloop.reading import event as event_module
from trueloop.reading.event import Reader
from trueloop.testing import MemoryRegistry
from trueloop.topics import TRACES, Topic

COMPILED: Any = compiled("reading.compiled")
CODEC = Codec(MemoryRegistry())
EVERY_TOPIC = pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
needs_compiled = pytest.mark.skipif(COMPILED is None, reason="nothing was compiled here")
RECORDS = {topic.name: [CODEC.encode(topic, event) for event in examples(topic.event)] for topic in topics.ALL}


def outcome(topic: Topic, data: bytes) -> str:
    """Return what the codec says of the bytes: the record with the types of all in it and the order of its keys, or the error."""
    try:
        return repr(CODEC.decode_record(topic, data))
    except DecodeError as error:
        return f"{error.reason}: {error}"


def assert_same(topic: Topic, payloads: Iterable[bytes]) -> None:
    """Compare what the codec says of each with and without the compiled reader."""
    payloads = list(payloads)
    ours = [outcome(topic, payload) for payload in payloads]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_module, "_COMPILED", None)
        theirs = [outcome(topic, payload) for payload in payloads]
    for payload, our, their in zip(payloads, ours, theirs, strict=True):
        assert our == their, payload.hex()


def compiled_only(topic: Topic, data: bytes) -> Any:
    """Return what the compiled reader makes of a payload, without fastavro behind it."""
    return COMPILED.read(plan_of(CODEC._reader(topic)), data, HEADER_BYTES)


@needs_compiled
@EVERY_TOPIC
def test_the_examples_are_read_the_same(topic: Topic) -> None:
    for data in RECORDS[topic.name]:
        assert repr(compiled_only(topic, data)) == outcome(topic, data)
    assert_same(topic, RECORDS[topic.name])


@needs_compiled
@EVERY_TOPIC
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example])
@given(data=st.data())
def test_whatever_the_model_takes_is_read_the_same(topic: Topic, data: st.DataObject) -> None:
    payload = CODEC.encode(topic, data.draw(variations(topic.event)))
    assert repr(compiled_only(topic, payload)) == outcome(topic, payload)
    assert_same(topic, [payload])


@EVERY_TOPIC
def test_what_was_cut_is_refused_the_same(topic: Topic) -> None:
    for data in RECORDS[topic.name]:
        assert_same(topic, (data[:length] for length in range(len(data))))
        assert_same(topic, [data + b"\0", data + data])


@EVERY_TOPIC
def test_what_was_corrupted_comes_to_the_same(topic: Topic) -> None:
    chance = random.Random(topic.name)
    for data in RECORDS[topic.name]:
        changed = []
        # The bytes of an embedding are many and all alike.
        for place in range(HEADER_BYTES, len(data)) if len(data) < 1500 else chance.sample(range(HEADER_BYTES, len(data)), 800):
            values = {data[place] ^ 1 << chance.randrange(8), chance.choice((0, 1, 2, 3, 0x7F, 0x80, 0xFF)), chance.randrange(256)}
            changed += [data[:place] + bytes([value]) + data[place + 1 :] for value in sorted(values)]
        assert_same(topic, changed)


@EVERY_TOPIC
@settings(max_examples=30)
@given(garbage=st.binary(max_size=300))
@explicitly(garbage=b"\xff" * 300)
@explicitly(garbage=b"\x80" * 300)
@explicitly(garbage=b"\0" * 300)
@explicitly(garbage=b"\2" * 300)
def test_garbage_comes_to_the_same(topic: Topic, garbage: bytes) -> None:
    header = RECORDS[topic.name][0][:HEADER_BYTES]
    assert_same(topic, [garbage, header + garbage, RECORDS[topic.name][0][:90] + garbage])


ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}
INNER = {"type": "record", "name": "I", "fields": [{"name": "x", "type": "long"}, {"name": "y", "type": ["null", "string"]}]}
KINDS: dict[str, Any] = {
    "text": "string",
    "long": "long",
    "double": "double",
    "boolean": "boolean",
    "bytes": "bytes",
    "fixed": {"type": "fixed", "name": "F", "size": 3},
    "enum": ENUM,
    "moment": {"type": "long", "logicalType": "timestamp-micros"},
    "longs": {"type": "array", "items": "long"},
    "enums": {"type": "array", "items": ENUM},
    "doubles": {"type": "map", "values": "double"},
    "texts": {"type": "map", "values": "string"},
    "records": {"type": "array", "items": INNER},
    "nullable": ["null", "long"],
    "lists": {"type": "array", "items": {"type": "array", "items": "boolean"}},
}


SCHEMAS = {
    name: fastavro.parse_schema({"type": "record", "name": "R", "fields": [{"name": "a", "type": avro}]}, named_schemas={}) for name, avro in KINDS.items()
}


def by_fastavro(schema: Any, data: bytes) -> Any:
    """Return what fastavro makes of all the bytes; None when it refuses them or leaves some over."""
    buffer = io.BytesIO(data)
    try:
        record = fastavro.schemaless_reader(buffer, schema, None)
    except Exception:
        return None
    return record if buffer.tell() == len(data) else None


@needs_compiled
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150)
@given(data=st.binary(max_size=14) | st.lists(st.integers(0, 8), max_size=14).map(bytes))
@explicitly(data=b"\xff" * 9 + b"\x01")
@explicitly(data=b"\xfe" + b"\xff" * 8 + b"\x01")
@explicitly(data=b"\xff" * 9 + b"\x02")
@explicitly(data=b"\xff" * 9 + b"\x81\x00")
@explicitly(data=b"\x80" * 9 + b"\x00")
@explicitly(data=b"\x80" * 10 + b"\x00")
@explicitly(data=b"\x02" + b"\xff" * 9 + b"\x01")
@explicitly(data=b"\x06\xed\xa0\x80")
@explicitly(data=b"\x03\x02\x02\x00")
@explicitly(data=b"\x02\x02\x02\x04\x00")
@explicitly(data=b"\x00\x00\x00\x00\x00\x00\xf8\x7f")
@explicitly(data=b"\x01\x00\x00\x00\x00\x00\xf0\xff")
def test_no_bytes_are_read_otherwise(kind: str, data: bytes) -> None:
    record = COMPILED.read(plan_of(SCHEMAS[kind]), data, 0)
    assert record is None or repr(record) == repr(by_fastavro(SCHEMAS[kind], data))


def moment(microseconds: int) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, SCHEMAS["long"], {"a": microseconds})
    return buffer.getvalue()


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = ((at - EPOCH).days * 86_400_000_000 for at in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)))
LATEST += 86_400_000_000 - 1


@needs_compiled
@settings(max_examples=500)
@given(microseconds=st.integers(EARLIEST, LATEST))
@explicitly(microseconds=EARLIEST)
@explicitly(microseconds=LATEST)
@explicitly(microseconds=-1)
def test_any_moment_is_read_the_same(microseconds: int) -> None:
    read = COMPILED.read(plan_of(SCHEMAS["moment"]), moment(microseconds), 0)
    assert repr(read) == repr(by_fastavro(SCHEMAS["moment"], moment(microseconds)))
    assert read["a"].tzinfo is UTC


@needs_compiled
def test_a_moment_without_a_date_is_left_to_fastavro() -> None:
    for microseconds in (EARLIEST - 1, LATEST + 1, -(2**63), 2**63 - 1):
        assert COMPILED.read(plan_of(SCHEMAS["moment"]), moment(microseconds), 0) is None


@needs_compiled
@pytest.mark.parametrize(
    ("kind", "data", "read"),
    [
        ("longs", b"\x02\x02\x04\x04\x06\x00", [1, 2, 3]),
        ("texts", b"\x02\x02k\x02a\x02\x02k\x02b\x00", {"k": "b"}),
        ("longs", b"\x01\x02\x02\x00", None),
        ("longs", b"\x80\x80\x80\x80\x80\x80\x80\x80\x40\x02\x04", None),
        ("boolean", b"\x02", None),
        ("nullable", b"\x04\x02", None),
        ("nullable", b"\x01\x02", None),
        ("enum", b"\x06", None),
        ("enum", b"\x01", None),
        ("text", b"\x02\xff", None),
        ("text", b"\x01", None),
        ("fixed", b"ab", None),
        ("fixed", b"abcd", None),
        ("long", b"\xff" * 9 + b"\x02", None),
    ],
)
def test_what_is_unusual_or_wrong_is_left_to_fastavro(kind: str, data: bytes, read: Any) -> None:
    assert COMPILED.read(plan_of(SCHEMAS[kind]), data, 0) == (None if read is None else {"a": read})


@needs_compiled
def test_what_is_no_plan_reads_nothing() -> None:
    deep: Any = (int(Kind.LONG), False, None)
    for _ in range(40):
        deep = (int(Kind.LIST), False, deep)
    record, names = int(Kind.RECORD), ((int(Kind.ENUM), False, more) for more in (None, ({},), ({}, ["A"]), ({}, ())))
    empty = (int(Kind.LIST), False, (record, False, ()))
    for plan in (None, (), (1, False), (99, False, None), (None, False, None), (record, False, None), (record, False, (("a",),)), deep, empty, *names):
        for data in (b"", b"\2" * 60, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"):
            assert COMPILED.read(plan, data, 0) is None
    assert COMPILED.read((record, False, (([], (int(Kind.LONG), False, None)),)), b"\2", 0) is None
    for start in (-1, 2, 2**70, -(2**70), "0", None):
        assert COMPILED.read(plan_of(SCHEMAS["long"]), b"\2", start) is None
    for data in (None, "\2", bytearray(b"\2"), memoryview(b"\2")):
        assert COMPILED.read(plan_of(SCHEMAS["long"]), data, 0) is None
    with pytest.raises(TypeError, match="expected"):
        COMPILED.read()


def parts(plan: Any) -> Iterable[Any]:
    """Yield all that a plan holds, names of fields and symbols of enums among it."""
    yield plan
    for part in plan if isinstance(plan, tuple) else plan if isinstance(plan, dict) else ():
        yield from parts(part)


@needs_compiled
def test_nothing_is_kept_of_what_was_read_or_refused() -> None:
    for topic in topics.ALL:
        plan = plan_of(CODEC._reader(topic))
        # Not the small numbers: the counts themselves are such.
        shared = [*{id(part): part for part in parts(plan) if not isinstance(part, int)}.values(), UTC, True, False]
        for data in RECORDS[topic.name]:
            payloads = [data, data + b"\0", *(data[:length] for length in range(HEADER_BYTES, len(data), 7))]
            for payload in payloads:
                COMPILED.read(plan, payload, HEADER_BYTES)
            before = [sys.getrefcount(part) for part in shared]
            for payload in payloads * 20:
                COMPILED.read(plan, payload, HEADER_BYTES)
            after = [sys.getrefcount(part) for part in shared]
            # A few are for others, who use None, too; what is lost or kept once in a read is so twenty times here.
            assert max(abs(one - other) for one, other in zip(before, after, strict=True)) < 10


@needs_compiled
def test_no_memory_is_kept() -> None:
    plan, data = plan_of(CODEC._reader(TRACES)), RECORDS["traces"][0]
    payloads = [data, *(data[:length] for length in range(HEADER_BYTES, len(data), 5))]
    gc.collect()
    tracemalloc.start()
    try:
        for payload in payloads:
            COMPILED.read(plan, payload, HEADER_BYTES)
        before = tracemalloc.get_traced_memory()[0]
        for payload in payloads * 5:
            COMPILED.read(plan, payload, HEADER_BYTES)
        assert tracemalloc.get_traced_memory()[0] - before < 2_000
    finally:
        tracemalloc.stop()


def test_a_schema_that_is_none_of_ours_is_left_to_fastavro() -> None:
    schema = fastavro.parse_schema({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}, named_schemas={})
    assert Reader(schema).read(b"\2", 0) is None


@needs_compiled
def test_a_schema_of_ours_is_not() -> None:
    assert Reader(SCHEMAS["long"]).read(b"\0\0\2", 2) == {"a": 1}
