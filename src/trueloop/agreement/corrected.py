"""Agreement beyond chance, where chance follows from the mean share of raters that choose each value: AC1, AC2, Fleiss' kappa."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import comb, fsum, lcm
from typing import TypeAlias

from trueloop.agreement.coincidences import Coincidences
from trueloop.agreement.estimate import Estimate
from trueloop.agreement.evidence import Evidence
from trueloop.agreement.interval import with_interval
from trueloop.agreement.moments import Feature, Kind
from trueloop.agreement.pattern import Value
from trueloop.agreement.weights import Weights, apart
from trueloop.events.agreement import Undefined


@dataclass(frozen=True, slots=True)
class Chance:
    """Agreement by chance, p_e, and the factor F in d p_e = -2 F sum_k pi_k d pi_k, by which it changes with the shares."""

    agreement: float
    factor: float


ChanceOf: TypeAlias = Callable[[float], Chance]
"""Chance agreement from the sum of squares of the shares."""


def corrected(
    evidence: Evidence,
    chance_of: ChanceOf | None,
    *,
    confidence: float,
    weights: Weights | None = None,
    largest: Value = 1,
    least: float = -1.0,
) -> Estimate:
    """Return (p_a - p_e) / (1 - p_e) with its linearised interval.

    p_a is the mean, over units with two raters or more, of the weighted share of pairs of raters that agree; pi_k the mean share of raters
    that gave value k to a unit, over all units, those with one rater too: they say which values are in use. Both are computed from whole
    numbers, so that the order in which units were counted does not matter, not even in the last bit.

    The variance is that of the linearisation. With two raters or more on every unit it is Gwet's (2008, eq. 30 and 33). Gwet's expression
    also counts, with the square of the coefficient, the variation in which units have two raters: p_a being a ratio, that variation cancels
    in it, so it is left out here.

    Args:
        evidence: What was counted, with moments.
        chance_of: The chance model; None for none, p_e = 0.
        confidence: Of the interval, two-sided, (0, 1).
        weights: Which disagreements weigh how much; None weighs all alike. Those of the moments.
        largest: Distance that has the weight 0.
        least: The smallest value that the coefficient can have.
    """
    counted = evidence.coincidences
    n_units, n_labels = counted.n_units, counted.n_labels
    if n_units == 0:
        return Estimate(None, 0, 0, Undefined.NO_PAIRABLE_UNITS)
    agreeing = _agreement(counted, weights, largest)
    shares, squares = _shares(counted)
    chance = Chance(0.0, 0.0) if chance_of is None else chance_of(squares)
    if chance.agreement >= 1:
        return Estimate(None, n_units, n_labels, Undefined.NO_VARIATION, n_clusters=evidence.clusters)
    value = (agreeing - chance.agreement) / (1 - chance.agreement)
    estimate = Estimate(value, n_units, n_labels, n_clusters=evidence.clusters)
    if evidence.moments is None:
        raise ValueError("evidence has no moments, so there is no interval; count it with moments")
    kind: Kind = "apart" if weights is None else "weighted"
    influence = _influence(counted, value, agreeing, chance, shares=shares, kind=kind, largest=largest)
    return with_interval(estimate, evidence.moments.variance(influence, evidence.clusters), confidence, least=least)


def _agreement(counted: Coincidences, weights: Weights | None, largest: Value) -> float:
    """Return p_a; exact until it is rounded once, for whole values."""
    sums: dict[int, list[Value]] = {}
    for (m, low, high), count in counted.pairs.items():
        if low != high:
            sums.setdefault(m, []).append(count * (1 if weights is None else apart(weights, low, high)))
    if all(isinstance(distance, int) for distances in (*sums.values(), [largest]) for distance in distances):
        apart_by = sum((Fraction(int(sum(distances)), comb(m, 2)) for m, distances in sums.items()), Fraction(0))
        return float(1 - apart_by / (int(largest) * counted.n_units))
    return 1 - fsum(fsum(distances) / comb(m, 2) for m, distances in sums.items()) / (largest * counted.n_units)


def _shares(counted: Coincidences) -> tuple[dict[Value, float], float]:
    """Return pi_k for each value, and the sum of their squares."""
    scale = lcm(*counted.units)
    given: Counter[Value] = Counter()
    for (m, value), count in counted.values.items():
        given[value] += count * (scale // m)
    whole = scale * sum(counted.units.values())
    return {value: part / whole for value, part in given.items()}, sum(part * part for part in given.values()) / (whole * whole)


def _influence(
    counted: Coincidences, value: float, agreeing: float, chance: Chance, *, shares: dict[Value, float], kind: Kind, largest: Value
) -> dict[Feature, float]:
    """Return the factors of the linearisation: by how much each feature of a unit moves the coefficient."""
    all_units, beyond = sum(counted.units.values()), 1 - chance.agreement
    pairable = counted.n_units * beyond
    by_share = 2 * chance.factor * (1 - value) / (all_units * beyond)
    centre = by_share * fsum(share * share for share in shares.values())
    found: dict[Feature, float] = {}
    for m in counted.units:
        found[m, "units", 0] = ((1 - agreeing) / pairable if m > 1 else 0.0) - centre
        for option, share in shares.items():
            found[m, "value", option] = by_share * share / m
        if m > 1:
            found[m, kind, 0] = -1 / (comb(m, 2) * largest * pairable)
    return found
