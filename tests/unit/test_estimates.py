"""Estimates of quality against the literature, against slow definitions, and against the laws that they need on a stream."""

import math
import random
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from trueloop.estimates import (
    Estimate,
    Fallback,
    SampleMoments,
    Undefined,
    aipw,
    by_slice,
    calibration_curve,
    calibration_in_the_large,
    calibration_slope,
    hajek,
    hajek_of,
    partial_pooling,
    pearson_correlation,
    prediction_powered_mean,
    prediction_powered_mean_of,
    sample_moments,
)
from trueloop.estimates.beta import beta_cdf, beta_quantile, binomial_tail, t_quantile
from trueloop.estimates.interval import interval
from trueloop.estimates.partial_pooling import MIN_SLICES
from trueloop.estimates.prediction_powered import MIN_CLUSTERS
from trueloop.gates.intervals import wilson

# Efron & Morris (1977), Scientific American 236(5), table on p. 121: hits in the first 45 times at bat, and the James-Stein estimate.
BASEBALL = [
    ("Clemente", 18, 0.294), ("F. Robinson", 17, 0.289), ("F. Howard", 16, 0.285), ("Johnstone", 15, 0.280), ("Berry", 14, 0.275),
    ("Spencer", 14, 0.275), ("Kessinger", 13, 0.270), ("L. Alvarado", 12, 0.266), ("Santo", 11, 0.261), ("Swoboda", 11, 0.261),
    ("Unser", 10, 0.256), ("Williams", 10, 0.256), ("Scott", 10, 0.256), ("Petrocelli", 10, 0.256), ("E. Rodriguez", 10, 0.256),
    ("Campaneris", 9, 0.252), ("Munson", 8, 0.247), ("Alvis", 7, 0.242),
]  # fmt: skip


def sample(seed, n=400, clusters=None, scale=1.0):
    """Labels that were sampled where the judge saw faults; some scores of the judge are missing."""
    rng = random.Random(seed)
    rows = []
    for _ in range(n):
        quality = rng.betavariate(4, 1)
        judge = min(1.0, max(0.0, quality + rng.gauss(0, 0.1)))
        probability = min(1.0, 0.1 + 0.8 * (1 - judge))
        value = scale * (rng.random() < quality) if rng.random() < probability else None
        rows.append((value, probability, None if rng.random() < 0.05 else judge, rng.randrange(clusters) if clusters else None))
    return [list(column) for column in zip(*rows, strict=True)]


def slow_variance(values, probabilities, predictions, clusters, trust):
    """Variance of labels - trust * gap, from the influence of each unit, one after the other."""
    n = len(values)
    seen = [m for m in predictions if m is not None]
    judge = [sum(seen) / len(seen) if m is None else m for m in predictions]
    weights = [0.0 if y is None else 1 / p for y, p in zip(values, probabilities, strict=True)]
    total = sum(weights)
    labels = sum(w * (y or 0) for w, y in zip(weights, values, strict=True)) / total
    of_labelled = sum(w * m for w, m in zip(weights, judge, strict=True)) / total
    everywhere = sum(judge) / n
    sums = {}
    for row, (w, y, m) in enumerate(zip(weights, values, judge, strict=True)):
        influence = w * ((y or 0) - labels) / total - trust * (w * (m - of_labelled) / total - (m - everywhere) / n)
        cluster = row if clusters is None or clusters[row] is None else f"c{clusters[row]}"
        sums[cluster] = sums.get(cluster, 0) + influence
    labelled = {row if clusters is None or clusters[row] is None else f"c{clusters[row]}" for row, y in enumerate(values) if y is not None}
    return labels - trust * (of_labelled - everywhere), sum(s * s for s in sums.values()) * len(labelled) / (len(labelled) - 1)


@pytest.mark.parametrize("clusters", [None, 40])
def test_value_and_variance_are_those_of_the_definition(clusters):
    values, probabilities, predictions, groups = sample(1, clusters=clusters)
    for trust, estimate in (
        (0.0, hajek(values, probabilities, clusters=groups)),
        (1.0, aipw(values, probabilities, predictions, clusters=groups)),
    ):
        value, variance = slow_variance(values, probabilities, predictions, groups, trust)
        assert estimate.value == pytest.approx(value, rel=1e-12)
        assert estimate.std_error == pytest.approx(math.sqrt(variance), rel=1e-9)  # the moments are of size N, the variance 1 / n


