"""Values that lie in one buffer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trueloop.columns.walk import PADDING, Ints


@dataclass(frozen=True, slots=True)
class Packed:
    """Values in one buffer: `data[start:end]` each; from -1 to -1 where there is none. Zero bytes follow the last one, as many as `PADDING`."""

    data: bytes
    start: Ints
    end: Ints

    def head(self, size: int) -> bytes:
        """Return at most `size` bytes of the first value; nothing when there is none."""
        if not len(self.start) or self.start[0] < 0:
            return b""
        return self.data[self.start[0] : min(self.end[0], self.start[0] + size)]


def packed(values: Sequence[bytes | None]) -> Packed:
    """Return values one after the other in one buffer.

    >>> found = packed([b"ab", None, b"c"])
    >>> found.start.tolist(), found.end.tolist(), found.head(1)
    ([0, -1, 2], [2, -1, 3], b'a')
    """
    lengths = np.fromiter((-1 if value is None else len(value) for value in values), np.int64, len(values))
    end = np.cumsum(np.maximum(lengths, 0))
    there = lengths >= 0
    return Packed(b"".join([*(value or b"" for value in values), bytes(PADDING)]), np.where(there, end - lengths, -1), np.where(there, end, -1))
