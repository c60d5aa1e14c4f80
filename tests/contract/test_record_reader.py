"""Records that are read in columns are those that the codec reads singly, value for value; what is not ordinary is left to the codec."""

import io
import json
import struct
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trueloop.schemas import schema_text

from tests.contract.avro_values import records
from tests.factories import examples
from trueloop import topics
from trueloop.adapters.clickhouse.columns import arrow_column, arrow_type, columns_of
from trueloop.adapters.clickhouse.fields import MAX_ITEMS
from trueloop.adapters.clickhouse.record_reader import RecordReader, UnlikeError
from trueloop.codec import HEADER_BYTES, Codec
from trueloop.errors import DecodeError
from trueloop.events.avro import schema_file
from trueloop.testing import MemoryRegistry
from trueloop.topics import Topic
from trueloop.writer_schema import parse_writer_schema


def schema_of(topic: Topic) -> dict[str, Any]:
    return json.loads(schema_text(schema_file(topic.event)))


class Bench:
    """A writer's schema in a registry, and both ways to read what it writes."""

    def __init__(self, topic: Topic, schema: dict[str, Any]) -> None:
        self.topic = topic
        self.registry = MemoryRegistry()
        self.header = struct.pack(">bI", 0, self.registry.register(topic.subject, json.dumps(schema)))
        self.writer = parse_writer_schema(json.dumps(schema))
        self.codec = Codec(self.registry)
        self.reader = RecordReader(topic, self.writer)

    def write(self, record: Any) -> bytes:
        buffer = io.BytesIO()
        buffer.write(self.header)
        fastavro.schemaless_writer(buffer, self.writer, record)
        return buffer.getvalue()

    def single(self, value: bytes) -> pa.Table | None:
        """What the codec makes of a record; None when it, or Arrow, refuses it."""
        try:
            record = self.codec.decode_record(self.topic, value)
            return pa.table({column.name: arrow_column(column, [record[column.name]]) for column in columns_of(self.topic)})
        except (DecodeError, ValueError, TypeError, OverflowError):
            return None

    def compare(self, values: list[bytes]) -> np.ndarray:
        """Check that regular rows are what the codec makes of them; return which are regular."""
        table, regular = self.reader.read(values, HEADER_BYTES)
        table.validate(full=bool(regular.all()))
        for column in columns_of(self.topic):
            assert table.schema.field(column.name).type == arrow_type(column.avro), column.name
        for place in np.flatnonzero(regular).tolist():
            wanted = self.single(values[place])
            assert wanted is not None, "a record that the codec refuses became a row"
            row = table.slice(place, 1)
            for column in columns_of(self.topic):
                # As they are written: NaN is unequal to itself, and Arrow's own comparison takes the lists' offsets for a difference.
                assert repr(row[column.name].to_pylist()) == repr(wanted[column.name].to_pylist()), column.name
        return regular


BENCHES = {topic.name: Bench(topic, schema_of(topic)) for topic in topics.ALL}


def damaged(draw: st.DrawFn, value: bytes) -> bytes:
    """Cut, lengthen or change a record behind its header."""
    body = bytearray(value[HEADER_BYTES:])
    match draw(st.sampled_from(["cut", "longer", "bits", "insert"])):
        case "cut":
            body = body[: draw(st.integers(0, max(len(body) - 1, 0)))]
        case "longer":
            body += draw(st.binary(min_size=1, max_size=12))
        case "bits":
            for _ in range(draw(st.integers(1, 4)) if body else 0):
                body[draw(st.integers(0, len(body) - 1))] ^= 1 << draw(st.integers(0, 7))
        case "insert":
            place = draw(st.integers(0, len(body)))
            body[place:place] = draw(st.sampled_from([b"\xff" * 9 + b"\x01", b"\x80\x00", b"\x01", b"\xc0\x80", b"\xed\xa0\x80"]))
    return value[:HEADER_BYTES] + bytes(body)


@settings(max_examples=100)
@given(topic=st.sampled_from(topics.ALL), data=st.data())
def test_whatever_is_written_is_read_as_the_codec_reads_it(topic: Topic, data: st.DataObject) -> None:
    bench = BENCHES[topic.name]
    values = [bench.write(record) for record in data.draw(st.lists(records(bench.writer), min_size=1, max_size=6))]
    assert bench.compare(values).all(), "an ordinary record was left to the codec"


@settings(max_examples=200)
@given(topic=st.sampled_from(topics.ALL), data=st.data())
def test_damaged_records_are_found_and_their_neighbours_read(topic: Topic, data: st.DataObject) -> None:
    bench = BENCHES[topic.name]
    good = [bench.write(event.model_dump()) for event in examples(topic.event)]
    values, intact = [], []
    for _ in range(data.draw(st.integers(1, 6))):
        value = data.draw(st.sampled_from(good))
        intact.append(data.draw(st.booleans()))
        values.append(value if intact[-1] else data.draw(st.composite(damaged)(value)))
    regular = bench.compare(values)
    assert regular[intact].all(), "a good record beside a bad one was left to the codec"


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_an_event_of_every_topic_is_ordinary(topic: Topic) -> None:
    assert BENCHES[topic.name].compare([BENCHES[topic.name].write(event.model_dump()) for event in examples(topic.event)]).all()


def test_every_cut_and_every_byte_of_a_trace() -> None:
    bench = BENCHES["traces"]
    good = [bench.write(event.model_dump() | {"embedding": None, "embedding_model": None}) for event in examples(topics.TRACES.event)]
    for value in good:
        cuts = [value[:length] for length in range(HEADER_BYTES, len(value))]
        assert not bench.compare([*cuts, value])[:-1].any()
        for byte in (0x01, 0x80, 0xFF):
            bench.compare([value[:place] + bytes([byte]) + value[place + 1 :] for place in range(HEADER_BYTES, len(value), 2)])


