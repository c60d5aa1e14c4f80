"""Distributions of a metric: fixed bins, the population stability index, Jensen-Shannon, Wasserstein, and the bands that they keep by chance."""

from math import inf, log, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.spatial.distance import jensenshannon
from scipy.stats import binom, chi2, entropy, poisson
from scipy.stats import wasserstein_distance as scipy_wasserstein

from trueloop.drift import (
    Comparison,
    Histogram,
    Undefined,
    jensen_shannon_divergence,
    most_drifted,
    population_stability_index,
    wasserstein_distance,
)
from trueloop.drift.histogram import QUARTER_OCTAVES, add, coarser, finite, merge, quantile_edges
from trueloop.drift.resampling import REPLICATES, band_high, hashed_uniforms
from trueloop.drift.resampling import poisson as poisson_counts
from trueloop.events import DriftState

SOME = settings(max_examples=30)  # each makes three bands of 2000 replicates
STATISTICS = (population_stability_index, jensen_shannon_divergence, wasserstein_distance)
VALUES = st.lists(st.floats(-5.0, 1e5), max_size=40)


# Histograms


@given(VALUES, VALUES, st.randoms(use_true_random=False))
def test_histograms_merge_exactly_and_order_does_not_matter(first, second, rng):
    mixed = [*first, *second]
    rng.shuffle(mixed)
    whole = add(Histogram(), mixed)
    assert merge(add(Histogram(), first), add(Histogram(), second)) == whole
    one_by_one = Histogram()
    for value in mixed:
        one_by_one = add(one_by_one, [value])
    assert one_by_one == whole or not mixed
    assert whole.n == len(mixed)
    assert TypeAdapter(Histogram).validate_json(TypeAdapter(Histogram).dump_json(whole)) == whole


def test_bins_are_open_below_and_closed_above():
    histogram = add(Histogram(edges=(1.0, 2.0)), np.array([1.0, 1.0000001, 2.0, 2.0000001, -7.0], np.float64))
    assert histogram.counts == (2, 2, 1)
    assert len(QUARTER_OCTAVES) == 98
    assert QUARTER_OCTAVES[-1] == 2**24


def test_missing_values_are_counted_and_not_binned():
    for values in ([1.0, None, nan], np.array([1.0, nan, nan])):
        histogram = add(Histogram(edges=(2.0,)), values)
        assert (histogram.n, histogram.missing) == (1, 2)
    assert merge(histogram, histogram).missing == 4


@pytest.mark.parametrize("values", [[inf], np.array([1.0, -inf]), ["a"]])
def test_infinite_values_are_refused(values):
    with pytest.raises(ValueError, match=r"values\[\d\] is"):
        add(Histogram(), values)


def test_histograms_of_different_edges_do_not_merge():
    with pytest.raises(ValueError, match="only equal bins"):
        merge(Histogram(edges=(1.0,)), Histogram(edges=(2.0,)))


def test_quantile_edges_cut_into_equal_parts():
    rng = np.random.default_rng(1)
    values = rng.normal(size=1000)
    counts = add(Histogram(edges=quantile_edges(values, 10)), values).counts
    assert counts == (100,) * 10


def test_a_value_that_fills_a_part_has_a_bin_of_its_own():
    values = np.array([0.0] * 70 + list(range(1, 31)), np.float64)
    below, zeros, *others = add(Histogram(edges=quantile_edges(values, 10)), values).counts
    assert (below, zeros, sum(others)) == (0, 70, 30)


def test_neighbouring_bins_are_joined_to_shares_of_the_reference():
    histogram = Histogram(edges=(1.0, 2.0, 3.0, 4.0), counts=(0, 10, 1, 1, 8))
    assert coarser(histogram, 2) == [slice(0, 2), slice(2, 5)]
    assert coarser(Histogram(edges=(1.0,)), 4)[0].start == 0


# The statistics against independent code and published values


def test_wasserstein_on_the_examples_of_scipy():
    """The examples in the documentation of scipy.stats.wasserstein_distance; weights as multiples of 0.1."""
    assert wasserstein_distance([0, 1, 3], [5, 6, 8]).value == pytest.approx(5.0, abs=1e-12)
    assert wasserstein_distance([0] * 3 + [1], [0] * 2 + [1] * 2).value == pytest.approx(0.25, abs=1e-12)
    first = [3.4] * 14 + [3.9] * 9 + [7.5] * 31 + [7.8] * 72
    assert wasserstein_distance(first, [4.5] * 32 + [1.4] * 35).value == pytest.approx(4.0781331438047861, abs=1e-9)


