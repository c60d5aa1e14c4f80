"""Records of one partition as spans of one buffer: an object is made only of those that somebody looks at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, overload

import numpy as np

from trueloop.columns.packed import Packed, packed
from trueloop.columns.walk import PADDING, Ints


class RawRecord(Protocol):
    """A record as it was fetched."""

    @property
    def key(self) -> bytes | None:
        """What chose its partition; None without one."""
        ...

    @property
    def value(self) -> bytes | None:
        """None where a key is deleted."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """In the order in which they were written."""
        ...

    @property
    def offset(self) -> int:
        """Its place in the partition."""
        ...

    @property
    def timestamp(self) -> int:
        """By the producer's clock or the broker's, milliseconds since the epoch."""
        ...

    @property
    def timestamp_type(self) -> int:
        """Whose clock it is: 0 the producer's, 1 the broker's."""
        ...


class Record(NamedTuple):
    """A record that somebody looked at."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    offset: int
    timestamp: int
    timestamp_type: int


@dataclass(slots=True)
class Spans:
    """Where the records lie in a buffer, a row each: start and end of key and value (-1: there is none), the place of the number of headers (-1: it
    is 0), and what their timestamps are (0: the producer's, 1: the broker's)."""

    offsets: Ints
    timestamps: Ints
    timestamp_types: Ints
    key_starts: Ints
    key_ends: Ints
    value_starts: Ints
    value_ends: Ints
    headers: Ints

    @property
    def columns(self) -> tuple[Ints, ...]:
        """All columns, in their order."""
        return (
            self.offsets, self.timestamps, self.timestamp_types, self.key_starts, self.key_ends, self.value_starts, self.value_ends, self.headers,
        )  # fmt: skip

    def __getitem__(self, rows: slice) -> "Spans":
        return Spans(*[column[rows] for column in self.columns])

    def moved(self, by: int) -> "Spans":
        """Return the spans in a buffer where the same bytes lie so much further behind (or before, below 0)."""
        places = {name: getattr(self, name) for name in ("key_starts", "key_ends", "value_starts", "value_ends", "headers")}
        return replace(self, **{name: np.where(array < 0, -1, array + by) for name, array in places.items()}) if by else self

    @classmethod
    def joined(cls, parts: "Sequence[Spans]") -> "Spans":
        """Return the rows of all parts."""
        return parts[0] if len(parts) == 1 else cls(*map(np.concatenate, zip(*(part.columns for part in parts), strict=True)))


class SpannedRecords(Sequence[Record]):
    """A sequence of records that lie in `data`, in the order of their offsets. `data` ends with zero bytes, as `Packed` wants it."""

    __slots__ = ("_data", "spans")

    def __init__(self, data: bytes, spans: Spans) -> None:
        self._data = data
        self.spans = spans

    @classmethod
    def of(cls, pieces: "Sequence[tuple[memoryview, Spans]]") -> "SpannedRecords":
        """Return the records of pieces of buffers, which are copied into one; their spans are already those in it."""
        return cls(b"".join([*(data for data, _ in pieces), bytes(PADDING)]), Spans.joined([spans for _, spans in pieces]))

    def __len__(self) -> int:
        return len(self.spans.offsets)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> "SpannedRecords": ...
    def __getitem__(self, place: int | slice) -> "Record | SpannedRecords":
        if isinstance(place, slice):
            return SpannedRecords(self._data, self.spans[place])
        return self._record(tuple(column.item(place) for column in self.spans.columns))

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, zip(*(column.tolist() for column in self.spans.columns), strict=True))

    def _record(self, row: tuple[int, ...]) -> Record:
        data, (offset, time, kind, key, key_end, value, value_end, headers) = self._data, row
        return Record(
            None if key < 0 else data[key:key_end],
            None if value < 0 else data[value:value_end],
            () if headers < 0 else _headers(data, headers),
            offset,
            time,
            kind,
        )

    @property
    def values(self) -> Packed:
        """The values where they lie."""
        return Packed(self._data, self.spans.value_starts, self.spans.value_ends)


def values_of(records: Sequence[RawRecord]) -> Packed:
    """Return the values of records in one buffer."""
    return records.values if isinstance(records, SpannedRecords) else packed([record.value for record in records])


def offsets_of(records: Sequence[RawRecord]) -> Ints:
    """Return the offsets of records."""
    return records.spans.offsets if isinstance(records, SpannedRecords) else np.fromiter((record.offset for record in records), np.int64, len(records))


def sizes_of(records: Sequence[RawRecord]) -> Ints:
    """Return the bytes of key and value of each record."""
    if isinstance(records, SpannedRecords):
        spans = records.spans
        return spans.key_ends - spans.key_starts + spans.value_ends - spans.value_starts
    return np.fromiter((len(record.key or b"") + len(record.value or b"") for record in records), np.int64, len(records))


def _headers(data: bytes, place: int) -> list[tuple[str, bytes]]:
    """Return the headers that start with their number at `place`. A name that is no UTF-8 is mended: it is not worth a worker that cannot go on."""
    count, place = _number(data, place)
    found = []
    for _ in range(count):
        size, place = _number(data, place)
        name, place = data[place : place + size].decode(errors="replace"), place + size
        size, place = _number(data, place)
        found.append((name, data[place : place + size] if size >= 0 else None))
        place += max(size, 0)
    return found  # type: ignore[return-value]  # as in aiokafka, a header without a value has None


def _number(data: bytes, place: int) -> tuple[int, int]:
    """Return a zigzag varint and the place after it. Only called on what was walked before, so it ends."""
    value = shift = 0
    while True:
        byte = data[place]
        value, place, shift = value | (byte & 0x7F) << shift, place + 1, shift + 7
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), place
