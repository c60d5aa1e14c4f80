"""Krippendorff's alpha."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from itertools import accumulate, combinations
from math import lcm
from typing import Literal

from trueloop.agreement.coincidences import Coincidences, tally
from trueloop.agreement.estimate import Estimate
from trueloop.events.agreement import Undefined

Level = Literal["nominal", "ordinal", "interval"]


def alpha(state: Coincidences, level: Level) -> Estimate:
    """Return Krippendorff's alpha of what was counted: 1 - observed / expected disagreement, in (-1, 1].

    1 is perfect agreement, 0 what chance would give, below 0 systematic disagreement. Disagreement of two values is 1 at nominal level, the
    squared number of ratings that lie between them at ordinal level, and their squared difference at interval level. Units with one rater
    do not count. Undefined without a unit of two raters, and when all ratings are equal: then nothing shows that raters can tell units
    apart. Exact until the last division.

    Reference: Krippendorff, K. (2011). Computing Krippendorff's alpha-reliability. University of Pennsylvania.

    >>> alpha(tally([{1: 2}, {2: 2}, {1: 1, 2: 1}]), "nominal").value == 4 / 9
    True
    >>> alpha(tally([{1: 2}, {1: 3}]), "nominal").undefined
    <Undefined.NO_VARIATION: 'NO_VARIATION'>
    """
    n_units, n_labels = state.n_units, state.n_labels
    if n_units == 0:
        return Estimate(None, 0, 0, Undefined.NO_PAIRABLE_UNITS)
    marginals = _marginals(state)
    distance = _distances(level, marginals)
    expected = sum(marginals[low] * marginals[high] * distance(low, high) for low, high in combinations(sorted(marginals), 2))
    if expected == 0:
        return Estimate(None, n_units, n_labels, Undefined.NO_VARIATION)
    scale = lcm(*(m - 1 for m in state.units if m > 1))
    observed = sum(count * (scale // (m - 1)) * distance(low, high) for (m, low, high), count in state.pairs.items() if low != high)
    # alpha = 1 - (n - 1) sum o_ck d_ck / sum n_c n_k d_ck over c < k; all whole numbers, o_ck being `scale` times as large as in the paper.
    return Estimate((scale * expected - (n_labels - 1) * observed) / (scale * expected), n_units, n_labels)


def krippendorff_alpha(units: Iterable[Hashable], raters: Iterable[Hashable], values: Iterable[int], level: Level = "nominal") -> Estimate:
    """Return Krippendorff's alpha of a table with one row per rating, given as three columns of equal length.

    The same code as on the stream. A rating that is missing has no row; a row that is there twice counts once.

    Raises:
        ValueError: A rater gave one unit two different values (keep the one that stands), or the columns differ in length.

    >>> krippendorff_alpha(["a", "a", "b", "b"], ["x", "y", "x", "y"], [1, 1, 2, 2]).value
    1.0
    """
    given: dict[Hashable, dict[Hashable, int]] = {}
    for unit, rater, value in zip(units, raters, values, strict=True):
        ratings = given.setdefault(unit, {})
        if ratings.setdefault(rater, value) != value:
            raise ValueError(f"rater {rater!r} gave unit {unit!r} two values, {ratings[rater]} and {value}; expected one: keep the one that stands")
    return alpha(tally(Counter(ratings.values()) for ratings in given.values()), level)


def _marginals(state: Coincidences) -> dict[int, int]:
    """Return value -> ratings of it, on units with two raters or more."""
    marginals: Counter[int] = Counter()
    for (m, value), count in state.values.items():
        if m > 1:
            marginals[value] += count
    return dict(marginals)


def _distances(level: Level, marginals: Mapping[int, int]) -> Callable[[int, int], int]:
    """Return the squared difference of two values at a level; up to a constant factor, which alpha cancels."""
    if level == "nominal":
        return lambda low, high: 1
    if level == "interval":
        return lambda low, high: (high - low) ** 2
    if level == "ordinal":
        ordered = sorted(marginals)
        until = dict(zip(ordered, accumulate(marginals[value] for value in ordered), strict=True))
        # Twice the mid-rank, so that it is whole: ratings below and up to the value. Krippendorff's sum over g is the difference of mid-ranks.
        rank = {value: 2 * until[value] - marginals[value] for value in ordered}
        return lambda low, high: (rank[high] - rank[low]) ** 2
    raise ValueError(f"level is {level!r}; expected 'nominal', 'ordinal' or 'interval'")