def test_jensen_shannon_on_the_examples_of_scipy():
    """The examples in the documentation of scipy.spatial.distance.jensenshannon, which is the root of the divergence in nats."""
    assert jensen_shannon_divergence([1.0] * 5, [2.0] * 5).value == 1.0
    half = jensen_shannon_divergence([1.0] * 10, [1.0] * 5 + [2.0] * 5, bins=2).value
    assert sqrt(half * log(2)) == pytest.approx(0.46450140402245893, abs=1e-12)


@SOME
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_statistics_equal_independent_code(seed, bins):
    rng = np.random.default_rng(seed)
    before, now = np.round(rng.gamma(2, 50, 80)), np.round(rng.gamma(2, 60, 60))
    edges = [-np.inf, *quantile_edges(before, bins), np.inf]
    # numpy closes its bins below, ours are closed above
    p, q = (np.histogram(-each, bins=-np.array(edges[::-1]))[0] for each in (before, now))
    assert jensen_shannon_divergence(before, now, bins=bins).value == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-9)
    smooth = (p + 0.5) / (p + 0.5).sum(), (q + 0.5) / (q + 0.5).sum()
    assert population_stability_index(before, now, bins=bins).value == pytest.approx(entropy(*smooth) + entropy(*smooth[::-1]), abs=1e-9)
    assert wasserstein_distance(before, now).value == pytest.approx(scipy_wasserstein(before, now), abs=1e-9)


@SOME
@given(st.integers(0, 10_000))
def test_columns_and_histograms_say_the_same(seed):
    """Each of these numbers has a bin of its own among quarter octaves."""
    rng = np.random.default_rng(seed)
    before, now = rng.choice([1, 2, 3, 4, 6, 8], 90), rng.choice([1, 2, 3, 4, 6, 8], 70)
    histograms = add(Histogram(edges=tuple(np.arange(0.5, 9.5))), before), add(Histogram(edges=tuple(np.arange(0.5, 9.5))), now)
    assert wasserstein_distance(*histograms).value == pytest.approx(wasserstein_distance(before, now).value, abs=1e-9)
    log_binned = add(Histogram(), before), add(Histogram(), now)
    for statistic in (population_stability_index, jensen_shannon_divergence):
        assert statistic(*log_binned, bins=80).value == pytest.approx(statistic(*histograms, bins=80).value, abs=1e-9)


def test_wasserstein_of_fixed_bins_is_right_to_the_width_of_a_bin():
    rng = np.random.default_rng(4)
    before, now = rng.lognormal(6, 0.5, 2000), rng.lognormal(6.5, 0.5, 2000)
    exact = wasserstein_distance(before, now).value
    assert wasserstein_distance(add(Histogram(), before), add(Histogram(), now)).value == pytest.approx(exact, rel=0.05)


@SOME
@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=30), st.lists(st.floats(0.0, 100.0), min_size=1, max_size=30))
def test_statistics_are_at_least_zero_and_zero_for_the_same(first, second):
    for statistic in STATISTICS:
        assert statistic(first, second).value >= 0.0
        assert statistic(first, first).value == pytest.approx(0.0, abs=1e-12)
    assert jensen_shannon_divergence(first, second).value <= 1.0
    assert wasserstein_distance(first, second).value == pytest.approx(wasserstein_distance(second, first).value, abs=1e-9)


# Bands


def test_the_band_of_the_index_is_its_known_distribution():
    """Yurdakul & Naranjo (2020): (1/n + 1/m)^-1 PSI is asymptotically chi-square with bins - 1 degrees of freedom."""
    rng = np.random.default_rng(1)
    for n, m, bins in ((2000, 2000, 10), (5000, 1000, 5), (400, 400, 10)):
        found = population_stability_index(rng.random(n), rng.random(m), bins=bins, false_warning_rate=0.05)
        assert found.band_high == pytest.approx(chi2.ppf(0.95, bins - 1) * (1 / n + 1 / m), rel=0.08)  # 2000 replicates


@pytest.mark.parametrize("statistic", STATISTICS)
def test_false_warnings_come_as_often_as_declared(statistic):
    """Of 80 comparisons of windows of 100 of which nothing changed; the known thresholds 0.1 of the index would warn in most."""
    rng = np.random.default_rng(7)
    samples = [(rng.lognormal(6, 0.8, 200), rng.lognormal(6, 0.8, 100)) for _ in range(80)]
    found = [statistic(before, now, false_warning_rate=0.05) for before, now in samples]
    warned = sum(each.state is DriftState.WARNING for each in found)
    assert warned <= binom.ppf(0.999, 80, 0.05)
    if statistic is population_stability_index:
        assert sum(each.value > 0.1 for each in found) > 30


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_change_is_outside_the_band(statistic):
    rng = np.random.default_rng(8)
    found = statistic(rng.lognormal(6, 0.8, 500), rng.lognormal(6.4, 0.8, 300))
    assert found.state is DriftState.WARNING
    assert (found.n_reference, found.n_current, found.false_warning_rate) == (500, 300, 0.01)


