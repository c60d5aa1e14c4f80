"""How well a judge's scores go with the labels: correlation, slope and calibration, weighted by the probabilities of being asked."""

import math
import random

import numpy as np
import pytest
import scipy.stats

from trueloop.estimates import (
    Undefined,
    calibration_curve,
    calibration_in_the_large,
    calibration_slope,
    pearson_correlation,
)


def test_pearson_is_that_of_scipy_and_its_interval_fishers_for_normal_data():
    rng = np.random.default_rng(11)
    x = rng.normal(size=4000)
    y = 0.6 * x + 0.8 * rng.normal(size=4000)
    estimate = pearson_correlation(y, x)
    reference = scipy.stats.pearsonr(y, x)
    ends = reference.confidence_interval()
    assert estimate.value == pytest.approx(reference.statistic, rel=1e-12)
    assert estimate.ci_high - estimate.ci_low == pytest.approx(ends.high - ends.low, rel=0.1)


def test_weights_count_as_copies_in_correlation_and_slope():
    y, m = [1.0, 2.0, 2.5, 4.0, 3.0], [0.5, 2.0, 3.0, 3.5, 1.0]
    copies = [unit for unit, times in enumerate([1, 4, 2, 1, 1]) for _ in range(times)]
    probabilities = [1.0, 0.25, 0.5, 1.0, 1.0]
    assert pearson_correlation(y, m, probabilities).value == pytest.approx(np.corrcoef([y[i] for i in copies], [m[i] for i in copies])[0, 1])
    assert calibration_slope(y, m, probabilities).value == pytest.approx(np.polyfit([m[i] for i in copies], [y[i] for i in copies], 1)[0])


def test_the_slope_has_whites_standard_error():
    rng = np.random.default_rng(12)
    m = rng.random(60)
    y = 0.2 + 0.5 * m + rng.normal(size=60) * m
    design = np.column_stack([np.ones(60), m])
    bread = np.linalg.inv(design.T @ design)
    residuals = y - design @ bread @ design.T @ y
    sandwich = bread @ (design.T * residuals**2) @ design @ bread
    estimate = calibration_slope(y, m)
    assert estimate.std_error == pytest.approx(math.sqrt(sandwich[1, 1] * 60 / 59), rel=1e-9)


def test_calibration_of_a_judge_that_is_too_kind_and_too_extreme():
    rng = random.Random(13)
    quality = [rng.random() for _ in range(3000)]
    labels = [float(rng.random() < 0.25 + 0.5 * q) for q in quality]
    assert calibration_slope(labels, quality).value == pytest.approx(0.5, abs=0.1)
    large = calibration_in_the_large(labels, [min(1.0, q + 0.2) for q in quality])
    assert large.ci_high < 0
    bins = calibration_curve(labels, quality)
    assert len(bins) == 10
    assert sum(each.label.n for each in bins) == 3000
    for each in bins:
        assert each.label.ci_low <= 0.25 + 0.5 * each.mean_prediction <= each.label.ci_high + 0.02
    assert calibration_curve([1.0], [1.0])[-1].label.n == 1  # the last bin holds its upper edge
    assert (bins[0].low, bins[-1].high) == (0.0, 1.0)
    empty = calibration_curve([1.0], [0.05])[5]
    assert (empty.mean_prediction, empty.label.value, empty.label.undefined) == (None, None, Undefined.NO_LABELS)
    with pytest.raises(ValueError, match="ascending"):
        calibration_curve([1.0], [0.5], edges=(1.0, 0.0))


@pytest.mark.parametrize("measure", [pearson_correlation, calibration_slope])
def test_what_does_not_vary_has_no_correlation_and_no_slope(measure):
    assert measure([], []).undefined is Undefined.NO_LABELS
    assert measure([1.0, None], [math.nan, 0.5]).undefined is Undefined.NO_LABELS
    constant = measure([0.0, 1.0, 1.0, 0.0], [0.1, 0.1, 0.1, 0.1])
    assert (constant.value, constant.n, constant.undefined) == (None, 4, Undefined.NO_VARIATION)


def test_correlation_without_interval():
    assert pearson_correlation([1.0, 1.0, 1.0], [0.1, 0.2, 0.3]).undefined is Undefined.NO_VARIATION
    few = pearson_correlation([0.0, 1.0, 0.5], [0.1, 0.2, 0.3])
    assert (few.ci_low, few.undefined) == (None, Undefined.TOO_FEW)
    perfect = pearson_correlation([0.1, 0.2, 0.3, 0.5, 0.9], [1, 2, 3, 5, 9])
    assert (perfect.value, perfect.ci_high, perfect.undefined) == (pytest.approx(1.0), None, Undefined.NO_VARIATION)
