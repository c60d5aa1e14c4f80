"""Columns of hot fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from trueloop.columns.walk import Doubles, Flags, Ints, Spans
from trueloop.compiled import compiled

_COMPILED = compiled("columns.compiled")
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
        if _COMPILED is not None:
            found: list[bytes] = _COMPILED.pieces(data, spans.start, spans.end)
            return found
        return [data[start:end] for start, end in zip(spans.start.tolist(), spans.end.tolist(), strict=True)]

    def coded(self, spans: Spans) -> Coded:
        """Return a span per record as a place in the list of the different ones."""
        if _COMPILED is not None:
            codes, names = _COMPILED.codes(self.data, spans.start, spans.end)
            return Coded(np.frombuffer(codes, np.int64), names)
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
