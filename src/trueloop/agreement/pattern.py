"""How the ratings of a unit spread over the values: all that agreement needs to know of it."""

from collections.abc import Mapping
from functools import lru_cache
from itertools import combinations
from typing import TypeAlias

Value: TypeAlias = float
"""A value of the scale: whole numbers on the stream; any finite number in a notebook."""
Pattern: TypeAlias = tuple[tuple[Value, int], ...]
"""Each value that was given with the number of raters that gave it, in ascending order of the values."""
Members: TypeAlias = tuple[tuple[Pattern, int], ...]
"""The units of one cluster: patterns, and how many units have each. A unit of its own is `((pattern, 1),)`."""

CACHED = 1 << 16
"""Patterns whose pairs and features are kept: a scale of 5 with up to 5 raters has 251."""


def pattern_of(counts: Mapping[Value, int]) -> Pattern:
    """Return the pattern of a unit, given as value -> raters that gave it.

    Raises ValueError for a count below 1.

    >>> pattern_of({4: 1, 1: 2})
    ((1, 2), (4, 1))
    """
    found = tuple(sorted(counts.items()))
    if any(count < 1 for _, count in found):
        raise ValueError(f"counts per value are {dict(found)}; expected at least 1 rater for each value: leave out the others")
    return found


@lru_cache(maxsize=CACHED)
def raters_of(pattern: Pattern) -> int:
    """Return how many raters rated the unit.

    >>> raters_of(((1, 2), (4, 1)))
    3
    """
    return sum(count for _, count in pattern)


@lru_cache(maxsize=CACHED)
def pairs_of(pattern: Pattern) -> tuple[tuple[tuple[Value, Value], int], ...]:
    """Return each pair of values (low, high) with the number of pairs of raters that gave them.

    >>> pairs_of(((1, 2), (4, 1)))
    (((1, 1), 1), ((1, 4), 2))
    """
    same = [((value, value), count * (count - 1) // 2) for value, count in pattern if count > 1]
    return tuple(same + [((low, high), count * other) for (low, count), (high, other) in combinations(pattern, 2)])
