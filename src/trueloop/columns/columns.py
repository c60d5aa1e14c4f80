"""Columns of hot fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from trueloop.columns.plan import FieldPlan, Kind, Plan
from trueloop.columns.walk import Doubles, Flags, Ints, Spans, Walk

MAX_ENTRIES = 64
"""Entries of a map, or records of a list, that the walk takes in step; a record with more is read singly."""


LONGEST_COMPARED = 64
"""Bytes of a text up to which it is looked whether all records have the same."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of few different values: `names[code]` for each row."""

    codes: Ints
    names: list[bytes]


def coded(pieces: Sequence[bytes]) -> Coded:
    """Return a column by its different values.

    >>> column = coded([b"a", b"b", b"a"])
    >>> column.codes.tolist(), column.names
    ([0, 1, 0], [b'a', b'b'])
    """
    known: dict[bytes, int] = {}
    codes = [known.setdefault(piece, len(known)) for piece in pieces]
    return Coded(np.array(codes, np.int64), list(known))


@dataclass(frozen=True, slots=True)
class MapOfDoubles:
    """The map of each record: `counts` entries of it, entry j with its key in `keys[j]` and its value in `values[j]`."""

    counts: Ints
    keys: list[Spans]
    values: list[Doubles]


@dataclass(frozen=True, slots=True)
class Columns:
    """Fields of the same records, by name.

    `data` holds the bytes of all records; `texts`, `fixed` and `maps` (of strings, whole, as they are encoded) are spans of it, `enums` are places
    in `symbols`. `present` tells of the longs that may be null where they are not. Only rows that are `regular` mean anything.
    """

    data: bytes
    regular: Flags
    texts: dict[str, Spans] = field(default_factory=dict)
    longs: dict[str, Ints] = field(default_factory=dict)
    present: dict[str, Flags] = field(default_factory=dict)
    doubles: dict[str, Doubles] = field(default_factory=dict)
    enums: dict[str, Ints] = field(default_factory=dict)
    symbols: dict[str, tuple[str, ...]] = field(default_factory=dict)
    maps: dict[str, Spans] = field(default_factory=dict)
    double_maps: dict[str, MapOfDoubles] = field(default_factory=dict)
    fixed: dict[str, Spans] = field(default_factory=dict)

    def pieces(self, spans: Spans) -> list[bytes]:
        """Return the bytes of a span per record; of a null one, nothing."""
        data = self.data
        return [data[start:end] for start, end in zip(spans.start.tolist(), spans.end.tolist(), strict=True)]

    def coded(self, spans: Spans) -> Coded:
        """Return a span per record as a place in the list of the different ones."""
        same = self._same(spans)
        if same is not None:
            return Coded(np.zeros(len(spans.start), np.int64), [same])
        return coded(self.pieces(spans))

    def _same(self, spans: Spans) -> bytes | None:
        """Return the bytes that all spans hold when they hold the same: the rule for most columns of few values."""
        if not len(spans.start):
            return None
        start, size = int(spans.start[0]), int(spans.end[0] - spans.start[0])
        if not 0 <= size <= LONGEST_COMPARED or start < 0 or ((spans.end - spans.start) != size).any() or (spans.start < 0).any():
            return None
        buffer = np.frombuffer(self.data, np.uint8)
        first = buffer[start : start + size]
        return first.tobytes() if (buffer[spans.start[:, None] + np.arange(size)] == first).all() else None


def read_columns(plan: Plan, values: Sequence[bytes], header: bytes) -> Columns:
    """Return the planned fields of records, each of which follows `header` in its value; values without it are not regular.

    >>> from trueloop.columns.plan import plan_of
    >>> plan = plan_of({"type": "record", "name": "R", "fields": [{"name": "id", "type": "string"}, {"name": "n", "type": "long"}]}, {"n"})
    >>> columns = read_columns(plan, [b"!\\x04ab\\x06", b"!\\x02c\\x01", b"!\\x7fd", b"?\\x02c\\x01"], b"!")
    >>> columns.regular.tolist(), columns.longs["n"][:2].tolist(), columns.pieces(columns.texts["id"])[:2]
    ([True, True, False, False], [3, -1], [b'ab', b'c'])
    """
    walk = Walk(values, 0)
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
