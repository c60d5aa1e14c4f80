"""The Poisson bootstrap of Krippendorff's alpha: replicated counts that add over clusters, and subtract again."""

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha512
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from trueloop.agreement.pattern import CACHED, Members, Pattern, Value, pairs_of, raters_of

Level = Literal["nominal", "ordinal", "interval", "ratio"]
"""Level of measurement of a scale, by Stevens (1946): what its numbers mean."""
Floats: TypeAlias = npt.NDArray[np.float64]
Cell: TypeAlias = tuple[Value, Value, Value]
"""What is replicated. At ordinal and ratio level (m, low, high): pairs of raters of one unit, with m raters, that gave these values. At the
others (0, m, 0): how far the pairs of units with m raters are apart; and (1, x, 0): ratings of the value x, or the sum of their x-th powers."""
Cells: TypeAlias = tuple[tuple[Cell, Value], ...]
Disagreements: TypeAlias = tuple[Floats, Floats, Floats, Floats]
"""Ratings, observed and expected disagreement up to a common factor, and the size that rounding errors of the last are relative to."""

REPLICATES = 256
"""The standard error of a bootstrap with B replicates has a relative error of 1 / sqrt(2 B): 4.4 %."""
_APART, _VALUE = 0, 1
_ROUNDING = 1e-12
_BLOCKS = (b"0:", b"1:", b"2:", b"3:")
POISSON = (94, 95, 46, 16, 4, 1)
"""Of 256 bytes so many stand for the weights 0, 1, 2, 3, 4 and 5: Poisson(1), rounded such that mean and variance are exactly 1."""
_WEIGHT_OF_BYTE = bytes(weight for weight, count in enumerate(POISSON) for _ in range(count))


@lru_cache(maxsize=8192)
def poisson_weights(cluster_id: str) -> Floats:
    """Return the weight of a cluster in each replicate: whole numbers, a hash of its id, so that no state and no order is needed to draw them.

    Weight 64 b + i is what byte i of SHA-512 of 'b:id' stands for in `POISSON`; ClickHouse computes the same.

    Reference: Chamandy, N., Muralidharan, O., Najmi, A., Naidu, S. (2012). Estimating uncertainty for massive data streams. Google.

    >>> float(poisson_weights("task-1").sum()), poisson_weights("task-1").shape
    (258.0, (256,))
    """
    name = cluster_id.encode()
    hashed = b"".join([sha512(block + name).digest() for block in _BLOCKS])
    weights: Floats = np.frombuffer(hashed.translate(_WEIGHT_OF_BYTE), dtype=np.uint8).astype(np.float64)
    weights.setflags(write=False)
    return weights


class Replicates:
    """What alpha is computed from, in each of the replicates. Exact as long as the sums stay below 2^53, as they do for whole values.

    The size does not depend on the number of units. With q values and M different numbers of raters per unit it has M + q rows of
    `REPLICATES` numbers at nominal level, M + 3 at interval level, and at most M q (q + 1) / 2 at the others.
    """

    def __init__(self, level: Level) -> None:
        self.level: Level = level
        self._cells = _CELLS[level]
        self._sums: dict[Cell, Floats] = {}

    def add(self, cluster_id: str, members: Members, times: int = 1) -> None:
        """Count one cluster of units; with `times` = -1 take away one that was counted."""
        weights = poisson_weights(cluster_id)
        for pattern, repeats in members:
            if pattern and raters_of(pattern) > 1:
                for cell, value in self._cells(pattern):
                    factor = times * repeats * value
                    row = self._row(cell)
                    row += weights if factor == 1 else weights * factor

    def merge(self, other: "Replicates", times: int = 1) -> None:
        """Count all clusters that another counted; none may be in both. With `times` = -1 take them away."""
        for cell, theirs in other._sums.items():
            row = self._row(cell)
            row += times * theirs

    @property
    def nbytes(self) -> int:
        """Size of the sums, bytes."""
        return sum(row.nbytes for row in self._sums.values())

    def alphas(self) -> Floats:
        """Return alpha in each replicate; NaN where it is undefined. Does not depend on the order in which clusters were counted."""
        cells = sorted(cell for cell, row in self._sums.items() if row.any())
        if not cells:
            return np.full(REPLICATES, np.nan)
        n, observed, expected, scale = _DISAGREEMENTS[self.level](cells, np.stack([self._sums[cell] for cell in cells]))
        defined = expected > _ROUNDING * scale
        return np.where(defined, 1 - (n - 1) * observed / np.where(defined, expected, 1), np.nan)

    def _row(self, cell: Cell) -> Floats:
        row = self._sums.get(cell)
        if row is None:
            row = self._sums[cell] = np.zeros(REPLICATES)
        return row


