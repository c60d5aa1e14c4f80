"""Reads columns: compiled where that was possible, field after field over all records at once where it was not. Both come to the same."""

from typing import Any

import numpy as np

from trueloop.columns.columns import Columns, MapOfDoubles
from trueloop.columns.packed import Packed
from trueloop.columns.plan import FieldPlan, Kind, Plan, encoded
from trueloop.columns.walk import Flags, Spans, Walk
from trueloop.compiled import compiled

MAX_ENTRIES = 64
"""Entries of a map, or records of a list, that the walk takes in step; a record with more is read singly."""
_COMPILED = compiled("columns.compiled")


def read_columns(plan: Plan, values: Packed, header: bytes) -> Columns:
    """Return the planned fields of records, each of which follows `header` in its value; values without it are not regular.

    >>> from trueloop.columns.packed import packed
    >>> from trueloop.columns.plan import plan_of
    >>> plan = plan_of({"type": "record", "name": "R", "fields": [{"name": "id", "type": "string"}, {"name": "n", "type": "long"}]}, {"n"})
    >>> columns = read_columns(plan, packed([b"!\\x04ab\\x06", b"!\\x02c\\x01", b"!\\x7fd", b"?\\x02c\\x01"]), b"!")
    >>> columns.regular.tolist(), columns.longs["n"][:2].tolist(), columns.pieces(columns.texts["id"])[:2]
    ([True, True, False, False], [3, -1], [b'ab', b'c'])
    """
    return _walked(plan, values, header) if _COMPILED is None else _compiled(_COMPILED, plan, values, header)


def _compiled(walker: Any, plan: Plan, values: Packed, header: bytes) -> Columns:
    numbers, fields = encoded(plan)
    regular, found = walker.walk(numbers, fields, values.data, values.start, values.end, header, MAX_ENTRIES)
    columns = Columns(values.data, np.frombuffer(regular, np.bool_))
    for each, (first, second, doubles, present, entries) in zip(plan, found, strict=True):
        match each.kind:
            case Kind.TEXT:
                columns.texts[each.name] = _spans(first, second)
            case Kind.LONG:
                columns.longs[each.name] = np.frombuffer(first, np.int64)
                if present is not None:
                    columns.present[each.name] = np.frombuffer(present, np.bool_)
            case Kind.DOUBLE:
                columns.doubles[each.name] = np.frombuffer(doubles, np.float64)
            case Kind.ENUM:
                columns.enums[each.name] = np.frombuffer(first, np.int64)
                columns.symbols[each.name] = each.symbols
            case Kind.TEXT_MAP:
                columns.maps[each.name] = _spans(first, second)
            case Kind.DOUBLE_MAP:
                keys, scores = [_spans(start, end) for start, end, _ in entries], [np.frombuffer(value, np.float64) for _, _, value in entries]
                columns.double_maps[each.name] = MapOfDoubles(np.frombuffer(first, np.int64), keys, scores)
            case Kind.FIXED:
                columns.fixed[each.name] = _spans(first, second)
    return columns


def _spans(start: bytes, end: bytes) -> Spans:
    return Spans(np.frombuffer(start, np.int64), np.frombuffer(end, np.int64))


def _walked(plan: Plan, values: Packed, header: bytes) -> Columns:
    walk = Walk(values)
    walk.expect(header)
    columns = Columns(walk.data, walk.regular)
    for each in plan:
        present = None if each.null_branch is None else walk.branch(each.null_branch)
        _read(walk, columns, each, present)
    return columns


def _read(walk: Walk, columns: Columns, each: FieldPlan, present: Flags | None) -> None:
    match each.kind:
        case Kind.TEXT:
            columns.texts[each.name] = walk.text(present)
        case Kind.LONG:
            columns.longs[each.name] = walk.long(present)
            if present is not None:
                columns.present[each.name] = present
        case Kind.DOUBLE:
            columns.doubles[each.name] = walk.double(present)
        case Kind.BOOLEAN:
            walk.boolean(present)
        case Kind.ENUM:
            index = walk.long(present)
            walk.irregular((index < 0) | (index >= len(each.symbols)))
            columns.enums[each.name] = index if present is None else np.where(present, index, -1)
            columns.symbols[each.name] = each.symbols
        case Kind.TEXT_MAP:
            start = walk.position
            _entries(walk, present, doubles=False)
            columns.maps[each.name] = Spans(start, walk.position)
        case Kind.DOUBLE_MAP:
            columns.double_maps[each.name] = _entries(walk, present, doubles=True)
        case Kind.FIXED:
            columns.fixed[each.name] = walk.stretch(each.size, present)
        case Kind.RECORDS:
            _pass_records(walk, each, present)


def _pass_records(walk: Walk, each: FieldPlan, present: Flags | None) -> None:
    """Step over a list of records of plain fields. Like a map, a list in more than one block is rare and read singly."""
    counts = walk.long(present)
    walk.irregular((counts < 0) | (counts > MAX_ENTRIES))
    counts = np.where(walk.regular, counts, 0)
    for place in range(int(counts.max(initial=0))):
        active = counts > place
        for item in each.items:
            there = active if item.null_branch is None else walk.branch(item.null_branch, active)
            match item.kind:
                case Kind.TEXT:
                    walk.text(there)
                case Kind.DOUBLE:
                    walk.double(there)
                case Kind.BOOLEAN:
                    walk.boolean(there)
                case Kind.FIXED:
                    walk.stretch(item.size, there)
                case _:
                    walk.long(there)
    walk.irregular(walk.long(counts > 0) != 0)


def _entries(walk: Walk, present: Flags | None, *, doubles: bool) -> MapOfDoubles:
    counts = walk.long(present)
    # A negative count announces its bytes, and a second block may follow the first: rare, and none of our writers does either.
    walk.irregular((counts < 0) | (counts > MAX_ENTRIES))
    counts = np.where(walk.regular, counts, 0)
    found = MapOfDoubles(counts, [], [])
    for place in range(int(counts.max(initial=0))):
        active = counts > place
        keys = walk.text(active)
        if doubles:
            found.keys.append(keys)
            found.values.append(walk.double(active))
        else:
            walk.text(active)
    walk.irregular(walk.long(counts > 0) != 0)
    return found