def test_power_tuning_finds_the_least_variance():
    values, probabilities, predictions, groups = sample(2)
    estimate = prediction_powered_mean(values, predictions, probabilities, clusters=groups)
    assert estimate.fallback is None
    at = {
        trust: slow_variance(values, probabilities, predictions, groups, trust)[1] for trust in (estimate.trust, estimate.trust - 0.01, estimate.trust + 0.01)
    }
    assert min(at, key=at.get) == estimate.trust
    assert estimate.std_error == pytest.approx(math.sqrt(at[estimate.trust]), rel=1e-9)
    # The square of the correlation is what the judge takes away.
    assert estimate.std_error / estimate.labels_only.std_error == pytest.approx(math.sqrt(1 - estimate.correlation**2), rel=1e-9)
    assert estimate.labels_only == hajek(values, probabilities, clusters=groups)


def test_hajek_by_hand():
    """y = 1, 0, 1 with p = 1, 1/4, 1: the weights are 1, 4, 1, so 2 / 6; influences (2/3, -4/3, 2/3) / 6, times 3 / 2 for n - 1."""
    estimate = hajek([1, 0, None, 1], [1, 0.25, 0.25, 1])
    assert estimate.value == pytest.approx(1 / 3)
    variance = Fraction(3, 2) * (2 * Fraction(2, 3) ** 2 + Fraction(4, 3) ** 2) / 36
    assert estimate.std_error == pytest.approx(math.sqrt(variance))
    reach = scipy.stats.t.ppf(0.975, 36 / 18 - 1) * math.sqrt(variance)  # Kish: the weights are worth two
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx((1 / 3 - reach, 1 / 3 + reach))


def test_equal_probabilities_give_the_textbook_mean():
    values = [0.2, 0.4, 0.9, 0.7, 0.1]
    estimate = hajek(values, [0.5] * 5)
    assert estimate.value == pytest.approx(np.mean(values))
    assert estimate.std_error == pytest.approx(scipy.stats.sem(values))


def test_ppi_plus_plus_is_that_of_the_paper():
    """Equations 2 and 4 of the paper: n labelled and N other units, theta = mean(Y) + lambda (mean(f of the others) - mean(f of the labelled))."""
    rng = random.Random(3)
    labelled = [(rng.random(), rng.random()) for _ in range(200)]
    labelled = [(y, 0.5 * y + 0.5 * f) for y, f in labelled]
    others = [0.5 * rng.random() + 0.5 * rng.random() for _ in range(800)]
    n, big_n = len(labelled), len(others)
    estimate = prediction_powered_mean([y for y, _ in labelled] + [None] * big_n, [f for _, f in labelled] + others)
    paper = estimate.trust * big_n / (n + big_n)
    y, f = np.array(labelled).T
    assert estimate.value == pytest.approx(y.mean() + paper * (np.mean(others) - f.mean()), rel=1e-12)
    # Theirs is the plug-in of the same optimum with covariance from the labelled ones and variance pooled; ours takes both from influences.
    theirs = np.cov(y, f)[0, 1] / ((1 + n / big_n) * np.var(np.concatenate([f, others])))
    assert paper == pytest.approx(theirs, rel=0.1)
    variance = paper**2 * np.var(others) / big_n + np.var(y - paper * f) / n
    assert estimate.std_error == pytest.approx(math.sqrt(variance), rel=0.03)


def test_a_judge_that_is_right_makes_labels_of_everything():
    truth = [float(unit % 7 > 0) for unit in range(700)]
    labels = [value if unit % 10 < 5 else None for unit, value in enumerate(truth)]
    estimate = prediction_powered_mean(labels, truth)
    assert estimate.trust == pytest.approx(1.0)
    assert estimate.value == pytest.approx(np.mean(truth))
    assert estimate.std_error == pytest.approx(scipy.stats.sem(truth), rel=0.01)


@pytest.mark.parametrize(
    ("judge", "count", "why"),
    [
        (lambda rng, y: rng.random(), 500, Fallback.NOT_EARNED),
        (lambda rng, y: 1 - y + 0.1 * rng.random(), 500, Fallback.NOT_EARNED),
        (lambda rng, y: 0.5, 500, Fallback.NO_PREDICTIONS),
        (lambda rng, y: math.nan, 500, Fallback.NO_PREDICTIONS),
        (lambda rng, y: y, MIN_CLUSTERS - 1, Fallback.TOO_FEW_LABELS),
    ],
    ids=["noise", "upside down", "constant", "missing", "few labels"],
)
def test_a_judge_that_did_not_earn_it_is_left_out_and_the_result_says_so(judge, count, why):
    rng = random.Random(4)
    truth = [float(rng.random() < 0.7) for _ in range(2 * count)]
    predictions = [judge(rng, y) for y in truth]
    labels = [y if unit < count else None for unit, y in enumerate(truth)]
    estimate = prediction_powered_mean(labels, predictions, scale=(0, 1))
    assert (estimate.fallback, estimate.trust) == (why, 0.0)
    plain = hajek(labels, [1.0] * len(labels), scale=(0, 1))
    assert (estimate.value, estimate.ci_low, estimate.ci_high) == (plain.value, plain.ci_low, plain.ci_high)


