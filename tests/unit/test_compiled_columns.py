"""What is compiled comes to what Python comes to, on records, on pieces of them and on bytes that are none."""

import hashlib
import shutil
import subprocess
import sys
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_columns import LISTED, RECORDS, TRACES_OF_ALL_KINDS, written
from trueloop.codec import Codec
from trueloop.columns import columns as columns_module
from trueloop.columns import reading
from trueloop.columns.columns import Columns
from trueloop.columns.packed import Packed, packed
from trueloop.columns.plan import Plan, encoded, plan_of
from trueloop.columns.walk import Spans
from trueloop.compiled import PURE_PYTHON, compiled
from trueloop.events import Trace, identity
from trueloop.events.avro import avro_schema
from trueloop.sampling import draws
from trueloop.sampling.rows import HOT
from trueloop.testing import MemoryRegistry
from trueloop.topics import TRACES

COMPILED: Any = compiled("columns.compiled")
HASHES: Any = compiled("events.compiled")
CODEC = Codec(MemoryRegistry())
needs_compiled = pytest.mark.skipif(COMPILED is None, reason="nothing was compiled here")


def planned(schema: Any, fields: Any) -> Plan:
    plan = plan_of(schema, fields)
    assert plan is not None
    return plan


TRACE_PLAN = planned(avro_schema(Trace), HOT)
LIST_PLAN = planned(LISTED, {"text", "fixed", "count"})


def said(columns: Columns) -> list[Any]:
    """Everything that columns say of their regular rows."""
    rows = columns.regular

    def spans(found: Spans) -> list[list[int]]:
        return [found.start[rows].tolist(), found.end[rows].tolist()]

    def entries(name: str) -> list[Any]:
        found = columns.double_maps[name]
        inside = [found.counts[rows] > place for place in range(len(found.keys))]
        some = [
            [keys.start[rows][there].tolist(), keys.end[rows][there].tolist(), values[rows][there].tolist()]
            for keys, values, there in zip(found.keys, found.values, inside, strict=True)
            if there.any()
        ]
        return [found.counts[rows].tolist(), some]

    arrays = [{name: repr(values[rows].tolist()) for name, values in each.items()} for each in (columns.longs, columns.present, columns.doubles, columns.enums)]
    pieces = [{name: spans(found) for name, found in each.items()} for each in (columns.texts, columns.maps, columns.fixed)]
    return [rows.tolist(), arrays, pieces, {name: entries(name) for name in columns.double_maps}, columns.symbols]


def both_agree(plan: Plan, values: Packed, header: bytes = b"") -> None:
    assert said(reading._compiled(COMPILED, plan, values, header)) == said(reading._walked(plan, values, header))