@lru_cache(maxsize=CACHED)
def _nominal_cells(pattern: Pattern) -> Cells:
    differing = sum(count for (low, high), count in pairs_of(pattern) if low != high)
    return (*_apart(pattern, differing), *(((_VALUE, value, 0), count) for value, count in pattern))


@lru_cache(maxsize=CACHED)
def _interval_cells(pattern: Pattern) -> Cells:
    squares = sum(count * (high - low) ** 2 for (low, high), count in pairs_of(pattern))
    sums = ((power, sum(count * value**power for value, count in pattern)) for power in (0, 1, 2))
    return (*_apart(pattern, squares), *(((_VALUE, power, 0), total) for power, total in sums if total))


@lru_cache(maxsize=CACHED)
def _pair_cells(pattern: Pattern) -> Cells:
    m = raters_of(pattern)
    return tuple(((m, low, high), count) for (low, high), count in pairs_of(pattern))


def _apart(pattern: Pattern, distance: Value) -> Cells:
    return (((_APART, raters_of(pattern), 0), distance),) if distance else ()


def _nominal(cells: list[Cell], sums: Floats) -> Disagreements:
    values = sums[[kind == _VALUE for kind, _, _ in cells]]
    n: Floats = values.sum(axis=0)
    return n, _observed(cells, sums), (n * n - (values * values).sum(axis=0)) / 2, n * n


def _interval(cells: list[Cell], sums: Floats) -> Disagreements:
    zero: Floats = np.zeros(REPLICATES)
    power = {which: sums[row] for row, (kind, which, _) in enumerate(cells) if kind == _VALUE}
    n, total, squares = (power.get(which, zero) for which in (0, 1, 2))
    return n, _observed(cells, sums), n * squares - total * total, n * squares


def _observed(cells: list[Cell], sums: Floats) -> Floats:
    observed: Floats = np.zeros(REPLICATES)
    for row, (kind, m, _) in enumerate(cells):
        if kind == _APART:
            observed = observed + sums[row] / (m - 1)
    return observed


def _ordinal(cells: list[Cell], sums: Floats) -> Disagreements:
    met, low, high, marginals, _ = _met(cells, sums)
    n: Floats = marginals.sum(axis=0)
    # Mid-ranks, from their middle: with a single value they are exactly 0, and so is what is expected.
    ranks = np.cumsum(marginals, axis=0) - marginals / 2 - n / 2
    observed = (met * (ranks[low] - ranks[high]) ** 2).sum(axis=0)
    return n, observed, n * (marginals * ranks * ranks).sum(axis=0) - (marginals * ranks).sum(axis=0) ** 2, n**4


def _ratio(cells: list[Cell], sums: Floats) -> Disagreements:
    met, low, high, marginals, values = _met(cells, sums)
    total = values[:, None] + values[None, :]
    distance = ((values[:, None] - values[None, :]) / np.where(total == 0, 1, total)) ** 2
    n: Floats = marginals.sum(axis=0)
    return n, (met * distance[low, high][:, None]).sum(axis=0), (marginals * (distance @ marginals)).sum(axis=0) / 2, n * n


def _met(cells: list[Cell], sums: Floats) -> tuple[Floats, list[int], list[int], Floats, Floats]:
    """Return coincidences, the places of their two values, the marginals, and the values."""
    values = sorted({value for _, low, high in cells for value in (low, high)})
    place = {value: index for index, value in enumerate(values)}
    low, high = [place[low] for _, low, _ in cells], [place[high] for _, _, high in cells]
    met: Floats = sums / np.array([m - 1 for m, _, _ in cells], dtype=np.float64)[:, None]
    marginals: Floats = np.zeros((len(values), REPLICATES))
    np.add.at(marginals, low, met)
    np.add.at(marginals, high, met)
    return met, low, high, marginals, np.array(values, dtype=np.float64)


_CELLS: dict[Level, Callable[[Pattern], Cells]] = {
    "nominal": _nominal_cells,
    "ordinal": _pair_cells,
    "interval": _interval_cells,
    "ratio": _pair_cells,
}
_DISAGREEMENTS: dict[Level, Callable[[list[Cell], Floats], Disagreements]] = {
    "nominal": _nominal,
    "ordinal": _ordinal,
    "interval": _interval,
    "ratio": _ratio,
}