def test_the_judge_may_speak_on_another_scale():
    values, probabilities, predictions, _ = sample(5)
    plain = prediction_powered_mean(values, predictions, probabilities)
    scaled = prediction_powered_mean(values, [None if m is None else 1 + 9 * m for m in predictions], probabilities)
    assert scaled.value == pytest.approx(plain.value)
    assert scaled.std_error == pytest.approx(plain.std_error)
    assert scaled.trust == pytest.approx(plain.trust / 9)


def test_a_useless_judge_does_not_move_aipw_away_from_the_labels():
    """With a constant prediction, or none, AIPW is Hajek: so a judge that is down costs precision and no bias."""
    values, probabilities, _, _ = sample(6)
    plain = hajek(values, probabilities)
    for judge in ([0.25] * len(values), [math.nan] * len(values)):
        estimate = aipw(values, probabilities, judge)
        assert estimate.value == pytest.approx(plain.value, rel=1e-12)
        assert estimate.std_error == pytest.approx(plain.std_error, rel=1e-9)


def test_scores_that_are_missing_count_as_the_mean_score():
    values, probabilities, predictions, _ = sample(7)
    seen = [m for m in predictions if m is not None]
    assert len(predictions) > len(seen)
    filled = [sum(seen) / len(seen) if m is None else m for m in predictions]
    given, imputed = aipw(values, probabilities, predictions), aipw(values, probabilities, filled)
    assert given.value == pytest.approx(imputed.value, rel=1e-12)
    assert given.std_error == pytest.approx(imputed.std_error, rel=1e-9)


def test_clusters_widen_the_interval_when_units_are_alike():
    rng = random.Random(8)
    values, groups = [], []
    for group in range(40):
        quality = float(rng.random() < 0.6)
        values += [quality] * 10
        groups += [group] * 10
    apart, together = hajek(values, [1.0] * 400), hajek(values, [1.0] * 400, clusters=groups)
    assert (apart.n_clusters, together.n_clusters) == (400, 40)
    # Ten identical units are one: the standard error is that of forty.
    assert together.std_error == pytest.approx(scipy.stats.sem(values[::10]), rel=1e-9)
    assert together.std_error / apart.std_error == pytest.approx(math.sqrt(10 * 399 / 390), rel=1e-6)


MOMENTS = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 4)), st.sampled_from([0.125, 0.25, 0.5, 1.0]), st.one_of(st.none(), st.integers(0, 4)), st.integers(0, 5)),
    min_size=1,
    max_size=30,
)


def moments(rows):
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], []]
    return sample_moments(*columns)


@given(MOMENTS, st.integers(0, 6))
def test_parts_that_share_no_cluster_merge_to_the_whole(rows, cut):
    """Small whole numbers and powers of two: sums are exact, so merge and batch are equal to the last bit."""
    left, right = [row for row in rows if row[3] < cut], [row for row in rows if row[3] >= cut]
    assert moments(left) + moments(right) == moments(rows)
    assert moments(right) + moments(left) == moments(rows)
    assert moments(rows) + SampleMoments() == moments(rows)


@given(MOMENTS, st.randoms(use_true_random=False))
def test_order_does_not_matter(rows, rng):
    shuffled = list(rows)
    rng.shuffle(shuffled)
    assert moments(shuffled) == moments(rows)


def test_order_and_merging_change_no_more_than_rounding():
    values, probabilities, predictions, groups = sample(9, clusters=30)
    rows = list(zip(values, probabilities, predictions, groups, strict=True))
    whole = moments(rows)
    parts = SampleMoments()
    for group in random.Random(1).sample(range(30), 30):
        parts += moments([row for row in rows if row[3] == group])
    for estimate in (hajek_of, prediction_powered_mean_of):
        one, other = estimate(whole), estimate(parts)
        assert one.value == pytest.approx(other.value, rel=1e-12)
        assert one.std_error == pytest.approx(other.std_error, rel=1e-9)
    assert SampleMoments.load(whole.dump()) == whole
    with pytest.raises(ValueError, match="version 9; expected 1"):
        SampleMoments.load(whole.dump().replace("[1,", "[9,", 1))


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


