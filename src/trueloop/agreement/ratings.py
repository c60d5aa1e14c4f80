"""Ratings as people have them, in columns or a data frame; and as they are counted."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Literal

from trueloop.agreement.pattern import Members, Value, pattern_of
from trueloop.estimates.frame import Column, aligned, cells, rating_columns

Encoding = Literal["names", "places", "numbers", "amounts"]
"""What values are taken for: names that are equal or not; places in an order; numbers of which only differences count; numbers from 0 on."""


@dataclass(frozen=True, slots=True)
class Ratings:
    """Ratings, each rater at most once per unit.

    Attributes:
        of_unit: Unit -> rater -> value, encoded as numbers.
        cluster_of: Unit -> the cluster that it belongs to; each unit is one, unless clusters were given.
        scale: The values that raters could choose from, encoded, ascending: those named as categories, or else those that were given.
    """

    of_unit: Mapping[Hashable, Mapping[Hashable, Value]]
    cluster_of: Mapping[Hashable, Hashable]
    scale: tuple[Value, ...]

    def clusters(self) -> list[tuple[str, Members]]:
        """Return id and units of each cluster."""
        members: dict[str, list[tuple[Any, int]]] = {}
        for unit, given in self.of_unit.items():
            members.setdefault(str(self.cluster_of[unit]), []).append((pattern_of(Counter(given.values())), 1))
        return [(cluster, tuple(units)) for cluster, units in members.items()]


def ratings_of(
    units: Any,
    raters: Column | None,
    values: Column | None,
    *,
    data: Any = None,
    clusters: Column | None = None,
    encoding: Encoding,
    categories: Sequence[Any] | None = None,
) -> Ratings:
    """Return ratings from columns with one row per rating.

    A row without a value (None or NaN) is a missing rating and is left out. A rating that is there twice counts once.

    Args:
        units: What was rated; or a data frame with the columns 'unit', 'rater' and 'value', when raters and values are not given.
        raters: Who rated it.
        values: The ratings.
        data: A data frame, when columns are given by their names.
        clusters: Units with equal cluster were not sampled independently, such as the turns of a conversation.
        encoding: What the values are taken for.
        categories: The values that raters could choose from, in their order.

    Raises:
        ValueError: Columns differ in length; a value lacks its unit, rater or cluster, is off the scale or not of its kind; a rater gave a
            unit two values; a unit belongs to two clusters. Names the rows, from 0, and quotes no value, which may be human text.
    """
    columns = rating_columns(units, raters, values, data)
    columns |= {"clusters": cells(clusters, data)} if clusters is not None else {}
    aligned(**columns)
    rows = [row for row, value in enumerate(columns["values"]) if value is not None]
    encoded, scale = _encoded([(row, columns["values"][row]) for row in rows], encoding, categories)
    return _gathered(columns, dict(zip(rows, encoded, strict=True)), scale)


def _gathered(columns: Mapping[str, list[Any]], values: Mapping[int, Value], scale: tuple[Value, ...]) -> Ratings:
    """Return the ratings of the rows that have a value."""
    of_unit: dict[Hashable, dict[Hashable, Value]] = {}
    cluster_of: dict[Hashable, Hashable] = {}
    for row, value in values.items():
        if any(column[row] is None for column in columns.values()):
            raise ValueError(f"row {row} has a value, but lacks its unit, rater or cluster; give them, or no value")
        unit, rater = columns["units"][row], columns["raters"][row]
        if of_unit.setdefault(unit, {}).setdefault(rater, value) != value:
            raise ValueError(f"row {row} is a second, different value of one rater for one unit; expected one: keep the one that stands")
        cluster = columns["clusters"][row] if "clusters" in columns else unit
        if cluster_of.setdefault(unit, cluster) != cluster:
            raise ValueError(f"row {row} puts its unit into a second cluster; expected one")
    return Ratings(of_unit, cluster_of, scale)


def _encoded(values: list[tuple[int, Any]], encoding: Encoding, categories: Sequence[Any] | None) -> tuple[list[Value], tuple[Value, ...]]:
    if encoding in ("numbers", "amounts"):
        least = 0 if encoding == "amounts" else -inf
        numbers = [_number(value, least, f"values[{row}]") for row, value in values]
        known = {_number(value, least, f"categories[{place}]") for place, value in enumerate(categories)} if categories is not None else set(numbers)
        # Near 0 the squares of numbers lose no digits. A ratio scale has an origin of its own.
        origin = min(known, default=0) if encoding == "numbers" else 0
        number_of = {number: number - origin for number in sorted(known)}
        return _on_scale(values, numbers, number_of), tuple(number_of.values())
    if categories is not None:
        order: Iterable[Any] = categories
    elif encoding == "places":
        order = sorted({_number(value, -inf, f"values[{row}]") for row, value in values})
    else:
        # Any order will do, as long as it is the same whatever order the rows are in: names of one type may not be comparable with another's.
        order = sorted({value for _, value in values}, key=lambda value: (type(value).__name__, repr(value)))
    place_of = {value: place for place, value in enumerate(order)}
    return _on_scale(values, [value for _, value in values], place_of), tuple(range(len(place_of)))


def _on_scale(rows: list[tuple[int, Any]], values: list[Any], code_of: Mapping[Any, Value]) -> list[Value]:
    found: list[Value] = []
    for (row, _), value in zip(rows, values, strict=True):
        if value not in code_of:
            raise ValueError(f"values[{row}] is none of the {len(code_of)} categories; expected one of them, or nothing (None, NaN)")
        found.append(code_of[value])
    return found


def _number(value: Any, least: float, name: str) -> Value:
    if not isinstance(value, str | bytes):
        try:
            number = int(value) if value == int(value) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = inf
        if isfinite(number) and number >= least:
            return number
    expected = "a finite number" if least == -inf else "a finite number, 0 or above, as a ratio scale has"
    raise ValueError(f"{name} is a {type(value).__name__} that is not {expected}; name the categories in their order, or choose another level")