def garbled(data: st.DataObject, value: bytes) -> bytes:
    found = bytearray(value)
    for _ in range(data.draw(st.integers(0, 6))):
        if found:
            found[data.draw(st.integers(0, len(found) - 1))] = data.draw(st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    return bytes(found[: data.draw(st.integers(0, len(found)))] if data.draw(st.booleans()) else found)


@needs_compiled
@given(st.lists(TRACES_OF_ALL_KINDS, min_size=1, max_size=5), st.data())
@settings(max_examples=80)
def test_both_read_the_same_of_traces_that_were_tampered_with(traces: list[Trace], data: st.DataObject) -> None:
    values = [CODEC.encode(TRACES, trace) for trace in traces]
    both_agree(TRACE_PLAN, packed([garbled(data, value) for value in values]), values[0][:5])


@needs_compiled
@given(st.lists(RECORDS, min_size=1, max_size=5), st.data())
@settings(max_examples=80)
def test_both_read_the_same_of_lists_that_were_tampered_with(records: list[dict[str, Any]], data: st.DataObject) -> None:
    both_agree(LIST_PLAN, packed([garbled(data, written(record)) for record in records]))


@needs_compiled
@given(st.lists(st.none() | st.binary(max_size=60), max_size=8))
@settings(max_examples=80)
def test_both_read_the_same_of_any_bytes(values: list[bytes | None]) -> None:
    for plan in (TRACE_PLAN, LIST_PLAN):
        both_agree(plan, packed(values))


@needs_compiled
@pytest.mark.parametrize(
    "varint",
    [
        b"\xff" * 9 + b"\x01",
        b"\xff" * 9 + b"\x02",
        b"\xff" * 9 + b"\x7f",
        b"\xff" * 10 + b"\x01",
        b"\x80" * 11,
        b"\xfe" + b"\xff" * 8 + b"\x01",
        b"\xff" * 4 + b"\x0f",
    ],
)
def test_both_read_the_same_of_numbers_at_the_edge(varint: bytes) -> None:
    fields = [{"name": "n", "type": "long"}, {"name": "t", "type": "string"}, {"name": "m", "type": {"type": "map", "values": "double"}}]
    for first in range(3):
        plan = planned({"type": "record", "name": "R", "fields": fields[first:]}, {"m"})
        both_agree(plan, packed([varint + b"\0" * 20, b"\0" * first + varint, varint[:3], b"\0\0\0"]))


@needs_compiled
@given(st.lists(st.none() | st.sampled_from([b"", b"a", b"b", b"ab"]) | st.binary(max_size=70), max_size=60))
def test_both_find_the_same_pieces_and_codes(values: list[bytes | None]) -> None:
    found = packed(values)
    columns, spans = Columns(found.data, np.ones(len(values), np.bool_)), Spans(found.start, found.end)
    with pytest.MonkeyPatch.context() as patch:
        ours = columns.pieces(spans), columns.coded(spans)
        patch.setattr(columns_module, "_COMPILED", None)
        theirs = columns.pieces(spans), columns.coded(spans)
    assert ours[0] == theirs[0] == [value or b"" for value in values]
    assert (ours[1].codes.tolist(), ours[1].names) == (theirs[1].codes.tolist(), theirs[1].names)


def by_hashlib(texts: list[bytes]) -> list[int]:
    return [int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") for text in texts]


@needs_compiled
@given(st.lists(st.integers(0, 300) | st.integers(0, 128), max_size=40).flatmap(lambda sizes: st.tuples(*(st.binary(min_size=n, max_size=n) for n in sizes))))
def test_the_hashes_are_those_of_hashlib(several: tuple[bytes, ...]) -> None:
    texts = list(several)
    assert np.frombuffer(HASHES.hashes(texts), np.uint64).tolist() == by_hashlib(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "_COMPILED", None)
        assert draws.hashes(texts).tolist() == by_hashlib(texts)


@needs_compiled
@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 255, 256, 257, 4096])
def test_the_hashes_are_right_at_the_edges_of_blocks(size: int) -> None:
    text = bytes(range(256)) * 16
    assert HASHES.hashes([text[:size]])[::-1] == hashlib.blake2b(text[:size], digest_size=8).digest() or sys.byteorder == "big"


@needs_compiled
@pytest.mark.parametrize("together", range(18))
def test_a_text_has_the_same_hash_among_however_many_others(together: int) -> None:
    """Those of a block at most are hashed eight or four at once where the processor can, what is left of them and longer ones singly."""
    noise = np.random.default_rng(together).bytes(20_000)
    sizes = [0, 1, 7, 8, 9, 31, 32, 33, 36, 64, 119, 120, 121, 127, 128, 129, 136, 256, 257, 300]
    for turn in range(len(sizes)):
        for step in (0, 1, 3):  # all of one size; each size in each lane; long ones in between
            chosen = [sizes[(turn + step * place) % len(sizes)] for place in range(together)]
            texts = [noise[301 * place : 301 * place + size] for place, size in enumerate(chosen)]
            assert np.frombuffer(HASHES.hashes(texts), np.uint64).tolist() == by_hashlib(texts)


