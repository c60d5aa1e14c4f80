"""Whether a judge's scores mean what they say: calibration in the large, its slope, and its curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from trueloop.estimates.estimate import Estimate, Undefined
from trueloop.estimates.frame import Column
from trueloop.estimates.hajek import hajek, hajek_of
from trueloop.estimates.interval import Scale
from trueloop.estimates.moments import sample_moments
from trueloop.estimates.paired_labels import PairedLabels, paired_labels

DEFAULT_EDGES = tuple(step / 10 for step in range(11))


def calibration_in_the_large(
    values: Column,
    predictions: Column,
    probabilities: Column | None = None,
    *,
    clusters: Column | None = None,
    data: Any = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return the mean of label less score: 0 for a judge that is right on average, above 0 for one that is too severe.

    Arguments, errors and what is undefined are those of `hajek`; rows without label or score do not count.

    Reference: Cox, D. R. (1958). Two further applications of a model for binary regression. Biometrika 45, 562-565.

    >>> calibration_in_the_large([1, 0, 1, 0], [0.25, 0.25, 0.5, 0.0]).value
    0.25
    """
    return calibration_in_the_large_of(paired_labels(values, predictions, probabilities, clusters, data), confidence=confidence)


def calibration_in_the_large_of(pairs: PairedLabels, *, confidence: float = 0.95) -> Estimate:
    """Return the mean of label less score over units that have both. See `calibration_in_the_large`."""
    differences = [y - m for y, m in zip(pairs.values, pairs.predictions, strict=True)]
    return hajek_of(sample_moments(differences, [1 / w for w in pairs.weights], None, pairs.clusters), confidence=confidence)


def calibration_slope(
    values: Column,
    predictions: Column,
    probabilities: Column | None = None,
    *,
    clusters: Column | None = None,
    data: Any = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return the slope of the weighted regression of label on score: 1 for a calibrated judge, below 1 for one whose scores are too extreme.

    Least squares with the sandwich variance, robust to unequal scatter and to dependence within clusters; two parameters. Arguments and errors
    are those of `pearson_correlation`; undefined (NO_VARIATION) when all scores are equal.

    References: Cox, D. R. (1958), Biometrika 45, 562-565, for slope and intercept as a test of calibration. White, H. (1980). A
    heteroskedasticity-consistent covariance matrix estimator. Econometrica 48, 817-838.

    >>> round(calibration_slope([0.1, 0.3, 0.5, 0.8], [0.0, 0.4, 0.8, 1.4]).value, 3)
    0.5
    """
    return calibration_slope_of(paired_labels(values, predictions, probabilities, clusters, data), confidence=confidence)


def calibration_slope_of(pairs: PairedLabels, *, confidence: float = 0.95) -> Estimate:
    """Return the slope over units that have both. See `calibration_slope`."""
    n = len(pairs.values)
    if n == 0:
        return Estimate(None, 0, undefined=Undefined.NO_LABELS)
    y, m = pairs.centred(pairs.values), pairs.centred(pairs.predictions)
    spread = pairs.product(m, m)
    if spread <= 0:
        return Estimate(None, n, n_clusters=pairs.n_clusters, undefined=Undefined.NO_VARIATION)
    slope = pairs.product(y, m) / spread
    influence = [b * (a - slope * b) / spread for a, b in zip(y, m, strict=True)]
    return pairs.estimate(slope, influence, 2, confidence)


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Units whose score lies in [low, high), the last bin [low, high]: their mean score, and the mean label that belongs to it.

    `mean_prediction` is None for a bin without a labelled unit.
    """

    low: float
    high: float
    mean_prediction: float | None
    label: Estimate


def calibration_curve(
    values: Column,
    predictions: Column,
    probabilities: Column | None = None,
    *,
    clusters: Column | None = None,
    data: Any = None,
    edges: Sequence[float] = DEFAULT_EDGES,
    confidence: float = 0.95,
    scale: Scale | None = (0.0, 1.0),
) -> tuple[CalibrationBin, ...]:
    """Return the reliability diagram: per bin of scores, what labels say. A calibrated judge lies on the diagonal, within the intervals.

    Args:
        values: Label of each unit; rows without label or score, or with a score outside the bins, do not count.
        predictions: Score of the judge.
        probabilities: The logged probability of each unit to be labelled, (0, 1]; leave out for a simple random sample.
        clusters: What units belong together.
        data: Data frame; then columns may be given by name.
        edges: Ends of the bins, ascending, at least two.
        confidence: Of each two-sided interval, (0, 1).
        scale: Least and largest value that a label can have: see `hajek`.

    Raises:
        ValueError: As `hajek` does, and when edges do not ascend.

    Reference: Murphy, A. H., Winkler, R. L. (1977). Reliability of subjective probability forecasts. Applied Statistics 26, 41-47.

    >>> bins = calibration_curve([1, 1, 0], [0.9, 0.95, 0.05], edges=(0, 0.5, 1))
    >>> [(b.low, b.high, b.label.value) for b in bins]
    [(0, 0.5, 0.0), (0.5, 1, 1.0)]
    """
    if len(edges) < 2 or any(low >= high for low, high in pairwise(edges)):
        raise ValueError(f"edges are {tuple(edges)}; expected at least two, ascending")
    pairs = paired_labels(values, predictions, probabilities, clusters, data)
    found: list[CalibrationBin] = []
    for low, high in pairwise(edges):
        rows = [row for row, m in enumerate(pairs.predictions) if low <= m < high or m == high == edges[-1]]
        inside = _rows(pairs, rows)
        label = hajek(inside.values, [1 / w for w in inside.weights], clusters=inside.clusters, confidence=confidence, scale=scale)
        found.append(CalibrationBin(low, high, inside.mean(inside.predictions) if rows else None, label))
    return tuple(found)


def _rows(pairs: PairedLabels, rows: Sequence[int]) -> PairedLabels:
    return PairedLabels(
        [pairs.values[row] for row in rows],
        [pairs.predictions[row] for row in rows],
        [pairs.weights[row] for row in rows],
        [pairs.clusters[row] for row in rows],
    )
