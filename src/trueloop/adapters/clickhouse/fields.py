"""How one field of many Avro records becomes one Arrow array: it first steps over its bytes in all records, then makes its array.

Only what is ordinary is read. A record with anything else in this field (bytes that are no UTF-8, a list in several blocks, a number of no
symbol) becomes irregular, and its value in the array means nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from trueloop.adapters.clickhouse.nested_walk import NestedWalk
from trueloop.columns.walk import Flags, Ints, Spans

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ITEMS = 64
"""Items of a list or map that are read in step. A record with more is cheaper to read singly."""
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The moments that a datetime can hold, years 1 to 9999, as microseconds since the epoch."""


class Field(Protocol):
    """A field of a writer's records. `present` tells in which rows there is one (None: in all); elsewhere its array is null."""

    def step(self, walk: NestedWalk, present: Flags | None) -> Any:
        """Move over the field and return what `column` needs."""
        ...

    def column(self, walk: NestedWalk, found: Any, present: Flags | None) -> "pa.Array":
        """Return the array of the field."""
        ...


class Text:
    """A string."""

    def step(self, walk: NestedWalk, present: Flags | None) -> Spans:
        """Move over the string."""
        return walk.piece(present)

    def column(self, walk: NestedWalk, found: Spans, present: Flags | None) -> "pa.Array":
        """Return the strings."""
        import pyarrow as pa

        pieces = walk.gathered(found)
        texts = _as_text(pieces, present)
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid:
            walk.irregular(~np.fromiter(map(_is_utf8, pieces.to_pylist()), np.bool_, len(pieces)))
            texts = _as_text(walk.gathered(found), present)
        return texts


class Raw:
    """Bytes of any length."""

    def step(self, walk: NestedWalk, present: Flags | None) -> Spans:
        """Move over the bytes."""
        return walk.piece(present)

    def column(self, walk: NestedWalk, found: Spans, present: Flags | None) -> "pa.Array":
        """Return the bytes."""
        import pyarrow as pa

        pieces = walk.gathered(found)
        return pa.BinaryArray.from_buffers(pa.binary(), len(pieces), [_validity(present), *pieces.buffers()[1:]])


class Kind(Enum):
    """What a number says."""

    LONG = auto()
    DOUBLE = auto()
    BOOLEAN = auto()
    MOMENT = auto()


@dataclass(frozen=True, slots=True)
class Number:
    """A long, a double, a boolean or a timestamp in microseconds."""

    kind: Kind

    def step(self, walk: NestedWalk, present: Flags | None) -> Any:
        """Move over the number and return it."""
        match self.kind:
            case Kind.DOUBLE:
                return walk.double(present)
            case Kind.BOOLEAN:
                return walk.boolean(present)
        values = walk.long(present)
        if self.kind is Kind.MOMENT:
            walk.irregular((values < _FIRST_US) | (values > _LAST_US))
        return values

    def column(self, walk: NestedWalk, found: Any, present: Flags | None) -> "pa.Array":
        """Return the numbers."""
        import pyarrow as pa

        numbers = pa.array(found, mask=None if present is None else ~present)
        return numbers.view(pa.timestamp("us", "UTC")) if self.kind is Kind.MOMENT else numbers


@dataclass(frozen=True, slots=True)
class Symbol:
    """An enum. `symbols` are those that we know the writer's by, in the writer's order."""

    symbols: tuple[str, ...]

    def step(self, walk: NestedWalk, present: Flags | None) -> Ints:
        """Move over the symbol and return its number."""
        place = walk.long(present)
        odd = (place < 0) | (place >= len(self.symbols))
        walk.irregular(odd)
        return np.where(odd, 0, place)

    def column(self, walk: NestedWalk, found: Ints, present: Flags | None) -> "pa.Array":
        """Return the symbols as text."""
        import pyarrow as pa

        return pa.array(self.symbols, pa.string()).take(pa.array(found, mask=None if present is None else ~present))


@dataclass(frozen=True, slots=True)
class Floats:
    """Float32 numbers in a `fixed` of `size` bytes. Its array is never null: an absent one is empty."""

    size: int

    def step(self, walk: NestedWalk, present: Flags | None) -> Spans:
        """Move over the bytes."""
        return walk.fixed(self.size, present)

    def column(self, walk: NestedWalk, found: Spans, present: Flags | None) -> "pa.Array":
        """Return the lists of numbers, which share one buffer."""
        import pyarrow as pa

        pieces = walk.gathered(found)
        _, offsets, data = pieces.buffers()
        ends = np.frombuffer(offsets, np.int32, len(pieces) + 1) // 4
        return pa.ListArray.from_arrays(pa.array(ends), pa.Array.from_buffers(pa.float32(), int(ends[-1]), [None, data]))


@dataclass(frozen=True, slots=True)
class Optional:
    """A union of null, which is its branch `null_branch`, and another field."""

    inner: Field
    null_branch: int

    def step(self, walk: NestedWalk, present: Flags | None) -> tuple[Flags | None, Any]:
        """Move over branch and value."""
        branch = walk.long(present)
        walk.irregular((branch != 0) & (branch != 1))
        there = branch == 1 - self.null_branch
        if present is not None:
            there &= present
        elif there.all():
            return None, self.inner.step(walk, None)
        return there, self.inner.step(walk, there)

    def column(self, walk: NestedWalk, found: tuple[Flags | None, Any], present: Flags | None) -> "pa.Array":
        """Return the inner array, null where the union is."""
        return self.inner.column(walk, found[1], found[0])


