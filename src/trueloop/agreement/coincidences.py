"""How often which values met: whole numbers that add over units, and subtract again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias, TypeVar

from trueloop.agreement.pattern import CACHED, Members, Pattern, Value, pairs_of, pattern_of, raters_of

Key = TypeVar("Key")
Number = TypeVar("Number", bound=float)
ValueCell: TypeAlias = tuple[int, Value]
PairCell: TypeAlias = tuple[int, Value, Value]


@dataclass
class Coincidences:
    """How often which values met on a unit, apart for each number of raters per unit.

    Krippendorff's coincidences weigh the pairs of a unit by 1/(m - 1), m being its raters. Here the pairs are counted per m, and the
    weight is applied when a coefficient is estimated. So all numbers are whole, adding and removing a unit is an exact identity, and the
    order of units cannot matter, not even in the last bit. Cells that would be 0 are absent, so that equal evidence is equal.

    Attributes:
        units: m -> units with m raters, m >= 1.
        values: (m, value) -> ratings of that value on units with m raters.
        pairs: (m, low, high) -> pairs of different raters of one unit, with m raters, that gave `low` and `high`, low <= high.
    """

    units: dict[int, int] = field(default_factory=dict)
    values: dict[ValueCell, int] = field(default_factory=dict)
    pairs: dict[PairCell, int] = field(default_factory=dict)

    @property
    def n_units(self) -> int:
        """Units with two raters or more."""
        return sum(count for m, count in self.units.items() if m > 1)

    @property
    def n_labels(self) -> int:
        """Ratings on those units."""
        return sum(m * count for m, count in self.units.items() if m > 1)

    def add(self, members: Members, times: int = 1) -> None:
        """Count units; with `times` = -1 take away units that were counted. Units without ratings count for nothing.

        Raises ValueError when no such units can have been counted.

        >>> counted = Coincidences()
        >>> counted.add(((((1, 2), (4, 1)), 1),))
        >>> counted.pairs == {(3, 1, 1): 1, (3, 1, 4): 2}
        True
        """
        for pattern, repeats in members:
            if pattern:
                values, pairs = _cells(pattern)
                accumulate(self.units, ((raters_of(pattern), 1),), times * repeats)
                accumulate(self.values, values, times * repeats)
                accumulate(self.pairs, pairs, times * repeats)

    def merge(self, other: "Coincidences", times: int = 1) -> None:
        """Count all that another counted; no unit may be in both. With `times` = -1 take it away."""
        accumulate(self.units, other.units.items(), times)
        accumulate(self.values, other.values.items(), times)
        accumulate(self.pairs, other.pairs.items(), times)


def tally(units: Iterable[Mapping[Value, int]]) -> Coincidences:
    """Return the coincidences of units, each given as value -> raters that gave it. Raises ValueError for a count below 1.

    >>> tally([{1: 2}, {1: 1, 2: 1}, {5: 1}]).n_units
    2
    """
    counted = Coincidences()
    for counts in units:
        counted.add(((pattern_of(counts), 1),))
    return counted


def accumulate(cells: dict[Key, Number], changes: Iterable[tuple[Key, Number]], times: int) -> None:
    """Add `times` each change to its cell; a cell that becomes 0 is dropped. Changes are above 0.

    Raises ValueError for a cell that would fall below 0: only what was added can be taken away.
    """
    for key, change in changes:
        value = cells.get(key, 0) + times * change
        if value > 0:
            cells[key] = value  # type: ignore[assignment]  # a sum of numbers of one kind is of that kind
        elif value == 0:
            del cells[key]
        else:
            raise ValueError(f"cell {key!r} would fall to {value}; only what was added can be removed")


@lru_cache(maxsize=CACHED)
def _cells(pattern: Pattern) -> tuple[tuple[tuple[ValueCell, int], ...], tuple[tuple[PairCell, int], ...]]:
    m = raters_of(pattern)
    return tuple(((m, value), count) for value, count in pattern), tuple(((m, low, high), count) for (low, high), count in pairs_of(pattern))
