"""What the compiled writer makes of an event is what fastavro makes of it, or it leaves the event to fastavro."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import example, examples
from trueloop import topics
from trueloop.avro_plan import Kind, plan_of
from trueloop.codec import Codec
from trueloop.compiled import compiled
from trueloop.events import Trace
from trueloop.testing import MemoryRegistry
from trueloop.topics import TRACES, Topic
from trueloop.writing import event as event_module
from trueloop.writing.event import Writer

COMPILED: Any = compiled("writing.compiled")
CODEC = Codec(MemoryRegistry())
EVERY_TOPIC = pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
needs_compiled = pytest.mark.skipif(COMPILED is None, reason="nothing was compiled here")


def by_fastavro(topic: Topic, event: Any, codec: Codec = CODEC) -> bytes:
    """Return what fastavro makes of an event; each codec's registry gives its own schema ids."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_module, "_COMPILED", None)
        return codec.encode(topic, event)


def compiled_only(topic: Topic, event: Any) -> bytes | None:
    """Return what the compiled writer makes of an event, without fastavro behind it."""
    written: bytes | None = COMPILED.written(plan_of(CODEC._reader(topic)), event, CODEC.encode(topic, examples(topic.event)[0])[:5])
    return written


@needs_compiled
@EVERY_TOPIC
def test_the_examples_are_written_the_same(topic: Topic) -> None:
    for event in examples(topic.event):
        assert compiled_only(topic, event) == by_fastavro(topic, event)


@needs_compiled
@given(st.datetimes(timezones=st.just(UTC)))
def test_any_moment_is_written_the_same(moment: datetime) -> None:
    event = example(Trace).model_copy(update={"occurred_at": moment})
    assert compiled_only(TRACES, event) == by_fastavro(TRACES, event)


@needs_compiled
@given(st.integers(-(2**63), 2**63 - 1), st.floats())
def test_any_number_is_written_the_same(whole: int, number: float) -> None:
    event = example(Trace).model_copy(update={"prompt_tokens": whole, "latency_ms": number, "scores": {"a": number}})
    assert compiled_only(TRACES, event) == by_fastavro(TRACES, event)


@needs_compiled
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize(
    "unusual",
    [
        {"occurred_at": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
        {"latency_ms": 3},
        {"scores": {"a": 1}},
        {"messages": tuple(example(Trace).messages)},
    ],
    ids=["another zone", "whole latency", "whole score", "tuple"],
)
def test_what_is_unusual_is_left_to_fastavro(unusual: dict[str, Any]) -> None:
    event = example(Trace).model_copy(update=unusual)
    assert compiled_only(TRACES, event) is None
    assert CODEC.encode(TRACES, event) == by_fastavro(TRACES, event)


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize(
    "wrong",
    [
        {"trace_id": 1},
        {"prompt_tokens": True},
        {"trace_id": "\ud800"},
        {"prompt_tokens": 2**63},
        {"embedding": b"short"},
        {"consent": "MAYBE"},
        {"slices": {"a": 1}},
    ],
    ids=str,
)
def test_what_cannot_be_written_is_refused_in_both_forms(wrong: dict[str, Any]) -> None:
    event = example(Trace).model_copy(update=wrong)
    with pytest.raises(Exception) as theirs:
        by_fastavro(TRACES, event)
    with pytest.raises(type(theirs.value)) as ours:
        CODEC.encode(TRACES, event)
    assert str(ours.value) == str(theirs.value)


@needs_compiled
def test_what_is_no_plan_writes_nothing() -> None:
    deep: Any = (Kind.TEXT, False, None)
    for _ in range(40):
        deep = (Kind.LIST, False, deep)
    for plan in (None, (), (1, False), (99, False, None), (int(Kind.RECORD), False, None), (int(Kind.RECORD), False, (("trace_id",),)), deep):
        assert COMPILED.written(plan, example(Trace), b"") is None
    for arguments in ((), (None, None, "text")):
        with pytest.raises(TypeError, match="expected"):
            COMPILED.written(*arguments)


NOT_OURS: list[Any] = [
    {"type": "map", "values": "int"}, ["string", "null"], ["null", "string", "long"], {"type": "long", "logicalType": "timestamp-millis"},
]  # fmt: skip


@pytest.mark.parametrize("avro", NOT_OURS, ids=str)
def test_a_schema_that_is_none_of_ours_has_no_plan(avro: Any) -> None:
    with pytest.raises(TypeError, match=r"expected null|no event of ours"):
        Writer({"type": "record", "name": "R", "fields": [{"name": "a", "type": avro}]})