@dataclass(frozen=True, slots=True)
class Constant:
    """The default of a field that the writer does not know; an array of one value."""

    value: "pa.Array"

    def step(self, walk: NestedWalk, present: Flags | None) -> None:
        """Stay."""

    def column(self, walk: NestedWalk, found: None, present: Flags | None) -> "pa.Array":
        """Return the value for every row."""
        return self.value.take(_zeros(len(walk.position)))


@dataclass(frozen=True, slots=True)
class Struct:
    """A record. `steps` are the writer's fields in its order, `members` the places of ours among them, by name in our order."""

    steps: Sequence[Field]
    members: dict[str, int]

    def step(self, walk: NestedWalk, present: Flags | None) -> list[Any]:
        """Move over every field."""
        return [field.step(walk, present) for field in self.steps]

    def columns(self, walk: NestedWalk, found: list[Any], present: Flags | None) -> "dict[str, pa.Array]":
        """Return the array of each member."""
        return {name: self.steps[place].column(walk, found[place], present) for name, place in self.members.items()}

    def column(self, walk: NestedWalk, found: list[Any], present: Flags | None) -> "pa.Array":
        """Return an array of structs. None is ever null, only its members: ClickHouse would take a null one for default values."""
        import pyarrow as pa

        arrays = self.columns(walk, found, present)
        return pa.StructArray.from_arrays(list(arrays.values()), names=list(arrays))


@dataclass(frozen=True, slots=True)
class Items:
    """What the step over a list found: how many items each row has, and where each begins, row after row."""

    counts: Ints
    offsets: Ints
    starts: Ints


@dataclass(frozen=True, slots=True)
class List:
    """A list in one block, as every writer known to us makes it."""

    item: Field

    def step(self, walk: NestedWalk, present: Flags | None) -> Items:
        """Move over the items, the first of all rows, then the second of all rows that have one, and so on."""
        counts = walk.long(present)
        # A negative count announces the bytes of the block; a further block may follow the first.
        walk.irregular((counts < 0) | (counts > MAX_ITEMS))
        counts = np.where(walk.regular, counts, 0)
        offsets = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        starts = np.zeros(offsets[-1], np.int64)
        for place in range(int(counts.max(initial=0))):
            rows = np.flatnonzero(counts > place)
            here = walk.at(rows)
            starts[offsets[rows] + place] = here.position
            self.item.step(here, None)
            walk.adopt(rows, here)
        walk.irregular(walk.long(counts > 0) != 0)
        return Items(counts, offsets, starts)

    def items(self, walk: NestedWalk, found: Items) -> "pa.Array":
        """Return the items of all rows, one after the other."""
        inner = walk.items(found.starts, found.counts)
        column = self.item.column(inner, self.item.step(inner, None), None)
        if not inner.regular.all():
            walk.regular[np.repeat(np.arange(len(found.counts)), found.counts)[~inner.regular]] = False
        return column

    def column(self, walk: NestedWalk, found: Items, present: Flags | None) -> "pa.Array":
        """Return an array of lists."""
        import pyarrow as pa

        return pa.ListArray.from_arrays(pa.array(found.offsets.astype(np.int32)), self.items(walk, found))


@dataclass(frozen=True, slots=True)
class Map:
    """A map with text as keys: a list of structs of `key` and `value`. A key that comes twice makes a row irregular."""

    entries: List

    def step(self, walk: NestedWalk, present: Flags | None) -> Items:
        """Move over the entries."""
        return self.entries.step(walk, present)

    def column(self, walk: NestedWalk, found: Items, present: Flags | None) -> "pa.Array":
        """Return an array of maps."""
        import pyarrow as pa

        keys, values = self.entries.items(walk, found).flatten()
        rows = np.repeat(np.arange(len(found.counts)), found.counts)
        codes = keys.dictionary_encode()
        entries = np.sort(rows * (len(codes.dictionary) + 1) + codes.indices.to_numpy())
        twice = entries[1:][entries[1:] == entries[:-1]]
        walk.regular[twice // (len(codes.dictionary) + 1)] = False
        return pa.MapArray.from_arrays(pa.array(found.offsets.astype(np.int32)), keys, values)


def _as_text(pieces: Any, present: Flags | None) -> "pa.Array":
    """Return bytes as text, null where it is not present, without a copy."""
    import pyarrow as pa

    return pa.StringArray.from_buffers(len(pieces), *pieces.buffers()[1:], _validity(present))


def _validity(present: Flags | None) -> "pa.Buffer | None":
    import pyarrow as pa

    return None if present is None else pa.py_buffer(np.packbits(present, bitorder="little").tobytes())


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _zeros(size: int) -> "pa.Array":
    import pyarrow as pa

    return pa.array(np.zeros(size, np.int32))
