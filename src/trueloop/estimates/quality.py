"""The quality of what is served, as an event, from labelled traces and a judge's sums."""

from collections.abc import Sequence
from typing import Any

from trueloop.estimates.aipw import aipw_of
from trueloop.estimates.calibration import calibration_in_the_large_of, calibration_slope_of
from trueloop.estimates.estimate import Estimate
from trueloop.estimates.hajek import hajek_of
from trueloop.estimates.paired_labels import PairedLabels
from trueloop.estimates.pearson import pearson_correlation_of
from trueloop.estimates.population import JudgedTotals, LabelledSums, LabelledUnit
from trueloop.estimates.prediction_powered import prediction_powered_mean_of
from trueloop.events.quality_estimate import EstimateMethod, JudgeFallback, NoEstimate

SCALE = (0.0, 1.0)


def quality_fields(units: Sequence[LabelledUnit], judged: JudgedTotals, judge: str | None, *, sums: LabelledSums | None = None) -> dict[str, Any]:
    """Return the numbers of a `QualityEstimate`. What the data do not define is None.

    `value` is PPI++ where the judge earned it, else Hajek's estimate of the labels only, and `fallback` says why. The same units in another order
    give the same numbers only up to rounding: give them in an order of their own.

    Args:
        units: The labelled traces, with the quality in [0, 1] as their value.
        judged: The judge's sums over all traces, the labelled ones among them.
        judge: Name of the judge; None without one.
        sums: Those of the units, where they are kept. Then the units themselves are looked at only to compare them with the judge.
    """
    labelled = LabelledSums(units) if sums is None else sums
    moments = labelled.moments(judged)
    found = prediction_powered_mean_of(moments, scale=SCALE)
    fields = {
        "n_labelled": found.n,
        "n_clusters": moments.n_clusters,
        "n_judged": judged.n,
        "method": EstimateMethod.HAJEK if found.fallback else EstimateMethod.PREDICTION_POWERED,
        "value": found.value,
        "low": found.ci_low,
        "high": found.ci_high,
        "std_error": found.std_error,
        "undefined": None if found.undefined is None else NoEstimate(found.undefined.value),
        "judge": judge,
        "judge_mean": judged.mean,
        "trust": found.trust,
        "fallback": JudgeFallback.NO_JUDGE if judge is None else None if found.fallback is None else JudgeFallback(found.fallback.value),
        # Of the labels' own moments: what has come of the judge's scores would move the last digits.
        **_named("hajek", hajek_of(labelled.moments(JudgedTotals()), scale=SCALE)),
    }
    if judge is None or not judged.n:
        return fields
    pairs = _pairs(units)
    return {
        **fields,
        **_named("aipw", aipw_of(moments, scale=SCALE)),
        **_named("correlation", pearson_correlation_of(pairs)),
        **_named("severity", calibration_in_the_large_of(pairs)),
        **_named("slope", calibration_slope_of(pairs)),
    }


def _pairs(units: Sequence[LabelledUnit]) -> PairedLabels:
    found = PairedLabels([], [], [], [])
    for place, (value, probability, prediction, cluster) in enumerate(units):
        if prediction is not None:
            found.values.append(value)
            found.predictions.append(prediction)
            found.weights.append(1.0 / probability)
            found.clusters.append((place,) if cluster is None else ("", cluster))
    return found


def _named(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return {}
    return {name: estimate.value, f"{name}_low": estimate.ci_low, f"{name}_high": estimate.ci_high}
