"""Bytes that are not what they should be: a DecodeError with the right reason, never another exception, a hang or a gigabyte."""

import json
import struct
import time
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.factories import examples
from trueloop import topics
from trueloop.codec import Codec
from trueloop.errors import DecodeError, UnavailableError, UnknownSchemaError
from trueloop.rejection import RejectReason
from trueloop.testing import MemoryRegistry
from trueloop.topics import Topic

EVERY_TOPIC = pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
LIMIT_S = 2.0
LIMIT_BYTES = 8 * 2**20
REGISTRY = MemoryRegistry()
CODEC = Codec(REGISTRY)
RECORDS = {topic.name: [CODEC.encode(topic, event) for event in examples(topic.event)] for topic in topics.ALL}


def refusal(topic: Topic, data: bytes | None, codec: Codec = CODEC) -> RejectReason | None:
    """Return why the codec refuses the bytes, None when it takes them. Any other exception fails the test."""
    try:
        codec.decode(topic, data)
    except DecodeError as error:
        return error.reason
    return None


def varint(number: int) -> bytes:
    """A long as Avro writes it."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


@EVERY_TOPIC
def test_a_record_cut_anywhere_is_truncated(topic: Topic) -> None:
    for data in RECORDS[topic.name]:
        assert refusal(topic, data) is None
        reasons = {refusal(topic, data[:length]) for length in range(len(data))}
        assert reasons == {RejectReason.TRUNCATED}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, RejectReason.TRUNCATED),
        (b"", RejectReason.TRUNCATED),
        (b"\x00\x00\x00\x00", RejectReason.TRUNCATED),
        (b'{"trace_id": "1"}', RejectReason.WRONG_MAGIC),
        (b"\x01" + RECORDS["traces"][0][1:], RejectReason.WRONG_MAGIC),
        (b"\x00\x7f\xff\xff\xff" + RECORDS["traces"][0][5:], RejectReason.UNKNOWN_SCHEMA),
        (b"\x00\x00\x00\x00\x00" + RECORDS["traces"][0][5:], RejectReason.UNKNOWN_SCHEMA),
        (RECORDS["traces"][0] + b"\x00", RejectReason.SCHEMA_MISMATCH),
        (RECORDS["releases"][0], RejectReason.SCHEMA_MISMATCH),
    ],
)
def test_the_reason_says_what_is_wrong(data: bytes | None, reason: RejectReason) -> None:
    assert refusal(topics.TRACES, data) is reason


def test_an_event_that_breaks_its_own_rules_is_invalid_and_is_not_quoted() -> None:
    schema = json.loads(REGISTRY.schema(struct.unpack(">I", RECORDS["erasures"][0][1:5])[0]))
    names = [field["name"] for field in schema["fields"]]
    assert names[0] == "event_id"
    data = RECORDS["erasures"][0]
    first = 6 + data[5] // 2  # the id is shorter than 64 bytes, so its length takes one byte
    assert refusal(topics.ERASURES, data[:5] + b"\x00" + data[first:]) is RejectReason.INVALID_EVENT
    secret = "call me at 555-0199 " * 20
    with pytest.raises(DecodeError) as refused:
        CODEC.decode(topics.ERASURES, data[:5] + varint(len(secret)) + secret.encode() + data[first:])
    assert refused.value.reason is RejectReason.INVALID_EVENT
    assert "event_id" in str(refused.value)
    assert "555" not in repr(refused.value)


@EVERY_TOPIC
@settings(max_examples=60)
@given(garbage=st.binary(max_size=400))
@example(garbage=b"\xff" * 400)
@example(garbage=b"\x80" * 400)
def test_garbage_behind_a_right_header_is_refused_or_valid(topic: Topic, garbage: bytes) -> None:
    started = time.monotonic()
    refusal(topic, RECORDS[topic.name][0][:5] + garbage)
    assert time.monotonic() - started < LIMIT_S


@EVERY_TOPIC
@settings(max_examples=60)
@given(data=st.data())
def test_flipped_bits_are_refused_or_valid(topic: Topic, data: st.DataObject) -> None:
    payload = bytearray(data.draw(st.sampled_from(RECORDS[topic.name])))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    refusal(topic, bytes(payload))


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_garbage_is_refused(garbage: bytes) -> None:
    assert refusal(topics.LABELS, garbage) is not None


@EVERY_TOPIC
@pytest.mark.parametrize("length", [2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -1, -(2**40), -(2**63)])
def test_a_length_of_gigabytes_allocates_nothing(topic: Topic, length: int) -> None:
    data = RECORDS[topic.name][0]
    tracemalloc.start()
    started = time.monotonic()
    try:
        # The first field is a string. Behind every later byte, too, such a length may be read as that of a string, array or map.
        for cut in (5, *range(6, min(len(data), 300), 7)):
            refusal(topic, data[:cut] + varint(length) + data[cut:])
        assert tracemalloc.get_traced_memory()[1] < LIMIT_BYTES
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < LIMIT_S * 5


NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
EMPTY = {"type": "record", "name": "Empty", "fields": []}
DOUBLING = {"name": "L0", "type": "record", "fields": [{"name": "x", "type": "null"}]}


def doubling(levels: int) -> dict[str, object]:
    schema: dict[str, object] = DOUBLING
    for level in range(1, levels):
        schema = {"type": "record", "name": f"L{level}", "fields": [{"name": "a", "type": schema}, {"name": "b", "type": f"L{level - 1}"}]}
    return schema


@pytest.mark.parametrize(
    ("field", "payload"),
    [
        (NODE, b"\x02" * 2_000_000 + b"\x00"),
        ({"type": "map", "values": NODE}, varint(1) + varint(1) + b"k" + b"\x02" * 2_000_000),
        ({"type": "array", "items": "null"}, varint(2**62) + varint(0)),
        ({"type": "array", "items": EMPTY}, varint(2**62) + varint(0)),
        ({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}, varint(2**62) + varint(0)),
        (doubling(60), b""),
    ],
    ids=["recursion", "recursion in a map", "nulls", "empty records", "empty fixed", "doubling"],
)
def test_a_schema_that_makes_readers_run_away_is_refused(field: object, payload: bytes) -> None:
    registry = MemoryRegistry()
    codec = Codec(registry)
    schema = json.loads(REGISTRY.schema(1))
    ours = RECORDS["traces"][0]
    hostile = schema | {"fields": [{"name": "extra", "type": field}, *schema["fields"]]}
    header = struct.pack(">bI", 0, registry.register("traces-value", json.dumps(hostile)))
    started = time.monotonic()
    assert refusal(topics.TRACES, header + payload + ours[5:], codec) is RejectReason.SCHEMA_MISMATCH
    assert time.monotonic() - started < LIMIT_S


def test_a_schema_with_more_fields_than_ours_is_read() -> None:
    registry = MemoryRegistry()
    codec = Codec(registry)
    schema = json.loads(REGISTRY.schema(1))
    tree = {"type": "array", "items": {"type": "map", "values": ["null", {"type": "record", "name": "Leaf", "fields": [{"name": "n", "type": "long"}]}]}}
    newer = schema | {"fields": [{"name": "extra", "type": tree}, *schema["fields"]]}
    header = struct.pack(">bI", 0, registry.register("traces-value", json.dumps(newer)))
    assert codec.decode(topics.TRACES, header + varint(0) + RECORDS["traces"][0][5:]) == examples(topics.TRACES.event)[0]


@pytest.mark.parametrize("text", ["", "nul", "5", "{}", "[]", '"string"', '{"type": "record"}', "[" * 200_000, '{"type": ' * 5000 + '"long"' + "}" * 5000])
def test_a_registry_that_answers_nonsense_is_a_mismatch(text: str) -> None:
    registry = MemoryRegistry()
    header = struct.pack(">bI", 0, registry.register("traces-value", text))
    assert refusal(topics.TRACES, header + RECORDS["traces"][0][5:], Codec(registry)) in {RejectReason.SCHEMA_MISMATCH, RejectReason.TRUNCATED}


def test_a_registry_that_is_away_is_no_fault_of_the_bytes() -> None:
    class Away(MemoryRegistry):
        def schema(self, schema_id: int) -> str:
            raise UnavailableError("no answer")

    with pytest.raises(UnavailableError):
        Codec(Away()).decode(topics.TRACES, RECORDS["traces"][0])


def test_an_unknown_id_is_asked_for_again() -> None:
    registry = MemoryRegistry()
    codec = Codec(registry)
    with pytest.raises(UnknownSchemaError):
        codec.decode(topics.TRACES, RECORDS["traces"][0])
    registry.register("traces-value", REGISTRY.schema(1))
    assert codec.decode(topics.TRACES, RECORDS["traces"][0]) == examples(topics.TRACES.event)[0]