def test_hashed_numbers_are_uniform_and_the_same_for_everyone():
    numbers = hashed_uniforms("x", 20_000)
    assert numbers.mean() == pytest.approx(0.5, abs=4 / sqrt(12 * 20_000))
    assert 0.0 < numbers.min() < numbers.max() < 1.0
    assert np.array_equal(hashed_uniforms("x", 10), numbers[:10])
    assert not np.array_equal(hashed_uniforms("y", 10), numbers[:10])
    with pytest.raises(ValueError, match="read-only"):
        numbers[0] = 1.0


@pytest.mark.parametrize("rate", [0.01, 0.5, 3.0, 40.0, 12_345.6])
def test_poisson_counts_are_quantiles(rate):
    uniforms = hashed_uniforms("q", 500)
    assert np.array_equal(poisson_counts(rate, uniforms), poisson.ppf(uniforms, rate))
    assert np.array_equal(poisson_counts(0.0, uniforms), np.zeros(500))


@pytest.mark.parametrize("rate", [0.0, 1.0, 0.9 / (REPLICATES + 1), nan])
def test_a_rate_that_no_replicate_can_show_is_refused(rate):
    for statistic in STATISTICS:
        with pytest.raises(ValueError, match="false_warning_rate"):
            statistic([1.0, 2.0], [1.0, 2.0], false_warning_rate=rate)


def test_a_handful_of_values_has_a_band():
    for statistic in STATISTICS:
        found = statistic([1.0], [2.0])
        assert found.state is DriftState.OK
        assert found.band_high >= found.value > 0.0
    assert band_high(np.array([1]), np.array([1]), lambda p, q: np.abs(p - q)[:, 0], 0.5) >= 0.0


# What is undefined


@pytest.mark.parametrize("statistic", STATISTICS)
def test_empty_windows_are_no_data(statistic):
    for nothing in ([], [None], [nan]):
        assert statistic(nothing, [1.0]).undefined is Undefined.NO_REFERENCE
        assert statistic([1.0], nothing).undefined is Undefined.NO_CURRENT
    assert statistic([], []).undefined is Undefined.NO_REFERENCE
    empty = statistic(Histogram(), Histogram())
    assert (empty.value, empty.n_reference, empty.state) == (None, 0, DriftState.NO_DATA)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_constant_columns_are_compared(statistic):
    assert statistic([3.0] * 50, [3.0] * 50).state is DriftState.OK
    for other in (2.0, 4.0):
        assert statistic([3.0] * 50, [other] * 50).state is DriftState.WARNING


def test_the_textbook_index_is_undefined_with_an_empty_bin():
    found = population_stability_index([1.0] * 10 + [2.0] * 10, [1.0] * 10, bins=2, pseudo_count=0.0)
    assert (found.value, found.undefined, found.state) == (None, Undefined.EMPTY_BIN, DriftState.NO_DATA)
    assert population_stability_index([1.0] * 10 + [2.0] * 10, [1.0] * 10, bins=2).value > 0.0


@pytest.mark.parametrize("statistic", STATISTICS)
def test_what_cannot_be_compared_is_refused(statistic):
    with pytest.raises(ValueError, match="one of reference and current"):
        statistic(Histogram(), [1.0])
    with pytest.raises(ValueError, match="different edges"):
        statistic(Histogram(edges=(1.0,), counts=(1, 1)), Histogram(edges=(2.0,), counts=(1, 1)))
    with pytest.raises(ValueError, match=r"current\[0\]"):
        statistic([1.0], [inf])
    if statistic is not wasserstein_distance:
        with pytest.raises(ValueError, match="bins is"):
            statistic([1.0], [1.0], bins=1)


@pytest.mark.parametrize("pseudo_count", [-1.0, inf, nan])
def test_a_pseudo_count_is_a_count(pseudo_count):
    with pytest.raises(ValueError, match="pseudo_count"):
        population_stability_index([1.0], [1.0], pseudo_count=pseudo_count)


def test_the_name_of_what_drifted_most():
    def seen(value, band_high=0.1, band_low=None):
        return Comparison(value, 10, 10, band_low=band_low, band_high=band_high)

    comparisons = {"a": seen(0.05), "b": seen(0.2), "c": seen(0.9, 0.3), "d": seen(None), "e": seen(0.5, None, 0.7)}
    assert most_drifted(comparisons) == ["c", "b"]
    assert comparisons["e"].state is DriftState.WARNING  # a cosine below its threshold: it has no band to exceed
    assert comparisons["d"].state is DriftState.NO_DATA


def test_series_and_frames_are_columns():
    class Series:
        def tolist(self):
            return [1.0, 2.0, None]

    assert finite(Series(), "x")[1] == 1
    assert wasserstein_distance(Series(), [1.0, 2.0]).value == 0.0
