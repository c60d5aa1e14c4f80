"""The moment matrix of agreement: sums over clusters of products, from which the variance of every linearised coefficient follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations_with_replacement
from math import fsum
from typing import Literal, TypeAlias

from trueloop.agreement.coincidences import accumulate
from trueloop.agreement.pattern import CACHED, Members, Pattern, Value, pairs_of, raters_of
from trueloop.agreement.weights import Weights, apart

Kind = Literal["apart", "units", "value", "weighted"]
Feature: TypeAlias = tuple[int, Kind, Value]
"""What is summed over the units of a cluster that have m raters: (m, 'units', 0) their number, (m, 'apart', 0) pairs of raters that differ,
(m, 'weighted', 0) the sum of how far they are apart, (m, 'value', v) ratings of v. Every coefficient here is a smooth function of the totals
of these, so its linearisation is a linear function of them, and its variance follows from the sums of their products."""
Features: TypeAlias = tuple[tuple[Feature, Value], ...]
Products: TypeAlias = tuple[tuple[tuple[Feature, Feature], Value], ...]


@dataclass
class Moments:
    """Sums over clusters of the products of two features. Whole numbers for whole values, so merging and correcting are exact.

    One small matrix per window: a scale of 5 with 3 raters per unit has 8 features and 36 products, whatever the number of units.

    Attributes:
        weights: What the feature 'weighted' means; None leaves it out.
        products: (feature, feature) -> sum over clusters, features in ascending order; cells that would be 0 are absent.
    """

    weights: Weights | None = None
    products: dict[tuple[Feature, Feature], Value] = field(default_factory=dict)

    def add(self, members: Members, times: int = 1) -> None:
        """Count one cluster of units; with `times` = -1 take away one that was counted."""
        single = len(members) == 1 and members[0][1] == 1
        changes = _unit_products(members[0][0], self.weights) if single else _cluster_products(members, self.weights)
        accumulate(self.products, changes, times)

    def merge(self, other: "Moments", times: int = 1) -> None:
        """Count all clusters that another counted; none may be in both. With `times` = -1 take them away.

        Raises ValueError when the other weighs differently.
        """
        if other.weights != self.weights:
            raise ValueError(f"moments with weights {other.weights!r} were to be merged into some with {self.weights!r}; expected the same")
        accumulate(self.products, other.products.items(), times)

    def variance(self, influence: Mapping[Feature, float], clusters: int) -> float | None:
        """Return the variance of a coefficient whose linearisation has these factors; None with fewer than two clusters.

        The linearisation of a cluster is sum_f influence_f x_f, x_f being its features; over all clusters it sums up to 0. The variance is
        C / (C - 1) times the sum of its squares over the C clusters. Summed exactly, so that the order of cells does not matter.
        """
        if clusters < 2:
            return None
        squares = fsum(
            influence.get(one, 0.0) * influence.get(other, 0.0) * total * (1 if one == other else 2) for (one, other), total in self.products.items()
        )
        return max(0.0, squares) * clusters / (clusters - 1)


@lru_cache(maxsize=CACHED)
def _features(pattern: Pattern, weights: Weights | None) -> Features:
    """Return the features of a unit that are not 0, in ascending order."""
    m = raters_of(pattern)
    differing = [(pair, count) for pair, count in pairs_of(pattern) if pair[0] != pair[1]]
    found: list[tuple[Feature, Value]] = []
    if differing:
        found.append(((m, "apart", 0), sum(count for _, count in differing)))
    found.append(((m, "units", 0), 1))
    found += (((m, "value", value), count) for value, count in pattern)
    if differing and weights is not None:
        found.append(((m, "weighted", 0), sum(count * apart(weights, low, high) for (low, high), count in differing)))
    return tuple(found)


@lru_cache(maxsize=CACHED)
def _unit_products(pattern: Pattern, weights: Weights | None) -> Products:
    return _products(_features(pattern, weights)) if pattern else ()


def _cluster_products(members: Members, weights: Weights | None) -> Products:
    sums: dict[Feature, Value] = {}
    for pattern, repeats in members:
        for feature, value in _features(pattern, weights) if pattern else ():
            sums[feature] = sums.get(feature, 0) + repeats * value
    return _products(tuple(sorted(sums.items())))


def _products(features: Features) -> Products:
    return tuple(((one, other), x * y) for (one, x), (other, y) in combinations_with_replacement(features, 2))