@pytest.mark.parametrize(
    ("values", "probabilities", "said"),
    [
        ([1], [0.0], "unit 0 is labelled, but its probability is 0.0"),
        ([1], [1.5], "probability is 1.5"),
        ([1], [None], "probability is None"),
        ([1], [-0.5], "probability is -0.5"),
        ([1], [5e-324], "probability is 5e-324"),
        ([1, 0], [1.0], "columns differ in length"),
        (["good"], [1.0], r"values\[0\] is a str that is no finite number"),
        ([math.inf], [1.0], r"values\[0\] is a float that is no finite number"),
        ("score", [1.0], "data is not given"),
    ],
)
def test_bad_input_is_named_and_human_text_is_not_quoted(values, probabilities, said):
    with pytest.raises(ValueError, match=said) as caught:
        hajek(values, probabilities)
    assert "good" not in str(caught.value)


def test_a_probability_of_one_is_ordinary():
    assert hajek([0.0, 1.0], [1.0, 1.0]).value == 0.5


def test_data_frames_of_several_kinds():
    rows = {"score": [1.0, None, 0.0, 1.0], "p": [0.5, 0.25, 0.25, 1.0], "judge": [0.9, 0.8, None, 0.7], "who": ["a", "a", None, "b"]}
    frames = [rows, pd.DataFrame(rows), pd.DataFrame(rows).convert_dtypes(), pa.table(rows)]
    found = [aipw("score", "p", "judge", clusters="who", data=frame) for frame in frames]
    assert all(estimate == found[0] for estimate in found)
    assert found[0].n == 3
    assert found[0] == aipw(rows["score"], np.array(rows["p"]), pd.Series(rows["judge"]), clusters=tuple(rows["who"]))
    with pytest.raises(ValueError, match="no column 'scores'"):
        hajek("scores", "p", data=rows)


def test_one_estimate_per_slice():
    rows = {"y": [1.0, 0.0, 1.0, None], "p": [1.0, 1.0, 0.5, 0.5], "locale": ["de", "fr", "de", None]}
    found = by_slice(hajek, "locale", {"values": "y", "probabilities": "p"}, data=rows, scale=(0, 1))
    assert list(found) == ["de", "fr"]
    assert found["de"] == hajek([1.0, 1.0], [1.0, 0.5], scale=(0, 1))
    assert found["fr"].undefined is Undefined.ONE_CLUSTER


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


def test_partial_pooling_is_james_and_steins_on_their_baseball_data():
    mean = sum(hits for _, hits, _ in BASEBALL) / 45 / len(BASEBALL)
    error = math.sqrt(mean * (1 - mean) / 45)
    pooled = partial_pooling({name: Estimate(hits / 45, 45, std_error=error) for name, hits, _ in BASEBALL})
    assert 1 - pooled["Alvis"].shrinkage == pytest.approx(0.212, abs=0.001)  # c, as printed
    for name, _, published in BASEBALL:
        assert pooled[name].value == pytest.approx(published, abs=0.0011)  # they worked with c and the mean rounded to three digits
        assert pooled[name].display_only
        assert pooled[name].ci_high - pooled[name].ci_low < 2 * 1.96 * error


def test_pooling_draws_the_uncertain_further():
    slices = {name: Estimate(value, 50, std_error=error) for name, value, error in (("a", 0.9, 0.02), ("b", 0.5, 0.2), ("c", 0.8, 0.05), ("d", 0.7, 0.05))}
    pooled = partial_pooling(slices)
    assert pooled["b"].shrinkage > pooled["c"].shrinkage > pooled["a"].shrinkage
    assert 0.5 < pooled["b"].value < 0.9


def test_too_little_to_pool_with():
    slices = {name: Estimate(0.5, 10, std_error=0.1) for name in range(MIN_SLICES - 1)} | {"none": Estimate(None, 0, undefined=Undefined.NO_LABELS)}
    pooled = partial_pooling(slices)
    assert {each.value for each in pooled.values()} == {None}
    assert (pooled[0].undefined, pooled["none"].undefined) == (Undefined.TOO_FEW, Undefined.NO_LABELS)
    more = partial_pooling(slices | {name: Estimate(0.4, 10, std_error=0.1) for name in "xy"} | {"sure": Estimate(1.0, 10, std_error=0.0)})
    assert (more["none"].value, more["sure"].value, more["sure"].undefined) == (None, None, Undefined.NO_VARIATION)
    assert more["x"].value is not None


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
