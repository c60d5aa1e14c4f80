"""Walks the same field of all records at the same time, so that a field costs a few array operations instead of a call per record.

Records are bytes of strangers. A record that is unusual in any way (it is cut, a length is negative, a map is in several blocks) is marked
irregular and read singly by the codec, which knows all of Avro and says what is wrong.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from trueloop.columns.packed import Packed

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

_LONGEST_VARINT = 10
PADDING = 16
"""Zero bytes after the last record, so that a gather near the end stays inside the buffer."""


@dataclass(frozen=True, slots=True)
class Spans:
    """A piece of the buffer for each record, from `start` up to `end`; -1 where there is none (null)."""

    start: Ints
    end: Ints


class Walk:
    """The positions of a walk through records that lie one after the other in `buffer`.

    `regular` tells which records went well so far; what is read of the others means nothing.
    """

    def __init__(self, values: "Packed", skip: int = 0) -> None:
        """Start the walk `skip` bytes into each record."""
        self.data = values.data
        self.buffer = np.frombuffer(self.data, np.uint8)
        self.end = np.maximum(values.end, 0)
        start = np.maximum(values.start, 0)
        self.position = np.minimum(start + skip, self.end)
        self.regular = self.end - start >= skip

    def expect(self, header: bytes) -> None:
        """Step over a header of at most 16 bytes; records without it are irregular."""
        wanted = np.frombuffer(header, np.uint8)
        self.irregular((self.buffer[self.position[:, None] + np.arange(len(wanted))] != wanted).any(axis=1))
        self._advance(np.zeros(0, np.int64), self.position + len(wanted), None)

    def irregular(self, wrong: Flags) -> None:
        """Mark records as irregular."""
        self.regular &= ~wrong

    def long(self, present: Flags | None = None) -> Ints:
        """Read a zigzag varint of each record (of those that are `present`); 0 elsewhere."""
        first = self.buffer[self.position].astype(np.int64)
        more = first >= 0x80
        if not more.any():
            return self._advance(_zigzag(first), self.position + 1, present)
        value, position, size = first & 0x7F, self.position.copy(), 1
        rows = np.flatnonzero(more)
        while len(rows) and size < _LONGEST_VARINT:
            position[rows] += 1
            # A record that is cut goes on into the next one; `_advance` finds that it left its own end behind.
            byte = self.buffer[np.minimum(position[rows], len(self.buffer) - 1)].astype(np.int64)
            value[rows] |= (byte & 0x7F) << (7 * size)
            rows = rows[byte >= 0x80]
            size += 1
        if len(rows):
            self.regular[rows] = False
        return self._advance(_zigzag(value), position + 1, present)

    def text(self, present: Flags | None = None) -> Spans:
        """Read a string of each record."""
        length = self.long(present)
        self.irregular(length < 0)
        start = self.position
        # An absurd length would overflow the addition.
        self._advance(length, start + np.clip(length, 0, len(self.buffer)), present)
        if present is None:
            return Spans(start, self.position)
        return Spans(np.where(present, start, -1), np.where(present, self.position, -1))

    def double(self, present: Flags | None = None) -> Doubles:
        """Read eight bytes of each record as a double; NaN where it is not present. NaN and infinity themselves are irregular."""
        places = self.position[:, None] + np.arange(8)
        value = self.buffer[places].view("<f8")[:, 0]
        self.irregular(~np.isfinite(value) if present is None else ~np.isfinite(value) & present)
        self._advance(np.zeros(0, np.int64), self.position + 8, present)
        return value if present is None else np.where(present, value, np.nan)

    def boolean(self, present: Flags | None = None) -> Flags:
        """Read a byte of each record as a truth value."""
        byte = self.buffer[self.position]
        self.irregular((byte > 1) if present is None else (byte > 1) & present)
        self._advance(np.zeros(0, np.int64), self.position + 1, present)
        truth: Flags = byte == 1
        return truth

    def stretch(self, size: int, present: Flags | None = None) -> Spans:
        """Read `size` bytes of each record."""
        start = self.position
        self._advance(np.zeros(0, np.int64), start + size, present)
        if present is None:
            return Spans(start, self.position)
        return Spans(np.where(present, start, -1), np.where(present, self.position, -1))

    def branch(self, null_branch: int, present: Flags | None = None) -> Flags:
        """Read which branch of a union with null follows (in those that are `present`); return where it is not null."""
        branch = self.long(present)
        self.irregular((branch != 0) & (branch != 1))
        found: Flags = branch == 1 - null_branch
        return found if present is None else found & present

    def _advance(self, value: Ints, position: Ints, present: Flags | None) -> Ints:
        if present is not None:
            position = np.where(present, position, self.position)
            if len(value):
                value = np.where(present, value, 0)
        beyond = position > self.end
        if beyond.any():
            self.irregular(beyond)
            position = np.where(beyond, self.end, position)
        self.position = position
        return value


def _zigzag(value: Ints) -> Ints:
    return (value >> 1 & 0x7FFFFFFFFFFFFFFF) ^ -(value & 1)
