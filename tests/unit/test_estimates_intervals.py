"""Intervals of estimates: when there is none, those of equal labels, those on a scale, and the distributions that they are taken from."""

import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sampled_labels import sample
from trueloop.estimates import (
    Undefined,
    aipw,
    hajek,
    prediction_powered_mean,
    sample_moments,
)
from trueloop.estimates.beta import beta_cdf, beta_quantile, binomial_tail, t_quantile
from trueloop.estimates.interval import interval
from trueloop.gates.intervals import wilson


def test_no_labels_is_no_value():
    for estimate in (hajek([], []), hajek([None, math.nan], [0.5, None]), aipw([None], [0.5], [0.5]), prediction_powered_mean([None], [0.5])):
        assert (estimate.value, estimate.n, estimate.ci_low, estimate.undefined) == (None, 0, None, Undefined.NO_LABELS)


def test_one_label_or_one_cluster_has_a_value_and_no_interval():
    for estimate in (hajek([0.5], [0.5]), hajek([0.2, 0.8], [1, 1], clusters=["a", "a"]), aipw([0.5, None], [1, 1], [0.5, 0.5])):
        assert estimate.value == pytest.approx(0.5)
        assert (estimate.ci_low, estimate.ci_high, estimate.std_error, estimate.undefined) == (None, None, None, Undefined.ONE_CLUSTER)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_equal_labels_are_no_proof_of_certainty(value):
    labels, probabilities = [value] * 30, [0.1, 0.7, 1.0] * 10
    bare = hajek(labels, probabilities)
    assert (bare.value, bare.ci_low, bare.undefined) == (pytest.approx(value), None, Undefined.NO_VARIATION)
    scaled = hajek(labels, probabilities, scale=(0, 1))
    assert scaled.ci_low <= value <= scaled.ci_high
    assert scaled.ci_high - scaled.ci_low > 0.1
    # Kish: thirty labels of these weights are worth fewer.
    assert sample_moments(labels, probabilities).n_effective == pytest.approx(10 * (10 + 1 / 0.7 + 1) ** 2 / (100 + 1 / 0.49 + 1))


def test_with_equal_weights_the_scaled_interval_is_wilsons():
    """But for the variance, which has n - 1 where Wilson's has n, and for Student's t."""
    estimate = hajek([1.0] * 900 + [0.0] * 100, [1.0] * 1000, scale=(0, 1))
    bounds = wilson(0.9, 1000, scipy.stats.norm.cdf(scipy.stats.t.ppf(0.975, 999)))
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx((bounds.low, bounds.high), abs=2e-5)
    certain = hajek([1.0] * 20, [1.0] * 20, scale=(0, 1))
    bounds = wilson(1.0, 20, scipy.stats.norm.cdf(scipy.stats.t.ppf(0.975, 19)))
    assert (certain.ci_low, certain.ci_high) == pytest.approx((bounds.low, bounds.high))


def test_a_scale_of_any_size_gives_the_same_interval():
    values, probabilities, _, _ = sample(10)
    unit = hajek(values, probabilities, scale=(0, 1))
    five = hajek([None if y is None else 1 + 4 * y for y in values], probabilities, scale=(1, 5))
    assert (five.value, five.ci_low, five.ci_high) == pytest.approx((1 + 4 * unit.value, 1 + 4 * unit.ci_low, 1 + 4 * unit.ci_high))


def test_an_estimate_that_borrows_stays_on_its_scale():
    labels = [1.0] * 49 + [0.99] + [None] * 50
    judge = [0.5] * 50 + [0.9] * 50
    estimate = aipw(labels, [0.5] * 100, judge, scale=(0, 1))
    assert aipw(labels, [0.5] * 100, judge).value > 1
    assert estimate.value == estimate.ci_high == 1.0
    assert estimate.ci_low < 1


@given(st.floats(0, 1), st.floats(0.05, 300), st.floats(0.05, 300))
def test_the_beta_distribution_is_that_of_scipy(x, alpha, beta):
    assert beta_cdf(x, alpha, beta) == pytest.approx(scipy.stats.beta.cdf(x, alpha, beta), abs=1e-11)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.5, 20.5), (9.5, 1.5), (200, 30)])
@pytest.mark.parametrize("probability", [0.001, 0.025, 0.5, 0.975])
def test_quantiles_are_those_of_scipy(alpha, beta, probability):
    assert beta_quantile(probability, alpha, beta) == pytest.approx(scipy.stats.beta.ppf(probability, alpha, beta), rel=1e-9)
    assert t_quantile(probability, alpha) == pytest.approx(scipy.stats.t.ppf(probability, alpha), rel=1e-6, abs=1e-12)


def test_binomial_tails_are_those_of_scipy():
    for successes, n, chance in ((0, 10, 0.3), (4, 10, 0.3), (10, 10, 0.3), (60, 100, 0.5), (3, 3, 0.0), (1, 4, 1.0)):
        assert binomial_tail(successes, n, chance) == pytest.approx(scipy.stats.binom.sf(successes - 1, n, chance), abs=1e-12)


@pytest.mark.parametrize("call", [lambda: beta_cdf(0.5, 0, 1), lambda: beta_quantile(1.5, 1, 1), lambda: t_quantile(0.5, 0), lambda: binomial_tail(3, 2, 0.5)])
def test_parameters_out_of_range_are_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()


def test_the_interval_of_a_certain_mean_needs_a_scale():
    assert interval(0.5, 0.0, 10, n_effective=11, confidence=0.9) == (None, Undefined.NO_VARIATION)
