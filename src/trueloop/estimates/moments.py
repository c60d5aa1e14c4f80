"""The sufficient statistics of means from unequal-probability labels, with and without a judge: sums and one moment matrix."""

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import fsum, isfinite

VERSION = 1
FEATURES = ("one", "prediction", "unpredicted", "weight", "weighted_value", "weighted_prediction", "weighted_unpredicted")
"""What is summed of a unit with value y, weight w = 1 / probability (0 without a label) and prediction m (0 where it is missing): 1, m,
whether m is missing, w, w y, w m, w where m is missing. Every estimate here has an influence function that is linear in these."""
PAIRS = tuple(combinations_with_replacement(range(len(FEATURES)), 2))
Vector = tuple[float, ...]
_ROUNDING = 1e-13
"""Share of the sizes of its terms below which a sum is rounding: some hundred times the spacing of floats."""


@dataclass(frozen=True, slots=True)
class SampleMoments:
    """Sums over units, and sums of products over clusters of units.

    Two parts merge by addition when no cluster is in both. Sums are of floats: merging in another order may change their last bits.

    Attributes:
        n_units: Units, labelled or not.
        n_labels: Labelled units.
        n_clusters: Clusters with a label.
        totals: Sum of each feature over units.
        products: Sum over clusters of the product of their sums of two features, in the order of `PAIRS`.
    """

    n_units: int = 0
    n_labels: int = 0
    n_clusters: int = 0
    totals: Vector = (0.0,) * len(FEATURES)
    products: Vector = (0.0,) * len(PAIRS)
    version: int = VERSION

    def __add__(self, other: "SampleMoments") -> "SampleMoments":
        return SampleMoments(
            self.n_units + other.n_units,
            self.n_labels + other.n_labels,
            self.n_clusters + other.n_clusters,
            tuple(map(float.__add__, self.totals, other.totals)),
            tuple(map(float.__add__, self.products, other.products)),
        )

    def dump(self) -> str:
        """Return the state as JSON, exact to the last bit.

        >>> state = sample_moments([1.0, None], [0.25, None], [0.5, 0.75])
        >>> SampleMoments.load(state.dump()) == state
        True
        """
        return json.dumps([self.version, self.n_units, self.n_labels, self.n_clusters, self.totals, self.products])

    @classmethod
    def load(cls, text: str) -> "SampleMoments":
        """Return the state that `dump` wrote. Raises ValueError for another version."""
        version, n_units, n_labels, n_clusters, totals, products = json.loads(text)
        if version != VERSION:
            raise ValueError(f"sample moments of version {version!r}; expected {VERSION}: sum the units again")
        return cls(n_units, n_labels, n_clusters, tuple(totals), tuple(products))

    @property
    def n_effective(self) -> float:
        """Kish's effective number of labelled clusters, (sum w)^2 / sum w^2; 0 without labels."""
        weight = FEATURES.index("weight")
        squares = self.products[PAIRS.index((weight, weight))]
        return self.totals[weight] ** 2 / squares if squares else 0.0

    def quadratic(self, left: Vector, right: Vector) -> float:
        """Return the sum over clusters of (left . features) (right . features); 0 when it is nothing but rounding."""
        terms = [
            product * (left[i] * right[j] + left[j] * right[i] if i != j else left[i] * right[i]) for (i, j), product in zip(PAIRS, self.products, strict=True)
        ]
        total = fsum(terms)
        return total if abs(total) > _ROUNDING * fsum(map(abs, terms)) else 0.0


def sample_moments(
    values: Sequence[float | None],
    probabilities: Sequence[float | None],
    predictions: Sequence[float | None] | None = None,
    clusters: Sequence[Hashable] | None = None,
) -> SampleMoments:
    """Return the moments of units given as columns of equal length; sums are exact up to one rounding, so order does not matter.

    Args:
        values: Label of each unit; None where it has none.
        probabilities: Probability with which the unit was to be labelled, (0, 1]; used for labelled units only.
        predictions: What a judge says of each unit; None where it says nothing. Leave out without a judge.
        clusters: What units belong together, such as a conversation or a subject; units of the same cluster may depend on each other. None in
            a row makes the unit a cluster of its own.

    Raises:
        ValueError: A labelled unit has no probability in (0, 1].
    """
    sums: dict[Hashable, list[list[float]]] = {}
    labelled: set[Hashable] = set()
    n_labels = 0
    for row, value in enumerate(values):
        cluster: Hashable = (row,) if clusters is None or clusters[row] is None else ("", clusters[row])
        features = unit_features(row, value, probabilities[row], None if predictions is None else predictions[row])
        sums.setdefault(cluster, []).append(features)
        if value is not None:
            n_labels += 1
            labelled.add(cluster)
    parts = [units[0] if len(units) == 1 else [fsum(column) for column in zip(*units, strict=True)] for units in sums.values()]
    return SampleMoments(len(values), n_labels, len(labelled), _totals(parts), _products(parts))


def unit_features(row: int, value: float | None, probability: float | None, prediction: float | None) -> list[float]:
    """Return the features of a unit. Raises ValueError, naming the row, when it is labelled and has no probability in (0, 1]."""
    known, unknown = (0.0, 1.0) if prediction is None else (prediction, 0.0)
    if value is None:
        return [1.0, known, unknown, 0.0, 0.0, 0.0, 0.0]
    if probability is None or not 0.0 < probability <= 1.0 or not isfinite(1.0 / probability):
        raise ValueError(
            f"unit {row} is labelled, but its probability is {probability!r}; expected the logged probability of sampling it, in (0, 1]: "
            "without one its label says nothing of the others"
        )
    weight = 1.0 / probability
    return [1.0, known, unknown, weight, weight * value, weight * known, weight * unknown]


def _totals(parts: Sequence[Sequence[float]]) -> Vector:
    return tuple(fsum(part[index] for part in parts) for index in range(len(FEATURES)))


def _products(parts: Sequence[Sequence[float]]) -> Vector:
    return tuple(fsum(part[i] * part[j] for part in parts) for i, j in PAIRS)