def changed(**fields: Any) -> dict[str, Any]:
    """The schema of a trace with some of its fields changed."""
    schema = schema_of(topics.TRACES)
    return schema | {"fields": [field | fields.get(field["name"], {}) for field in schema["fields"]]}


def without(*names: str) -> dict[str, Any]:
    schema = schema_of(topics.TRACES)
    return schema | {"fields": [field for field in schema["fields"] if field["name"] not in names]}


def with_fields(*fields: dict[str, Any]) -> dict[str, Any]:
    schema = schema_of(topics.TRACES)
    return schema | {"fields": [*fields, *schema["fields"]]}


def symbols(*names: str) -> dict[str, Any]:
    return changed(consent={"type": {"type": "enum", "name": "Consent", "namespace": "trueloop", "symbols": list(names), "default": names[0]}})


@pytest.mark.parametrize(
    ("schema", "more"),
    [
        (schema_of(topics.TRACES) | {"fields": schema_of(topics.TRACES)["fields"][::-1]}, {}),
        (without("embedding", "subject_id", "slices", "alternatives", "latency_ms"), {}),
        (
            changed(
                prompt_tokens={"type": ["null", "int"]},
                subject_id={"type": ["string", "null"], "default": ""},
                completion_tokens={"type": "long", "default": 0},
            ),
            {},
        ),
        (symbols("UNKNOWN", "TRAINING", "NONE", "SOMETHING_NEW"), {"consent": "SOMETHING_NEW"}),
        (
            with_fields(
                {"name": "a", "type": ["null", "bytes"]},
                {"name": "b", "type": {"type": "fixed", "name": "F", "size": 3}},
                {"name": "c", "type": {"type": "enum", "name": "E", "symbols": ["X", "Y"]}},
                {"name": "d", "type": "float"},
                {"name": "e", "type": {"type": "long", "logicalType": "timestamp-micros"}},
                {"name": "f", "type": "boolean"},
                {"name": "g", "type": "string"},
            ),
            {"a": b"\xff\xfe", "b": b"abc", "c": "Y", "d": 0.5, "e": 1, "f": True, "g": "ü"},
        ),
    ],
    ids=["another order", "older", "other unions", "other symbols", "newer"],
)
def test_schemas_that_came_before_or_come_after_are_read_together(schema: dict[str, Any], more: dict[str, Any]) -> None:
    bench = Bench(topics.TRACES, schema)
    written = [
        {field["name"]: ({**event.model_dump(), **more})[field["name"]] for field in schema["fields"]}
        for event in (event.model_copy(update={"completion_tokens": 7, "subject_id": "s"}) for event in examples(topics.TRACES.event))
    ]
    assert bench.compare([bench.write(record) for record in written]).all()


@pytest.mark.parametrize(
    "schema",
    [
        "string",
        schema_of(topics.TRACES) | {"name": "Another"},
        symbols("UNKNOWN", "TRAINING") | {"name": "Another"},
        changed(consent={"type": {"type": "enum", "name": "Another", "symbols": ["UNKNOWN"]}}),
        changed(embedding={"type": ["null", {"type": "fixed", "name": "Embedding384", "namespace": "trueloop", "size": 8}]}),
        changed(latency_ms={"type": ["null", "float"]}),
        changed(completion={"type": ["null", "string"]}),
        changed(completion={"type": "bytes"}),
        changed(error={"type": ["null", "string", "long"]}),
        without("completion"),
        with_fields({"name": "tree", "type": {"type": "record", "name": "Leaf", "fields": [{"name": "x", "type": "long"}]}}),
    ],
)
def test_other_schemas_are_left_to_the_codec(schema: Any) -> None:
    with pytest.raises(UnlikeError):
        RecordReader(topics.TRACES, parse_writer_schema(json.dumps(schema)))


def varint(number: int) -> bytes:
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_what_is_allowed_but_not_ordinary_is_left_to_the_codec() -> None:
    bench = BENCHES["erasures"]
    event = examples(topics.ERASURES.event)[0].model_dump()
    padded = bench.write(event)
    longest = padded[:HEADER_BYTES] + bytes([padded[HEADER_BYTES] | 0x80, 0x00]) + padded[HEADER_BYTES + 1 :]
    assert bench.compare([longest]).tolist() == [True]  # a length with a byte more than it needs is still that length
    traces = BENCHES["traces"]
    full = examples(topics.TRACES.event)[0].model_dump()
    slices = b"".join(varint(len(text)) + text.encode() for pair in full["slices"].items() for text in pair)
    value = traces.write(full)
    one_block = varint(len(full["slices"])) + slices + b"\x00"
    assert value.count(one_block) == 1
    sized = varint(-len(full["slices"])) + varint(len(slices)) + slices + b"\x00"
    twice = varint(2) + 2 * (varint(1) + b"k" + varint(1) + b"v") + b"\x00"
    blocks = 2 * (varint(1) + varint(1) + b"k" + varint(1) + b"v") + b"\x00"
    odd = [value.replace(one_block, block) for block in (sized, twice, blocks)]
    assert traces.compare([*odd, value]).tolist() == [False, False, False, True]
    assert all(traces.single(each) is not None for each in odd)
    many = [traces.write(full | {"slices": {f"k{number}": "v" for number in range(size)}}) for size in (MAX_ITEMS, MAX_ITEMS + 1)]
    assert traces.compare(many).tolist() == [True, False]
