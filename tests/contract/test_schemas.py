"""The committed schemas: what the models say, documented, and compatible with every version that was ever released."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
from fastavro.schema import SchemaParseException
from hypothesis import given, settings
from hypothesis import strategies as st
from trueloop.schemas import schema_text

from tests.contract.avro_values import records
from tests.contract.golden import Recorded, recorded
from trueloop import topics
from trueloop.events.avro import schema_file
from trueloop.events.avro import schema_text as text_of_model
from trueloop.topics import Topic

EVERY_TOPIC = pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
GOLDEN = list(recorded())
EVERY_RECORDED = pytest.mark.parametrize("old", GOLDEN, ids=lambda old: f"{old.topic.name}-v{old.version}")
NUMBERS = {"int", "long", "float", "double"}
UNIT_OR_RANGE = re.compile(
    r"[\[(]-?\d|[<>]=?|\b\d+ to \d+\b|\b[01] (?:or|when|for) |\b(?:scale|finite|UTC|seconds|milliseconds|microseconds|code points|natural logarithm)\b"
    r"|\b(?:items|units|labels|observations|pairs|tokens|steps|records|offset|seed|votes|reviewers)\b",
    re.IGNORECASE,
)


def committed(topic: Topic) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(schema_text(schema_file(topic.event)))
    return schema


def fields(schema: Any, owner: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every field of a schema, those of nested records too, with the record's name before it."""
    if isinstance(schema, list):
        for branch in schema:
            yield from fields(branch, owner)
    elif isinstance(schema, dict):
        for field in schema.get("fields", ()):
            yield f"{schema['name']}.{field['name']}", field
            yield from fields(field["type"])
        for part in ("items", "values"):
            yield from fields(schema.get(part))


def is_number(kind: Any) -> bool:
    if isinstance(kind, list):
        return any(map(is_number, kind))
    if isinstance(kind, dict):
        return any(is_number(kind.get(part)) for part in ("type", "items", "values")) and kind.get("type") != "record"
    return kind in NUMBERS


@EVERY_TOPIC
def test_the_file_is_what_the_model_says(topic: Topic) -> None:
    assert schema_text(schema_file(topic.event)) == text_of_model(topic.event), "run: make schemas"
    fastavro.parse_schema(committed(topic))


def test_there_is_one_file_per_topic_and_no_other() -> None:
    from importlib.resources import files

    found = {path.name for path in files("trueloop.schemas").iterdir() if path.name.endswith(".avsc")}
    assert found == {schema_file(topic.event) for topic in topics.ALL}


@EVERY_TOPIC
def test_every_field_says_what_it_is_and_numbers_in_which_unit_or_range(topic: Topic) -> None:
    wanting = [name for name, field in fields(committed(topic)) if not field.get("doc", "").strip().endswith((".", ")"))]
    bare = [f"{name}: {field['doc']}" for name, field in fields(committed(topic)) if is_number(field["type"]) and not UNIT_OR_RANGE.search(field["doc"])]
    assert wanting == []
    assert bare == []


@EVERY_TOPIC
def test_hot_fields_come_first_and_absence_is_null(topic: Topic) -> None:
    schema = committed(topic)
    assert [field["name"] for field in schema["fields"]][:3] == ["event_id", "occurred_at", "application"]
    for name, field in fields(schema):
        if isinstance(field["type"], list):
            assert field["type"][0] == "null", name
            assert field["default"] is None, name
    for kind in re.findall(r'"type": "enum".*?"default": "(\w+)"', json.dumps(schema)):
        assert kind == "UNKNOWN"


def transcribe(value: Any, writer: Any, reader: Any) -> Any:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(writer), value)
    buffer.seek(0)
    return fastavro.schemaless_reader(buffer, fastavro.parse_schema(writer), fastavro.parse_schema(reader))


def assert_fully_compatible(data: st.DataObject, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Records of either schema can be read with the other, and what both know arrives unchanged."""
    for writer, reader in ((one, other), (other, one)):
        value = data.draw(records(writer))
        read = transcribe(value, writer, reader)
        assert read.keys() == {field["name"] for field in reader["fields"]}
        for name in value.keys() & read.keys():
            if isinstance(value[name], str | bool | int | float | bytes | None) and is_simple(writer, name):
                assert read[name] == value[name], name


def is_simple(schema: dict[str, Any], name: str) -> bool:
    kind = next(field["type"] for field in schema["fields"] if field["name"] == name)
    return isinstance(kind, str)


@EVERY_RECORDED
@settings(max_examples=20)
@given(data=st.data())
def test_today_is_fully_compatible_with_every_release(old: Recorded, data: st.DataObject) -> None:
    assert_fully_compatible(data, json.loads(old.schema), committed(old.topic))


BASE = {"type": "record", "name": "X", "namespace": "t", "fields": [{"name": "a", "type": "string"}]}


@pytest.mark.parametrize(
    "fields",
    [
        [{"name": "a", "type": "string"}, {"name": "b", "type": "long"}],
        [{"name": "a", "type": "long"}],
        [],
        [{"name": "a", "type": ["null", "string"], "default": None}],
    ],
    ids=["new without a default", "another type", "dropped without a default", "made nullable"],
)
def test_the_check_of_compatibility_can_fail(fields: list[dict[str, Any]]) -> None:
    changed = BASE | {"fields": fields}

    @settings(max_examples=50, database=None)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        assert_fully_compatible(data, BASE, changed)

    with pytest.raises(Exception) as refused:
        check()
    assert isinstance(refused.value, fastavro.read.SchemaResolutionError | SchemaParseException), refused.value


def test_an_added_field_with_a_default_is_compatible() -> None:
    @settings(max_examples=20, database=None)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        assert_fully_compatible(data, BASE, BASE | {"fields": [*BASE["fields"], {"name": "b", "type": "long", "default": 0}]})

    check()


@EVERY_TOPIC
def test_every_topic_has_recorded_bytes(topic: Topic) -> None:
    assert topic in {old.topic for old in GOLDEN}, "after a release, raise VERSION in tests/contract/golden.py and run: python -m tests.contract.golden write"
