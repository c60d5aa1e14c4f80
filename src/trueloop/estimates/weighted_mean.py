"""The mean of a population from unequal-probability labels, corrected by a share of what a judge says of everything."""

from dataclasses import dataclass
from math import sqrt

from trueloop.estimates.estimate import Estimate, Undefined
from trueloop.estimates.interval import Scale, interval
from trueloop.estimates.moments import SampleMoments, Vector


@dataclass(frozen=True, slots=True)
class WeightedMean:
    """The family of estimators `labels - lambda * gap`, lambda being how far the judge is trusted.

    `labels` is the weighted mean of the labels; `gap` is the weighted mean of the judge on what was labelled less its mean on everything: what
    the labelled ones have ahead of all by chance, as the judge sees it. lambda = 0 is Hajek's estimator, 1 is AIPW, the value that minimises
    the variance is PPI++. The influence of a cluster on it is `(of_labels - lambda * of_gap) . features`, over the number of units.

    Where the judge says nothing, its mean stands for it: a constant favours no unit, so that no label is lost and nothing is biased.
    """

    moments: SampleMoments
    labels: float
    gap: float
    of_labels: Vector
    of_gap: Vector

    def at(self, trust: float) -> float:
        """Return the estimate for a lambda."""
        return self.labels - trust * self.gap

    def variance(self, trust: float) -> float | None:
        """Return the variance of the estimate for a lambda, from the scatter between clusters; None for fewer than two with labels."""
        n, clusters = self.moments.n_units, self.moments.n_clusters
        if clusters < 2:
            return None
        influence = tuple(a - trust * b for a, b in zip(self.of_labels, self.of_gap, strict=True))
        return self.moments.quadratic(influence, influence) * clusters / (clusters - 1) / n**2

    def estimate(self, trust: float, *, confidence: float, scale: Scale | None, parameters: int = 1) -> Estimate:
        """Return value and interval for a lambda. `parameters` were estimated on the way to it: they cost degrees of freedom."""
        n, clusters, value = self.moments.n_labels, self.moments.n_clusters, self.at(trust)
        if scale is not None:
            value = min(max(value, scale[0]), scale[1])
        variance = self.variance(trust)
        if variance is None or clusters <= parameters:
            return Estimate(value, n, n_clusters=clusters, undefined=Undefined.ONE_CLUSTER if clusters < 2 else Undefined.TOO_FEW)
        std_error, plain = sqrt(max(variance, 0.0)), self.variance(0.0)
        # What a judge takes away of the variance counts as more labels.
        gain = plain / variance if plain and variance > 0 else 1.0
        n_effective = self.moments.n_effective
        df = max(1.0, n_effective - parameters)
        ends, undefined = interval(value, std_error, df, n_effective=n_effective * gain, confidence=confidence, scale=scale)
        low, high = ends or (None, None)
        return Estimate(value, n, low, high, std_error, clusters, undefined)


def weighted_mean(moments: SampleMoments) -> WeightedMean | None:
    """Return the family of estimators for these moments; None without labels."""
    n = moments.n_units
    _, predicted, unpredicted, weight, weighted, weighted_predicted, weighted_unpredicted = moments.totals
    if moments.n_labels == 0:
        return None
    seen = n - unpredicted
    everywhere = predicted / seen if seen else 0.0
    of_labelled = (weighted_predicted + everywhere * weighted_unpredicted) / weight
    labels, scaled = weighted / weight, n / weight
    return WeightedMean(
        moments,
        labels,
        of_labelled - everywhere,
        (0.0, 0.0, 0.0, -labels * scaled, scaled, 0.0, 0.0),
        (everywhere, -1.0, -everywhere, -of_labelled * scaled, 0.0, scaled, everywhere * scaled),
    )
