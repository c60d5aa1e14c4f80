"""The walk over many records says what the codec says of each, or says nothing."""

import io
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import bare, example
from trueloop.codec import Codec
from trueloop.columns import columns as columns_module
from trueloop.columns import reading
from trueloop.columns.packed import packed
from trueloop.columns.plan import plan_of
from trueloop.columns.reading import MAX_ENTRIES, read_columns
from trueloop.errors import DecodeError
from trueloop.events import Consent, Trace
from trueloop.sampling.rows import HOT, rows_of
from trueloop.testing import MemoryRegistry
from trueloop.topics import TRACES


@pytest.fixture(params=["compiled", "python"], scope="module", autouse=True)
def form(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each of the tests holds for what was compiled, and for what takes its place where nothing was."""
    if request.param == "compiled" and reading._COMPILED is None:
        pytest.skip("nothing was compiled here")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            patch.setattr(reading, "_COMPILED", None)
            patch.setattr(columns_module, "_COMPILED", None)
        yield


CODEC = Codec(MemoryRegistry())
TEXT = st.text(max_size=300)
TRACES_OF_ALL_KINDS = st.builds(
    lambda **changes: example(Trace, **changes),
    event_id=st.text(min_size=1, max_size=256),
    trace_id=st.text(min_size=1, max_size=256),
    application=st.sampled_from(["shop", "Geschäft", "x" * 256]),
    checkpoint=st.none() | st.sampled_from(["v1", "v2", ""]),
    occurred_at=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),
    slices=st.dictionaries(st.sampled_from(["locale", "plan", "größe"]), TEXT, max_size=3),
    error=st.none() | st.sampled_from(["", "Timeout"]),
    latency_ms=st.none() | st.floats(min_value=0, allow_infinity=False),
    prompt_tokens=st.none() | st.integers(0, 2**63 - 1),
    completion_tokens=st.none() | st.integers(0, 2**63 - 1),
    scores=st.dictionaries(st.sampled_from(["judge", "tone", "größe", ""]), st.floats(0, 1), max_size=4),
    consent=st.sampled_from(list(Consent)),
)


def rows(values: list[bytes]) -> Any:
    columns = CODEC.columns(packed(values), HOT)
    assert columns is not None
    return rows_of(columns)


def said(found: Any, row: int) -> tuple[Any, ...]:
    """What the rows say of one trace."""
    return (
        found.trace_ids[row].decode(),
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(found.occurred_at[row])),
        found.applications.names[found.applications.codes[row]].decode(),
        found.checkpoints.names[found.checkpoints.codes[row]].decode(),
        found.slice_values[found.slices.codes[row]],
        bool(found.failed[row]),
        bool(found.consented[row]),
        {name: float(values[row]) for name, values in found.scores.items() if not math.isnan(values[row])},
    )


def of_event(trace: Trace) -> tuple[Any, ...]:
    consented = trace.consent in (Consent.REVIEW, Consent.TRAINING)
    return (trace.trace_id, trace.occurred_at, trace.application, trace.checkpoint or "", trace.slices, trace.error is not None, consented, trace.scores)


@given(st.lists(TRACES_OF_ALL_KINDS, min_size=1, max_size=8))
@settings(max_examples=80)
def test_the_rows_say_what_the_events_say(traces: list[Trace]) -> None:
    values = [CODEC.encode(TRACES, trace) for trace in traces]
    found = rows(values)
    regular = found.places.tolist()
    # Ids of more than 256 bytes may have 256 characters or fewer: the codec counts them.
    assert {place for place, trace in enumerate(traces) if max(len(trace.event_id.encode()), len(trace.trace_id.encode())) <= 256} <= set(regular) | {
        place for place, trace in enumerate(traces) if len(trace.application.encode()) > 256 or trace.occurred_at.year > 9998
    }
    assert [said(found, row) for row in range(len(regular))] == [of_event(traces[place]) for place in regular]


@given(st.lists(TRACES_OF_ALL_KINDS, min_size=1, max_size=4), st.data())
@settings(max_examples=120)
def test_of_bytes_that_were_tampered_with_they_say_what_the_codec_says_or_nothing(traces: list[Trace], data: st.DataObject) -> None:
    values = [bytearray(CODEC.encode(TRACES, trace)) for trace in traces]
    victim = data.draw(st.sampled_from(values))
    for _ in range(data.draw(st.integers(1, 4))):
        victim[data.draw(st.integers(5, min(len(victim) - 1, 200)))] = data.draw(st.integers(0, 255))
    del victim[data.draw(st.integers(5, len(victim))) :]
    found = rows([bytes(value) for value in values])
    for row, place in enumerate(found.places.tolist()):
        try:
            expected = of_event(CODEC.decode(TRACES, bytes(values[place])))  # type: ignore[arg-type]
        except DecodeError:
            continue  # what comes after the fields that are walked may be wrong: the sink, which reads everything, refuses it
        assert said(found, row) == expected


def prefix(record: dict[str, Any]) -> bytes:
    """The record in wire format with values that the model would refuse."""
    values = example(Trace).model_dump() | record
    buffer = io.BytesIO(CODEC.encode(TRACES, example(Trace))[:5])
    buffer.seek(5)
    fastavro.schemaless_writer(buffer, CODEC._reader(TRACES), values)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "broken",
    [
        {"scores": {"judge": 1.5}}, {"scores": {"judge": math.nan}}, {"scores": {"judge": -0.1}}, {"latency_ms": -1.0}, {"latency_ms": math.inf},
        {"prompt_tokens": -1}, {"trace_id": ""}, {"event_id": "x" * 300}, {"application": ""},
    ],
)  # fmt: skip
def test_what_breaks_a_rule_of_the_event_is_left_to_the_codec(broken: dict[str, Any]) -> None:
    good = CODEC.encode(TRACES, bare(Trace))
    assert rows([good, prefix(broken), good]).places.tolist() == [0, 2]
    with pytest.raises(DecodeError):
        CODEC.decode(TRACES, prefix(broken))


def test_unusual_but_valid_records_are_left_to_the_codec() -> None:
    many = CODEC.encode(TRACES, example(Trace, slices={f"s{n}": "v" for n in range(MAX_ENTRIES + 1)}))
    other_schema = b"\0\0\0\0\x09" + many[5:]
    good = CODEC.encode(TRACES, example(Trace))
    assert rows([good, many, other_schema, b"", good]).places.tolist() == [0, 4]


def test_a_map_in_two_blocks_and_one_with_its_size_are_left_to_the_codec() -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "m", "type": {"type": "map", "values": "double"}}]}
    plan = plan_of(schema, {"m"})
    assert plan is not None
    entry = b"\x02k" + bytes(8)
    one, two, sized = b"\x02" + entry + b"\0", (b"\x02" + entry) * 2 + b"\0", b"\x01\x14" + entry + b"\0"
    assert read_columns(plan, packed([one, two, sized]), b"").regular.tolist() == [True, False, False]


def test_fields_that_cannot_be_walked_have_no_plan() -> None:
    assert plan_of("string", {"a"}) is None
    assert plan_of({"type": "record", "name": "R", "fields": [{"name": "a", "type": ["null", "string", "long"]}]}, {"a"}) is None
    assert plan_of({"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]}, {"b"}) is None
    assert CODEC.columns(packed([b"\1\0\0\0\1rest"]), HOT) is None
    assert CODEC.columns(packed([b"\0\0\0\x09\x09rest"]), HOT) is None
    assert CODEC.columns(packed([]), HOT) is None


LISTED = {
    "type": "record", "name": "R", "fields": [
        {"name": "list", "type": {"type": "array", "items": {"type": "record", "name": "I", "fields": [
            {"name": "t", "type": "string"}, {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
            {"name": "n", "type": ["null", "string"]}, {"name": "d", "type": "double"},
            {"name": "b", "type": "boolean"}, {"name": "l", "type": ["long", "null"]},
            {"name": "f", "type": ["null", {"type": "fixed", "name": "F3", "size": 3}]},
        ]}}},
        {"name": "text", "type": ["null", "string"]},
        {"name": "fixed", "type": ["null", {"type": "fixed", "name": "F2", "size": 2}]},
        {"name": "count", "type": ["null", "long"]},
    ],
}  # fmt: skip
ITEMS = st.fixed_dictionaries(
    {
        "t": st.text(max_size=70), "e": st.sampled_from("AB"), "n": st.none() | st.text(max_size=3), "d": st.floats(allow_nan=False, allow_infinity=False),
        "b": st.booleans(), "l": st.none() | st.integers(-(2**63), 2**63 - 1), "f": st.none() | st.binary(min_size=3, max_size=3),
    }
)  # fmt: skip
RECORDS = st.fixed_dictionaries(
    {
        "list": st.lists(ITEMS, max_size=4), "text": st.none() | st.text(max_size=80), "fixed": st.none() | st.binary(min_size=2, max_size=2),
        "count": st.none() | st.integers(0, 2**62),
    }
)  # fmt: skip


def written(record: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(LISTED), record)
    return buffer.getvalue()


@given(st.lists(RECORDS, min_size=1, max_size=6), st.data())
@settings(max_examples=80)
def test_lists_are_stepped_over_and_what_lies_behind_them_is_read(records: list[dict[str, Any]], data: st.DataObject) -> None:
    values = [written(record) for record in records]
    plan = plan_of(LISTED, {"text", "fixed", "count"})
    assert plan is not None
    found = read_columns(plan, packed(values), b"")
    assert found.regular.all()
    assert found.pieces(found.texts["text"]) == [(record["text"] or "").encode() for record in records]
    assert found.pieces(found.fixed["fixed"]) == [record["fixed"] or b"" for record in records]
    assert found.present["count"].tolist() == [record["count"] is not None for record in records]
    assert found.longs["count"].tolist() == [record["count"] or 0 for record in records]
    assert [start >= 0 for start in found.fixed["fixed"].start.tolist()] == [record["fixed"] is not None for record in records]
    cut = data.draw(st.integers(0, len(values) - 1))
    values[cut] = values[cut][: data.draw(st.integers(0, len(values[cut]) - 1))]
    again = read_columns(plan, packed(values), b"")
    assert again.regular.tolist() == [place != cut for place in range(len(values))]
    others = [place for place in range(len(values)) if place != cut]
    assert [again.pieces(again.texts["text"])[place] for place in others] == [(records[place]["text"] or "").encode() for place in others]


def test_a_long_list_and_one_in_two_blocks_are_left_to_the_codec() -> None:
    schema = {"type": "record", "name": "R", "fields": [
        {"name": "l", "type": {"type": "array", "items": {"type": "record", "name": "I", "fields": [{"name": "t", "type": "string"}]}}},
        {"name": "t", "type": "string"},
    ]}  # fmt: skip
    plan = plan_of(schema, {"t"})
    assert plan is not None
    item, end = b"\x02x", b"\0\x02y"
    long = bytes([((MAX_ENTRIES + 1) << 1) & 0x7F | 0x80, (MAX_ENTRIES + 1) >> 6]) + item * (MAX_ENTRIES + 1)
    values = [b"\x02" + item + end, (b"\x02" + item) * 2 + end, b"\x01\x04" + item + end, long + end, b"\0\x02y"]
    found = read_columns(plan, packed(values), b"")
    assert found.regular.tolist() == [True, False, False, False, True]
    assert found.pieces(found.texts["t"])[0] == b"y"


def test_lists_of_anything_but_records_of_plain_fields_have_no_plan() -> None:
    for items in ("string", {"type": "record", "name": "I", "fields": [{"name": "m", "type": {"type": "map", "values": "string"}}]}, ["null", "string"]):
        fields = [{"name": "l", "type": {"type": "array", "items": items}}, {"name": "t", "type": "string"}]
        assert plan_of({"type": "record", "name": "R", "fields": fields}, {"t"}) is None
