"""A walk that reaches every field of a record: into lists and maps, and with the bytes of text as Arrow arrays."""

from typing import Any, Self

import numpy as np

from trueloop.columns.walk import Flags, Ints, Spans, Walk


class NestedWalk(Walk):
    """A walk over all records, over some of them, or over the items of their lists. All of these share one buffer."""

    def at(self, rows: Ints) -> Self:
        """Return a walk that stands where this one stands, over some of its rows (ascending)."""
        return self._over(self.position[rows], self.end[rows], self.regular[rows])

    def adopt(self, rows: Ints, walk: Walk) -> None:
        """Move rows to where a walk `at` them has come."""
        position = self.position.copy()  # the array may already be the end of somebody's spans
        position[rows] = walk.position
        self.position = position
        self.regular[rows] = walk.regular

    def items(self, starts: Ints, counts: Ints) -> Self:
        """Return a walk over the items of a list: `counts` of them in each row, in order, at `starts`."""
        return self._over(starts, np.repeat(self.end, counts), np.ones(len(starts), np.bool_))

    def _over(self, position: Ints, end: Ints, regular: Flags) -> Self:
        walk = object.__new__(type(self))
        walk.data, walk.buffer = self.data, self.buffer
        walk.position, walk.end, walk.regular = position, end, regular
        return walk

    def fixed(self, size: int, present: Flags | None) -> Spans:
        """Read `size` bytes of each row (of those that are `present`; none of the others)."""
        start = self.position
        self._advance(np.zeros(0, np.int64), start + size, present)
        return Spans(start, self.position)

    def piece(self, present: Flags | None) -> Spans:
        """Read a string or bytes of each row; nothing where it is not present."""
        length = self.long(present)
        self.irregular(length < 0)
        start = self.position
        self._advance(length, start + np.clip(length, 0, len(self.buffer)), present)
        return Spans(start, self.position)

    def gathered(self, spans: Spans) -> Any:
        """Return the bytes of spans as an Arrow array. Spans come in the order of the buffer; those of irregular rows count as empty.

        The buffer serves as the data of an array of which every other value is wanted, so Arrow copies the bytes without a Python object.
        """
        import pyarrow as pa

        starts, size = spans.start, len(spans.start)
        if not self.regular.all():
            starts = np.where(self.regular, starts, spans.end)
        offsets = np.empty(2 * size + 1, np.int32)
        offsets[0:-1:2] = starts
        offsets[1::2] = spans.end
        offsets[-1] = spans.end[-1] if size else 0
        pieces = pa.BinaryArray.from_buffers(pa.binary(), 2 * size, [None, pa.py_buffer(offsets), pa.py_buffer(self.data)])
        return pieces.take(pa.array(np.arange(0, 2 * size, 2, dtype=np.int32)))
