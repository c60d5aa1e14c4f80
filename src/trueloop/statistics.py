"""Every statistic as one function, named as in the literature, over plain columns or a data frame: what the stream computes is this code.

A *column* is a list, an array, a series, or a name in `data`, which is whatever gives a column for its name: pandas, polars, Arrow, a dictionary of
lists. None and NaN are missing. What comes back has `value` and `n`, and `interval` or what else says how sure the value is. What the data do not
define is None with its reason in `undefined`, never 0, 1 or NaN. Wrong input is a ValueError that names the row and quotes no value.

| | functions |
|---|---|
| agreement; also of a data frame with 'unit', 'rater', 'value' | `observed_agreement`, `krippendorff_alpha` (nominal, ordinal, interval, ratio), `gwet_ac1`, |
| | `gwet_ac2`, `fleiss_kappa`, `cohen_kappa` |
| agreement of marked spans | `span_alpha`, `span_f1` |
| agreement of preferences, and whether the display order mattered | `preference_agreement`, `position_bias` |
| reviewers | `dawid_skene`, `item_truth`, `gold_accuracy`, `reliability`, `shared_errors` |
| quality from labels that were sampled unequally | `hajek`, `aipw`, `prediction_powered_mean` (PPI++), `by_slice`, `partial_pooling` |
| what a judge is worth | `pearson_correlation`, `calibration_curve`, `calibration_in_the_large`, `calibration_slope` |
| drift of distributions; the band that they keep by chance stands for an interval | `population_stability_index`, `jensen_shannon_divergence`, |
| | `wasserstein_distance` |
| drift of embeddings, likewise | `maximum_mean_discrepancy`, `cosine_similarity` |
| drift of losses; the contract on false alarms stands for an interval | `e_detector`, `two_sample_e_value`, `e_benjamini_hochberg`, |
| | `betting_confidence_sequence`, `shiryaev_roberts` |

What bad input gives:

| input | result |
|---|---|
| no rows; all values missing | None: NO_PAIRABLE_UNITS, NO_LABELS, NO_REFERENCE or NO_CURRENT; n is 0 |
| units with one label only | None: NO_PAIRABLE_UNITS (reviewers' reliability and quality estimates do not need two) |
| one value throughout | alpha, AC1 on one category, kappas, correlation: None, NO_VARIATION. p_o and means: a value without an interval, NO_VARIATION |
| fewer than 20 tasks | a value without an interval: TOO_FEW_UNITS |
| a value off the scale | ValueError; on the stream a dead letter OFF_SCALE, and its neighbours count |
| a dimension that the rubric lacks, another version of the rubric | a dead letter UNKNOWN_DIMENSION, RUBRIC_MISMATCH; versions are never mixed |
| a reviewer with one label | counts; the posterior is wide, and smoothing keeps Dawid and Skene from calling anyone infallible |
| probability (weight) 1 | always labelled: counts once |
| probability 0 or above 1 with a label | ValueError: such a label cannot have been drawn |
| weight 0 of a judgement | no evidence |
| NaN from a judge | missing: the mean of the judge's other scores stands for it; when all are missing, the labels alone answer, and `fallback` says so; |
| | on the stream a score that is not there is absent, and NaN a dead letter INVALID_EVENT |

>>> from trueloop import statistics
>>> ratings = {"unit": [1, 1, 2, 2, 3, 3], "rater": ["ada", "ben"] * 3, "value": [4, 4, 2, 3, 5, 5]}
>>> alpha = statistics.krippendorff_alpha(ratings, level="ordinal")
>>> round(alpha.value, 3), alpha.n, alpha.interval, alpha.undefined.value
(0.949, 3, None, 'TOO_FEW_UNITS')
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trueloop.agreement import (
        cohen_kappa,
        fleiss_kappa,
        gwet_ac1,
        gwet_ac2,
        krippendorff_alpha,
        observed_agreement,
        position_bias,
        preference_agreement,
        span_alpha,
        span_f1,
    )
    from trueloop.drift import (
        betting_confidence_sequence,
        cosine_similarity,
        e_benjamini_hochberg,
        e_detector,
        jensen_shannon_divergence,
        maximum_mean_discrepancy,
        population_stability_index,
        shiryaev_roberts,
        two_sample_e_value,
        wasserstein_distance,
    )
    from trueloop.estimates import (
        aipw,
        by_slice,
        calibration_curve,
        calibration_in_the_large,
        calibration_slope,
        hajek,
        partial_pooling,
        pearson_correlation,
        prediction_powered_mean,
    )
    from trueloop.reviewers import dawid_skene, gold_accuracy, item_truth, reliability, shared_errors

__all__ = [
    "aipw", "betting_confidence_sequence", "by_slice", "calibration_curve", "calibration_in_the_large", "calibration_slope", "cohen_kappa",
    "cosine_similarity", "dawid_skene", "e_benjamini_hochberg", "e_detector", "fleiss_kappa", "gold_accuracy", "gwet_ac1", "gwet_ac2", "hajek",
    "item_truth", "jensen_shannon_divergence", "krippendorff_alpha", "maximum_mean_discrepancy", "observed_agreement", "partial_pooling",
    "pearson_correlation", "population_stability_index", "position_bias", "prediction_powered_mean", "preference_agreement", "reliability",
    "shared_errors", "shiryaev_roberts", "span_alpha", "span_f1", "two_sample_e_value", "wasserstein_distance",
]  # fmt: skip

_ROOMS = ("agreement", "drift", "estimates", "reviewers")


def __getattr__(name: str) -> Any:
    """Import the room that has the function on first use, so that `import trueloop.statistics` costs nothing."""
    if name in __all__:
        for room in _ROOMS:
            found = getattr(importlib.import_module(f"trueloop.{room}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names of the statistics."""
    return list(__all__)
