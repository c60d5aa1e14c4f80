"""Augmented inverse probability weighting: labels on some units, predictions on all."""

from typing import Any

from trueloop.estimates.estimate import Estimate, Undefined
from trueloop.estimates.frame import Column, aligned, cells, numbers
from trueloop.estimates.interval import Scale
from trueloop.estimates.moments import SampleMoments, sample_moments
from trueloop.estimates.weighted_mean import weighted_mean


def aipw(
    values: Column,
    probabilities: Column,
    predictions: Column,
    *,
    clusters: Column | None = None,
    data: Any = None,
    confidence: float = 0.95,
    scale: Scale | None = None,
) -> Estimate:
    """Return the mean of all units: the mean prediction, corrected by the weighted mean of label less prediction where there is a label.

    mean(m) + sum((y - m) / p) / sum(1 / p). The probabilities are known, so it is unbiased in large samples whatever the predictions are;
    good ones narrow the interval, bad ones widen it. Use `prediction_powered_mean` where the judge has not earned that trust.

    Args:
        values: Label of each unit, one row per unit of the population; missing where it has none.
        probabilities: The logged probability of each unit to be labelled, (0, 1]; may be missing without a label.
        predictions: What the judge says of each unit, on the scale of the labels. Where it says nothing (None, NaN), the mean of its
            predictions stands for it; when it says nothing at all, this is Hajek's estimate.
        clusters: What units belong together; missing makes a unit a cluster of its own.
        data: Data frame; then columns may be given by name.
        confidence: Of the two-sided interval, (0, 1).
        scale: Least and largest value that a label can have: see `hajek`.

    Returns:
        As `hajek` does.

    Raises:
        ValueError: As `hajek` does.

    References: Robins, J. M., Rotnitzky, A., Zhao, L. P. (1994). Estimation of regression coefficients when some regressors are not always
    observed. JASA 89, 846-866. In survey statistics the difference estimator: Sarndal, Swensson, Wretman (1992), section 6.3; the correction
    is normalised by the weights as in Hajek's.

    >>> round(aipw([1.0, None, 0.0, None], [0.5] * 4, [0.75, 0.75, 0.25, 0.25]).value, 4)
    0.5
    """
    y, p = numbers(values, data, name="values"), numbers(probabilities, data, name="probabilities")
    m = numbers(predictions, data, name="predictions")
    groups = None if clusters is None else cells(clusters, data)
    aligned(values=y, probabilities=p, predictions=m, **({} if groups is None else {"clusters": groups}))
    return aipw_of(sample_moments(y, p, m, groups), confidence=confidence, scale=scale)


def aipw_of(moments: SampleMoments, *, confidence: float = 0.95, scale: Scale | None = None) -> Estimate:
    """Return the AIPW estimate from sufficient statistics. See `aipw`."""
    family = weighted_mean(moments)
    if family is None:
        return Estimate(None, 0, undefined=Undefined.NO_LABELS)
    return family.estimate(1.0, confidence=confidence, scale=scale)
