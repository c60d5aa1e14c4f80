"""Gwet's AC1 and AC2."""

from collections.abc import Sequence
from math import inf
from typing import Any

from trueloop.agreement.corrected import Chance, corrected
from trueloop.agreement.estimate import Estimate
from trueloop.agreement.evidence import Evidence, evidence_of
from trueloop.agreement.moments import Moments
from trueloop.agreement.pattern import Value
from trueloop.agreement.ratings import Encoding, ratings_of
from trueloop.agreement.weights import Weights, mean_weight
from trueloop.estimates.frame import Column
from trueloop.events.agreement import Undefined

_ENCODINGS: dict[Weights, Encoding] = {"ordinal": "places", "linear": "numbers", "quadratic": "numbers", "ratio": "amounts"}


def gwet_ac1(
    units: Any,
    raters: Column | None = None,
    values: Column | None = None,
    *,
    data: Any = None,
    clusters: Column | None = None,
    categories: Sequence[Any] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return Gwet's AC1 in [-1, 1]: agreement beyond chance on a nominal scale, for any number of raters, with missing ratings.

    Chance agreement is p_e = sum pi_k (1 - pi_k) / (q - 1), pi_k being the mean share of raters that gave value k to a unit. It stays small
    when one value prevails, where alpha and kappa collapse although raters agree. As Gwet has it, units with one rater count in pi_k (they
    say which values are in use) but not in the agreement. Undefined without a unit of two raters, and with a single category.

    Args:
        units: What was rated, one row per rating; or a data frame with the columns 'unit', 'rater' and 'value'; or `Evidence`.
        raters: Who rated it.
        values: The ratings; any values that can be equal. None and NaN are missing ratings.
        data: A data frame, when columns are given by their names.
        clusters: Units of one cluster were not sampled independently; the interval allows for it. Without, each unit is a cluster.
        categories: The values that raters could choose from; None takes those that were given, which overstates chance agreement when some
            were never used.
        confidence: Of the interval, two-sided, (0, 1).

    Raises:
        ValueError: The columns do not fit (see `ratings_of`), or a value is none of the categories.

    Reference: Gwet, K. L. (2008). Computing inter-rater reliability and its variance in the presence of high agreement. British Journal of
    Mathematical and Statistical Psychology 61, 29-48; for missing ratings Gwet (2014), Handbook of Inter-Rater Reliability, 4th edition.

    >>> round(gwet_ac1([n // 2 for n in range(20)], ["x", "y"] * 10, ["no"] * 19 + ["yes"]).value, 4)
    0.8895
    """
    if isinstance(units, Evidence):
        return _beyond_chance(units, None, _scale_of(units, categories), confidence)
    ratings = ratings_of(units, raters, values, data=data, clusters=clusters, encoding="names", categories=categories)
    return _beyond_chance(evidence_of(ratings.clusters(), Evidence()), None, ratings.scale, confidence)


def gwet_ac2(
    units: Any,
    raters: Column | None = None,
    values: Column | None = None,
    *,
    data: Any = None,
    clusters: Column | None = None,
    categories: Sequence[Any] | None = None,
    weights: Weights = "ordinal",
    confidence: float = 0.95,
) -> Estimate:
    """Return Gwet's AC2, at most 1: AC1 in which near misses count as partial agreement.

    A pair of raters agrees by the weight of its values: 1 for equal ones, 0 for the ends of the scale. Ordinal weights take the places of
    the values on the scale, the others their numbers. Arguments as in `gwet_ac1`, and `weights`: 'ordinal', 'linear', 'quadratic' or
    'ratio'. Values are numbers, or with ordinal weights any, given `categories` in their order. `Evidence` has to be counted with moments of
    these weights.

    Raises:
        ValueError: The columns do not fit, a value is none of the categories, or the weights are unknown or not those of the evidence.

    Reference: Gwet, K. L. (2014). Handbook of Inter-Rater Reliability, 4th edition, chapters 3 to 5.

    >>> round(gwet_ac2(["a", "a", "b", "b"], ["x", "y", "x", "y"], [1, 2, 4, 4], categories=[1, 2, 3, 4]).value, 4)
    0.8049
    """
    if weights not in _ENCODINGS:
        raise ValueError(f"weights is {weights!r}; expected one of {', '.join(map(repr, _ENCODINGS))}")
    if isinstance(units, Evidence):
        if units.moments is not None and units.moments.weights != weights:
            raise ValueError(f"weights is {weights!r}, but the evidence was counted with {units.moments.weights!r}")
        return _beyond_chance(units, weights, _scale_of(units, categories), confidence)
    ratings = ratings_of(units, raters, values, data=data, clusters=clusters, encoding=_ENCODINGS[weights], categories=categories)
    return _beyond_chance(evidence_of(ratings.clusters(), Evidence(moments=Moments(weights))), weights, ratings.scale, confidence)


def _scale_of(evidence: Evidence, categories: Sequence[Any] | None) -> tuple[Value, ...]:
    given = {value for _, value in evidence.coincidences.values}
    scale = given if categories is None else set(categories)
    if not given <= scale:
        raise ValueError(f"{len(given - scale)} of the values that were counted are none of the {len(scale)} categories")
    return tuple(sorted(scale))


def _beyond_chance(evidence: Evidence, weights: Weights | None, scale: tuple[Value, ...], confidence: float) -> Estimate:
    q = len(scale)
    if q < 2:
        counted = evidence.coincidences
        reason = Undefined.NO_VARIATION if counted.n_units else Undefined.NO_PAIRABLE_UNITS
        return Estimate(None, counted.n_units, counted.n_labels, reason, n_clusters=evidence.clusters)
    largest, mean = (1, 1 / q) if weights is None else mean_weight(weights, scale)
    factor = mean * q / (q - 1)
    least = -1.0 if weights is None else -inf
    return corrected(evidence, lambda squares: Chance(factor * (1 - squares), factor), confidence=confidence, weights=weights, largest=largest, least=least)
