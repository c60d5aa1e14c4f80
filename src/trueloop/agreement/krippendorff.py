"""Krippendorff's alpha."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import fsum, lcm
from typing import Any, get_args

import numpy as np

from trueloop.agreement.coincidences import Coincidences
from trueloop.agreement.estimate import Estimate
from trueloop.agreement.evidence import Evidence, evidence_of
from trueloop.agreement.interval import with_interval
from trueloop.agreement.pattern import Value
from trueloop.agreement.ratings import Encoding, ratings_of
from trueloop.agreement.replicates import REPLICATES, Level, Replicates
from trueloop.estimates.frame import Column
from trueloop.events.agreement import Undefined

_ENCODINGS: dict[Level, Encoding] = {"nominal": "names", "ordinal": "places", "interval": "numbers", "ratio": "amounts"}


def krippendorff_alpha(
    units: Any,
    raters: Column | None = None,
    values: Column | None = None,
    *,
    level: Level = "nominal",
    data: Any = None,
    clusters: Column | None = None,
    categories: Sequence[Any] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return Krippendorff's alpha: 1 - observed / expected disagreement, in (-1, 1], for any number of raters, with missing ratings.

    1 is perfect agreement, 0 what chance would give, below 0 systematic disagreement. Disagreement of two values is 1 at nominal level, the
    squared number of ratings that lie between them at ordinal level, their squared difference at interval level, and the square of their
    difference by their sum at ratio level. Units with one rater do not count. Undefined without a unit of two raters, and when all ratings
    are equal: then nothing shows that raters can tell units apart. The interval is by a Poisson bootstrap (see `Replicates`).

    Args:
        units: What was rated, one row per rating; or a data frame with the columns 'unit', 'rater' and 'value'; or `Evidence`, which needs
            replicates of the same level for an interval.
        raters: Who rated it.
        values: The ratings: any values at nominal level, any given `categories` in their order at ordinal level, else numbers, at ratio level
            from 0 on. None and NaN are missing ratings.
        level: Level of measurement: 'nominal', 'ordinal', 'interval' or 'ratio'.
        data: A data frame, when columns are given by their names.
        clusters: Units of one cluster were not sampled independently; the interval allows for it. Without, each unit is a cluster.
        categories: The values that raters could choose from, in their order; None takes those that were given.
        confidence: Of the interval, two-sided, (0, 1).

    Raises:
        ValueError: The columns do not fit (see `ratings_of`), a value is none of the categories, or the level is unknown.

    References: Krippendorff (2011), Computing Krippendorff's alpha-reliability, University of Pennsylvania. Hayes and Krippendorff (2007),
    Answering the call for a standard reliability measure for coding data, Communication Methods and Measures 1, 77-89.

    >>> krippendorff_alpha(["a", "a", "b", "b", "c", "c"], ["x", "y"] * 3, [1, 1, 2, 2, 1, 2]).value == 4 / 9
    True
    """
    if level not in _ENCODINGS:
        raise ValueError(f"level is {level!r}; expected one of {', '.join(map(repr, get_args(Level)))}")
    if not isinstance(units, Evidence):
        ratings = ratings_of(units, raters, values, data=data, clusters=clusters, encoding=_ENCODINGS[level], categories=categories)
        units = evidence_of(ratings.clusters(), Evidence(moments=None, replicates=Replicates(level)))
    return _bootstrapped(_alpha(units, level), units, level, confidence)


def _bootstrapped(estimate: Estimate, evidence: Evidence, level: Level, confidence: float) -> Estimate:
    if estimate.value is None:
        return estimate
    if evidence.replicates is None or evidence.replicates.level != level:
        return replace(estimate, undefined=Undefined.NOT_ESTIMATED)
    alphas = evidence.replicates.alphas()
    alphas = alphas[~np.isnan(alphas)]
    if len(alphas) < REPLICATES // 2:
        # What varies hangs on one or two units: without them alpha is not even defined.
        return replace(estimate, undefined=Undefined.NO_VARIATION)
    # Replicates scatter by (C - 1) / C of what samples of C clusters do.
    variance = float(alphas.var(ddof=1)) * evidence.clusters / (evidence.clusters - 1) if evidence.clusters > 1 else None
    return with_interval(estimate, variance, confidence, bias=float(alphas.mean()) - estimate.value)


def _alpha(evidence: Evidence, level: Level) -> Estimate:
    """Return alpha without an interval: exact until the last division for whole values, but at ratio level right to rounding."""
    counted = evidence.coincidences
    n_units, n_labels = counted.n_units, counted.n_labels
    if n_units == 0:
        return Estimate(None, 0, 0, Undefined.NO_PAIRABLE_UNITS)
    marginals: Counter[Value] = Counter()
    for (m, value), count in counted.values.items():
        if m > 1:
            marginals[value] += count
    if len(marginals) < 2:
        return Estimate(None, n_units, n_labels, Undefined.NO_VARIATION, n_clusters=evidence.clusters)
    places, expected = _expected(level, marginals, n_labels)
    observed, scale = _observed(counted, level, places)
    # alpha = 1 - (n - 1) sum o_ck d_ck / sum n_c n_k d_ck over c < k, o_ck being `scale` times as large as in the paper.
    return Estimate((scale * expected - (n_labels - 1) * observed) / (scale * expected), n_units, n_labels, n_clusters=evidence.clusters)


def _expected(level: Level, marginals: Mapping[Value, int], n: int) -> tuple[dict[Value, Value], Value]:
    """Return the number that each value stands for, and the sum of n_c n_k d_ck over c < k."""
    ordered = sorted(marginals)
    if level == "nominal":
        return {}, (n * n - sum(count * count for count in marginals.values())) // 2
    if level == "ordinal":
        until = dict(zip(ordered, accumulate(marginals[value] for value in ordered), strict=True))
        # Twice the mid-rank, so that it is whole: ratings below and up to the value. Krippendorff's sum over g is the difference of mid-ranks.
        places: dict[Value, Value] = {value: 2 * until[value] - marginals[value] for value in ordered}
    else:
        places = {value: value for value in ordered}
    if level == "ratio":
        return places, fsum(marginals[low] * fsum(marginals[high] * _share(low, high) ** 2 for high in ordered[place:]) for place, low in enumerate(ordered))
    total = _sum(marginals[value] * places[value] for value in ordered)
    return places, n * _sum(marginals[value] * places[value] ** 2 for value in ordered) - total * total


def _observed(counted: Coincidences, level: Level, places: Mapping[Value, Value]) -> tuple[Value, int]:
    """Return the sum of o_ck d_ck over c < k, times a whole number that makes it whole for whole values, and that number."""
    scale = lcm(*(m - 1 for m in counted.units if m > 1))
    differing = ((count * (scale // (m - 1)), low, high) for (m, low, high), count in counted.pairs.items() if low != high)
    if level == "nominal":
        return sum(count for count, _, _ in differing), scale
    if level == "ratio":
        return fsum(count * _share(low, high) ** 2 for count, low, high in differing), scale
    return _sum(count * (places[high] - places[low]) ** 2 for count, low, high in differing), scale


def _share(low: Value, high: Value) -> float:
    return (high - low) / (high + low) if high != low else 0.0


def _sum(terms: Iterable[Value]) -> Value:
    """Return a sum that does not depend on the order of its terms: exact for whole numbers, else rounded once."""
    found = list(terms)
    return sum(found) if all(isinstance(term, int) for term in found) else fsum(found)
