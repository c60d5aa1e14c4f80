"""Units that have both a label and a judge's score, with their weights: what a judge is compared on."""

from collections.abc import Hashable
from dataclasses import dataclass
from math import fsum, isfinite, sqrt
from typing import Any

from trueloop.estimates.beta import t_quantile
from trueloop.estimates.estimate import Estimate, Undefined
from trueloop.estimates.frame import Column, aligned, cells, numbers


@dataclass(frozen=True, slots=True)
class PairedLabels:
    """Columns of equal length without gaps. `clusters` holds for each unit what it belongs together with."""

    values: list[float]
    predictions: list[float]
    weights: list[float]
    clusters: list[Hashable]

    @property
    def n_clusters(self) -> int:
        """Different clusters."""
        return len(set(self.clusters))

    def mean(self, column: list[float]) -> float:
        """Return the weighted mean of a column; needs at least one unit."""
        return fsum(w * x for w, x in zip(self.weights, column, strict=True)) / fsum(self.weights)

    def product(self, left: list[float], right: list[float]) -> float:
        """Return the weighted mean product of two centred columns; 0 when that is nothing but rounding."""
        total = self.mean([a * b for a, b in zip(left, right, strict=True)])
        return total if abs(total) > _ROUNDING * self.mean([abs(a * b) for a, b in zip(left, right, strict=True)]) else 0.0

    def centred(self, column: list[float]) -> list[float]:
        """Return a column less its weighted mean; all zeros when it is constant."""
        middle = self.mean(column)
        if max(column) - min(column) <= _ROUNDING * max(1.0, abs(middle)):
            return [0.0] * len(column)
        return [x - middle for x in column]

    def std_error(self, influence: list[float], parameters: int) -> float | None:
        """Return the standard error of an estimate from the influence of each unit, robust to dependence within clusters.

        None when there are no more clusters than `parameters`.
        """
        sums: dict[Hashable, list[float]] = {}
        for cluster, w, value in zip(self.clusters, self.weights, influence, strict=True):
            sums.setdefault(cluster, []).append(w * value)
        clusters = len(sums)
        if clusters <= parameters:
            return None
        squares = fsum(fsum(each) ** 2 for each in sums.values())
        return sqrt(squares * clusters / (clusters - 1)) / fsum(self.weights)

    def estimate(self, value: float, influence: list[float], parameters: int, confidence: float) -> Estimate:
        """Return value and Student's interval from the influence of each unit."""
        n, clusters, std_error = len(self.values), self.n_clusters, self.std_error(influence, parameters)
        if std_error is None:
            return Estimate(value, n, n_clusters=clusters, undefined=Undefined.ONE_CLUSTER if clusters < 2 else Undefined.TOO_FEW)
        reach = t_quantile(0.5 + confidence / 2, clusters - parameters) * std_error
        return Estimate(value, n, value - reach, value + reach, std_error, clusters)


_ROUNDING = 1e-13


def paired_labels(values: Column, predictions: Column, probabilities: Column | None, clusters: Column | None, data: Any) -> PairedLabels:
    """Return the units that have both. Raises ValueError as `hajek` does."""
    y, m = numbers(values, data, name="values"), numbers(predictions, data, name="predictions")
    p = [1.0] * len(y) if probabilities is None else numbers(probabilities, data, name="probabilities")
    groups: list[Any] = [None] * len(y) if clusters is None else cells(clusters, data)
    aligned(values=y, predictions=m, probabilities=p, clusters=groups)
    found = PairedLabels([], [], [], [])
    for row, (value, prediction, probability, cluster) in enumerate(zip(y, m, p, groups, strict=True)):
        if value is None or prediction is None:
            continue
        if probability is None or not 0.0 < probability <= 1.0 or not isfinite(1.0 / probability):
            raise ValueError(f"unit {row} is labelled, but its probability is {probability!r}; expected the logged one, in (0, 1]")
        found.values.append(value)
        found.predictions.append(prediction)
        found.weights.append(1.0 / probability)
        found.clusters.append((row,) if cluster is None else ("", cluster))
    return found
