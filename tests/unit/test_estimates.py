"""Estimates of a mean against the literature, against slow definitions, and against the laws that they need on a stream."""

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

from tests.unit.sampled_labels import sample
from trueloop.estimates import (
    Fallback,
    SampleMoments,
    Undefined,
    aipw,
    by_slice,
    hajek,
    hajek_of,
    prediction_powered_mean,
    prediction_powered_mean_of,
    sample_moments,
)
from trueloop.estimates.prediction_powered import MIN_CLUSTERS


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