@needs_compiled
@pytest.mark.parametrize("wrong", ["text", None, 1, bytearray(b"a"), memoryview(b"a")])
def test_what_is_not_bytes_has_no_hash_and_is_let_go(wrong: Any) -> None:
    text = bytes(bytearray(b"a text of its own"))
    before = sys.getrefcount(text)
    for place in range(18):
        texts = [text] * 17
        texts.insert(place, wrong)
        with pytest.raises(TypeError, match="expected a list of bytes"):
            HASHES.hashes(texts)
        assert len(HASHES.hashes([text] * place)) == 8 * place
    del texts
    assert sys.getrefcount(text) == before
    for no_list in ((text,), text, None):
        with pytest.raises(TypeError, match="expected a list of bytes"):
            HASHES.hashes(no_list)


@needs_compiled
@given(st.lists(st.text(max_size=150), max_size=6).map(tuple), st.integers(1, 64))
def test_ids_are_the_same(parts: tuple[str, ...], size: int) -> None:
    pieces = [piece for part in parts for piece in (len(part.encode()).to_bytes(8, "big"), part.encode())]
    assert HASHES.digest(parts, size) == hashlib.blake2b(b"".join(pieces), digest_size=size).digest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "_COMPILED", None)
        assert identity._digest(parts, size) == HASHES.digest(parts, size)


@needs_compiled
def test_what_is_no_text_has_no_id() -> None:
    wrong: list[tuple[Any, int, type[Exception]]] = [
        (("a", b"b"), 8, TypeError), (["a"], 8, TypeError), (("a",), 0, ValueError), (("a",), 65, ValueError), (("\ud800",), 8, UnicodeEncodeError),
    ]  # fmt: skip
    for parts, size, error in wrong:
        with pytest.raises(error):
            HASHES.digest(parts, size)


@needs_compiled
def test_spans_and_plans_that_would_lead_outside_are_refused() -> None:
    numbers, fields = encoded(LIST_PLAN)

    def longs(*values: int) -> bytes:
        return array("q", values).tobytes()

    calls = (
        lambda start, end: COMPILED.walk(numbers, fields, b"abcd", start, end, b"", 64),
        lambda start, end: COMPILED.pieces(b"abcd", start, end),
        lambda start, end: COMPILED.codes(b"abcd", start, end),
    )
    for start, end in ((0, 5), (-2, 1), (3, 2), (-1, 0), (2**62, 2**62 + 1), (0, -1)):
        for call in calls:
            with pytest.raises(ValueError, match="outside"):
                call(longs(start), longs(end))
    with pytest.raises(ValueError, match="as many"):
        COMPILED.pieces(b"abcd", longs(0, 1), longs(1))
    for plan, count in (
        (longs(99, -1, 0, 0), 1),
        (longs(1, 5, 0, 0), 1),
        (longs(9, -1, 3, 1), 1),
        (longs(8, -1, -1, 0), 1),
        (longs(1, -1, 0, 0), 2),
        (b"abc", 0),
    ):
        with pytest.raises(ValueError, match="no plan"):
            COMPILED.walk(plan, count, b"abcd", longs(0), longs(1), b"", 64)
    with pytest.raises(ValueError, match="most"):
        COMPILED.walk(numbers, fields, b"abcd", longs(0), longs(1), b"", 10**9)
    with pytest.raises(TypeError):
        HASHES.hashes([b"a", "b"])


def test_python_takes_over_when_it_is_wanted() -> None:
    names = (
        "columns.columns",
        "columns.reading",
        "events.identity",
        "sampling.draws",
        "writing.event",
        "reading.event",
        "adapters.faust_batch.fetched_records",
    )
    asked = f"{{importlib.import_module('trueloop.' + name)._COMPILED for name in {names}}}"
    command = f"import importlib; from trueloop.config import load_settings; load_settings(); print({asked})"
    done = subprocess.run([sys.executable, "-c", command], env={PURE_PYTHON: "1"}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{None}"


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
def test_where_there_is_a_compiler_it_was_used() -> None:
    names = ("columns.compiled", "events.compiled", "reading.compiled", "writing.compiled", "adapters.faust_batch.compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(PURE_PYTHON, raising=False)
        assert None not in [compiled(name) for name in names]
    assert compiled("columns.no_such_module") is None
