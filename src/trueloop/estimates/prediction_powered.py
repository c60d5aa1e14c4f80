"""Prediction-powered inference with power tuning: PPI++."""

from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from typing import Any

from trueloop.estimates.beta import t_quantile
from trueloop.estimates.estimate import Estimate, Undefined
from trueloop.estimates.frame import Column, aligned, cells, numbers
from trueloop.estimates.interval import Scale
from trueloop.estimates.moments import SampleMoments, sample_moments
from trueloop.estimates.weighted_mean import WeightedMean, weighted_mean

MIN_CLUSTERS = 30
"""Labelled clusters below which no judge is used: lambda is then known too badly for the interval to cover."""
EARNED_AT = 0.95
"""Confidence, one-sided, that the judge goes along with the labels: a judge that says nothing is used in 5 % of cases at most."""


class Fallback(StrEnum):
    """Why the judge was not used."""

    NO_PREDICTIONS = "NO_PREDICTIONS"
    """It says nothing, or the same of everything."""
    TOO_FEW_LABELS = "TOO_FEW_LABELS"
    """Fewer than `MIN_CLUSTERS` labelled clusters."""
    NOT_EARNED = "NOT_EARNED"
    """It does not go along with the labels, beyond what chance would give."""


@dataclass(frozen=True, slots=True)
class PredictionPoweredEstimate(Estimate):
    """An estimate with the help of a judge, if it earned it.

    Attributes:
        trust: lambda, how far the judge's scores were used; 0 when they were not.
        correlation: Between the influences of labels and judge, [-1, 1]: its square is the share of the variance that the judge takes away.
            None when either does not vary.
        fallback: Why the judge was not used; None when it was.
        labels_only: The estimate without the judge, for comparison.
    """

    trust: float = 0.0
    correlation: float | None = None
    fallback: Fallback | None = None
    labels_only: Estimate | None = None


def prediction_powered_mean(
    values: Column,
    predictions: Column,
    probabilities: Column | None = None,
    *,
    clusters: Column | None = None,
    data: Any = None,
    confidence: float = 0.95,
    scale: Scale | None = None,
) -> PredictionPoweredEstimate:
    """Return the mean of all units from labels on some and a judge's scores on all, with the judge weighted by what it is worth.

    labels - lambda * gap with the lambda that has the least variance: `WeightedMean`. With equal probabilities it is PPI++ of the mean,
    applied to the whole population (equation 2; their lambda is ours times 1 / (1 + n / N)). A judge that did not earn it is left out, and
    the result says so: then it is Hajek's estimate of the labels only. The judge's scores may be on another scale than the labels.

    Args:
        values: Label of each unit, one row per unit of the population; missing where it has none.
        predictions: Score of the judge of each unit; where it is missing (None, NaN), the mean of its scores stands for it.
        probabilities: The logged probability of each unit to be labelled, (0, 1]; leave out when labels are a simple random sample.
        clusters: What units belong together; missing makes a unit a cluster of its own.
        data: Data frame; then columns may be given by name.
        confidence: Of the two-sided interval, (0, 1).
        scale: Least and largest value that a label can have: see `hajek`.

    Raises:
        ValueError: As `hajek` does.

    Reference: Angelopoulos, A. N., Duchi, J. C., Zrnic, T. (2023). PPI++: efficient prediction-powered inference. arXiv 2311.01453,
    sections 2 and 6. For unequal probabilities: Zrnic, T., Candes, E. J. (2024). Active statistical inference. arXiv 2403.03208.

    >>> labels = [float(unit % 5 > 0) if unit % 4 == 0 else None for unit in range(400)]
    >>> judge = [0.9 if unit % 5 > 0 else 0.2 for unit in range(400)]
    >>> estimate = prediction_powered_mean(labels, judge)
    >>> round(estimate.value, 3), estimate.n, estimate.fallback
    (0.8, 100, None)
    """
    y, m = numbers(values, data, name="values"), numbers(predictions, data, name="predictions")
    p = [1.0] * len(y) if probabilities is None else numbers(probabilities, data, name="probabilities")
    groups = None if clusters is None else cells(clusters, data)
    aligned(values=y, predictions=m, probabilities=p, **({} if groups is None else {"clusters": groups}))
    return prediction_powered_mean_of(sample_moments(y, p, m, groups), confidence=confidence, scale=scale)


def prediction_powered_mean_of(moments: SampleMoments, *, confidence: float = 0.95, scale: Scale | None = None) -> PredictionPoweredEstimate:
    """Return the prediction-powered estimate from sufficient statistics. See `prediction_powered_mean`."""
    family = weighted_mean(moments)
    if family is None:
        return PredictionPoweredEstimate(None, 0, undefined=Undefined.NO_LABELS, fallback=Fallback.NO_PREDICTIONS)
    plain = family.estimate(0.0, confidence=confidence, scale=scale)
    trust, correlation, fallback = _tuned(family)
    chosen = plain if fallback is not None else family.estimate(trust, confidence=confidence, scale=scale, parameters=2)
    return PredictionPoweredEstimate(
        chosen.value, chosen.n, chosen.ci_low, chosen.ci_high, chosen.std_error, chosen.n_clusters, chosen.undefined,
        0.0 if fallback is not None else trust, correlation, fallback, plain,
    )  # fmt: skip


def _tuned(family: WeightedMean) -> tuple[float, float | None, Fallback | None]:
    """Return the lambda of least variance, the correlation that it stands on, and why it is not to be used."""
    of_labels = family.moments.quadratic(family.of_labels, family.of_labels)
    of_gap = family.moments.quadratic(family.of_gap, family.of_gap)
    if of_gap <= 0:
        return 0.0, None, Fallback.NO_PREDICTIONS
    common = family.moments.quadratic(family.of_labels, family.of_gap)
    correlation = max(-1.0, min(1.0, common / sqrt(of_labels * of_gap))) if of_labels > 0 else None
    clusters = family.moments.n_clusters
    if clusters < MIN_CLUSTERS:
        return 0.0, correlation, Fallback.TOO_FEW_LABELS
    t = t_quantile(EARNED_AT, clusters - 2)
    if correlation is None or correlation <= t / sqrt(clusters - 2 + t * t):
        return 0.0, correlation, Fallback.NOT_EARNED
    return common / of_gap, correlation, None
