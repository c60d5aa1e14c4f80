"""The sufficient statistics of agreement: whole numbers that add over units, and subtract again."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

VERSION = 1

Cell = TypeVar("Cell", int, tuple[int, int], tuple[int, int, int])


@dataclass(frozen=True)
class Coincidences:
    """How often which values met on a unit, apart for each number of raters per unit.

    Krippendorff's coincidences weigh the pairs of a unit by 1/(m - 1), m being its raters. Here the pairs are counted per m, and the
    weight is applied when a coefficient is estimated. So all numbers are whole, adding and removing a unit is an exact identity, and the
    order of units cannot matter, not even in the last bit.

    Attributes:
        units: m -> units with m raters, m >= 1.
        values: (m, value) -> ratings of that value on units with m raters.
        pairs: (m, low, high) -> pairs of different raters of one unit, with m raters, that gave `low` and `high`, low <= high.

    Cells that would be 0 are absent, so that equal evidence is equal.
    """

    units: Mapping[int, int] = field(default_factory=dict)
    values: Mapping[tuple[int, int], int] = field(default_factory=dict)
    pairs: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    version: int = VERSION

    @property
    def n_units(self) -> int:
        """Units with two raters or more."""
        return sum(count for m, count in self.units.items() if m > 1)

    @property
    def n_labels(self) -> int:
        """Ratings on those units."""
        return sum(m * count for m, count in self.units.items() if m > 1)

    def add(self, counts: Mapping[int, int]) -> "Coincidences":
        """Return this with one more unit, given as value -> raters that gave it. Raises ValueError for a count below 1.

        >>> Coincidences().add({1: 2, 4: 1}).pairs == {(3, 1, 1): 1, (3, 1, 4): 2}
        True
        """
        return self + tally([counts])

    def remove(self, counts: Mapping[int, int]) -> "Coincidences":
        """Return this without a unit that was added. Raises ValueError when no such unit can have been."""
        return self - tally([counts])

    def __add__(self, other: "Coincidences") -> "Coincidences":
        return merge((self, other))

    def __sub__(self, other: "Coincidences") -> "Coincidences":
        return Coincidences(_less(self.units, other.units), _less(self.values, other.values), _less(self.pairs, other.pairs))

    def dump(self) -> str:
        """Return the state as canonical JSON: equal evidence gives equal text."""
        rows = {
            "version": self.version,
            "units": sorted([m, count] for m, count in self.units.items()),
            "values": sorted([*cell, count] for cell, count in self.values.items()),
            "pairs": sorted([*cell, count] for cell, count in self.pairs.items()),
        }
        return json.dumps(rows, separators=(",", ":"))

    @classmethod
    def load(cls, text: str) -> "Coincidences":
        """Return the state that `dump` wrote. Raises ValueError for another version.

        >>> state = Coincidences().add({1: 2})
        >>> Coincidences.load(state.dump()) == state
        True
        """
        stored = json.loads(text)
        if stored.get("version") != VERSION:
            raise ValueError(f"coincidences of version {stored.get('version')!r}; expected {VERSION}: count the units again")
        return cls(
            dict(stored["units"]),
            {(m, value): count for m, value, count in stored["values"]},
            {(m, low, high): count for m, low, high, count in stored["pairs"]},
        )


def tally(units: Iterable[Mapping[int, int]]) -> Coincidences:
    """Return the coincidences of units, each given as value -> raters that gave it. A unit without ratings counts for nothing.

    Raises ValueError for a count below 1.

    >>> tally([{1: 2}, {1: 1, 2: 1}, {5: 1}]).n_units
    2
    """
    sizes: Counter[int] = Counter()
    values: Counter[tuple[int, int]] = Counter()
    pairs: Counter[tuple[int, int, int]] = Counter()
    for counts in units:
        given = sorted(counts.items())
        if any(count < 1 for _, count in given):
            raise ValueError(f"counts per value are {dict(given)}; expected at least 1 rater for each value: leave out the others")
        m = sum(count for _, count in given)
        if m == 0:
            continue
        sizes[m] += 1
        for index, (low, count) in enumerate(given):
            values[m, low] += count
            if count > 1:
                pairs[m, low, low] += count * (count - 1) // 2
            for high, other in given[index + 1 :]:
                pairs[m, low, high] += count * other
    return Coincidences(dict(sizes), dict(values), dict(pairs))


def merge(parts: Iterable[Coincidences]) -> Coincidences:
    """Return the coincidences of all units of all parts; no unit may be in two of them."""
    units: Counter[int] = Counter()
    values: Counter[tuple[int, int]] = Counter()
    pairs: Counter[tuple[int, int, int]] = Counter()
    for part in parts:
        units.update(part.units)
        values.update(part.values)
        pairs.update(part.pairs)
    return Coincidences(dict(units), dict(values), dict(pairs))


def _less(whole: Mapping[Cell, int], part: Mapping[Cell, int]) -> dict[Cell, int]:
    rest = dict(whole)
    for cell, count in part.items():
        left = rest.get(cell, 0) - count
        if left < 0:
            raise ValueError(f"cell {cell!r} would fall to {left}; only units that were added can be removed")
        if left:
            rest[cell] = left
        else:
            del rest[cell]
    return rest
