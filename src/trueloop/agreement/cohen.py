"""Cohen's kappa."""

from collections import Counter
from collections.abc import Hashable, Sequence
from math import fsum
from typing import Any

from trueloop.agreement.estimate import Estimate
from trueloop.agreement.interval import with_interval
from trueloop.agreement.pattern import Value
from trueloop.agreement.ratings import Encoding, Ratings, ratings_of
from trueloop.agreement.weights import Weights, apart
from trueloop.estimates.frame import Column
from trueloop.events.agreement import Undefined

_ENCODINGS: dict[Weights | None, Encoding] = {None: "names", "ordinal": "places", "linear": "numbers", "quadratic": "numbers", "ratio": "amounts"}


def cohen_kappa(
    units: Any,
    raters: Column | None = None,
    values: Column | None = None,
    *,
    data: Any = None,
    clusters: Column | None = None,
    categories: Sequence[Any] | None = None,
    weights: Weights | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return Cohen's kappa in [-1, 1]: agreement of two raters beyond chance, each with shares of their own: p_e = sum p_k. p_.k.

    Units that one of them did not rate do not count. With `weights`, Cohen's weighted kappa: near misses count as partial agreement. When
    one value prevails kappa is low although the raters agree; see `gwet_ac1`. Undefined without a unit that both rated, and when both gave
    one and the same value throughout. The variance is that of Fleiss, Cohen and Everitt, times n / (n - 1).

    Args:
        units: What was rated, one row per rating; or a data frame with the columns 'unit', 'rater' and 'value'.
        raters: Who rated it; two different ones at most.
        values: The ratings. Any values without weights, any given `categories` in their order with ordinal weights, else numbers. None and
            NaN are missing ratings.
        data: A data frame, when columns are given by their names.
        clusters: Units of one cluster were not sampled independently; the interval allows for it. Without, each unit is a cluster.
        categories: The values that raters could choose from, in their order; they matter only to ordinal weights.
        weights: 'ordinal', 'linear', 'quadratic' or 'ratio'; None for the plain kappa.
        confidence: Of the interval, two-sided, (0, 1).

    Raises:
        ValueError: The columns do not fit (see `ratings_of`), there are more than two raters, a value is none of the categories, or the
            weights are unknown.

    References: Cohen, J. (1960). A coefficient of agreement for nominal scales. Educational and Psychological Measurement 20, 37-46. Cohen
    (1968). Weighted kappa. Psychological Bulletin 70, 213-220. Fleiss, J. L., Cohen, J., Everitt, B. S. (1969). Large sample standard
    errors of kappa and weighted kappa. Psychological Bulletin 72, 323-327.

    >>> cohen_kappa([1, 1, 2, 2, 3, 3, 4, 4], ["x", "y"] * 4, ["a", "a", "a", "b", "b", "b", "b", "b"]).value
    0.5
    """
    if weights not in _ENCODINGS:
        raise ValueError(f"weights is {weights!r}; expected None or one of {', '.join(repr(name) for name in _ENCODINGS if name)}")
    return _kappa(ratings_of(units, raters, values, data=data, clusters=clusters, encoding=_ENCODINGS[weights], categories=categories), weights, confidence)


def _kappa(ratings: Ratings, weights: Weights | None, confidence: float) -> Estimate:
    both = list({rater: None for given in ratings.of_unit.values() for rater in given})
    if len(both) > 2:
        raise ValueError(f"there are {len(both)} raters; Cohen's kappa compares two: choose two of them, or take fleiss_kappa or krippendorff_alpha")
    rated = {unit: (given[both[0]], given[both[1]]) for unit, given in ratings.of_unit.items() if len(given) == 2}
    if not rated:
        return Estimate(None, 0, 0, Undefined.NO_PAIRABLE_UNITS)
    cluster_of, n = {unit: ratings.cluster_of[unit] for unit in rated}, len(rated)
    clusters = len(set(cluster_of.values()))
    table = Counter(rated.values())
    rows: Counter[Value] = Counter()
    columns: Counter[Value] = Counter()
    for (one, other), count in table.items():
        rows[one] += count
        columns[other] += count
    distance = {(low, high): _apart(weights, low, high) for low in rows for high in columns}
    observed = sum(count * distance[cell] for cell, count in table.items())
    expected = sum(rows[low] * columns[high] * gap for (low, high), gap in distance.items())
    if expected == 0:
        return Estimate(None, n, 2 * n, Undefined.NO_VARIATION, n_clusters=clusters)
    # Disagreement takes the place of agreement throughout, so the largest distance cancels: kappa = 1 - d_o / d_e.
    value = 1 - n * observed / expected
    row_mean = {low: fsum(columns[high] * distance[low, high] for high in columns) / n for low in rows}
    column_mean = {high: fsum(rows[low] * distance[low, high] for low in rows) / n for high in columns}
    chance = expected / (n * n)
    sums: dict[Hashable, float] = {}
    for unit, (low, high) in rated.items():
        moved = (1 - value) * (row_mean[low] + column_mean[high] - chance) - distance[low, high]
        sums[cluster_of[unit]] = sums.get(cluster_of[unit], 0.0) + moved / (n * chance)
    variance = fsum(part * part for part in sums.values()) * clusters / (clusters - 1) if clusters > 1 else None
    return with_interval(Estimate(value, n, 2 * n, n_clusters=clusters), variance, confidence)


def _apart(weights: Weights | None, one: Value, other: Value) -> Value:
    if weights is None:
        return int(one != other)
    return apart(weights, min(one, other), max(one, other))
