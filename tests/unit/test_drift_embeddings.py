"""Embeddings: random features that everybody computes alike, windows of them that merge exactly, and the two statistics of these."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.stats import binom

from trueloop.drift import EmbeddingWindow, RandomFeatures, Undefined, cosine_losses, cosine_similarity, maximum_mean_discrepancy, reference_window
from trueloop.drift.embedding_window import add, merge, spectrum
from trueloop.drift.random_features import AMPLITUDE, UNIT, directions, transform
from trueloop.events import DriftState

STORED = TypeAdapter(EmbeddingWindow)
SMALL = RandomFeatures(dimensions=16)
MANY = settings(max_examples=30)


def cloud(seed, n, shift=0.0, dimensions=16):
    """Directions around a common one, as of one topic; `shift` turns the common one."""
    rng = np.random.default_rng(seed)
    centre = np.zeros(dimensions)
    centre[0], centre[1] = np.cos(shift), np.sin(shift)
    return (3.0 * centre + rng.normal(size=(n, dimensions))).astype(np.float32)


def exact_kernel(first, second, bandwidth=1.0):
    """The kernel that the features stand for, on unit vectors."""
    first, second = (each / np.linalg.norm(each.astype(float), axis=1, keepdims=True) for each in (first, second))
    return np.exp(-np.square(first[:, None] - second[None]).sum(axis=2) / (2 * bandwidth**2))


def exact_discrepancy(first, second):
    """Gretton et al. (2012), equation 3: the unbiased estimate by all pairs."""
    within = [(kernel.sum() - len(kernel)) / (len(kernel) * (len(kernel) - 1)) for kernel in (exact_kernel(first, first), exact_kernel(second, second))]
    return sum(within) - 2 * exact_kernel(first, second).mean()


def test_features_are_the_same_for_every_worker():
    """Recorded: whoever changes a feature changes the meaning of every stored window, and must give it another version."""
    matrix = np.outer(np.arange(1, 6), np.arange(-8, 8)).astype(np.float32) + np.eye(5, 16, dtype=np.float32)
    found = transform(SMALL, directions(matrix)[0])
    assert found.dtype == np.int64
    assert hashlib.sha256(found.astype("<i8").tobytes()).hexdigest()[:16] == "f759bf6bb5f08981"
    assert not np.array_equal(found, transform(RandomFeatures(dimensions=16, seed="other"), directions(matrix)[0]))


def test_the_inner_product_of_features_is_the_kernel():
    rows, many = cloud(1, 30), RandomFeatures(dimensions=16, frequencies=4000)
    found = transform(many, directions(rows)[0]).astype(float) / (AMPLITUDE * np.sqrt(4000))
    # The deviation of a mean of 4000 cosines is at most 1 / sqrt(8000) = 0.011.
    assert found @ found.T == pytest.approx(exact_kernel(rows, rows), abs=0.06)
    assert np.abs(found @ found.T - exact_kernel(rows, rows)).mean() < 0.012
    assert np.square(found).sum(axis=1) == pytest.approx(np.ones(30), abs=1e-3)


def test_the_bandwidth_is_that_of_the_kernel():
    rows, wide = cloud(2, 20), RandomFeatures(dimensions=16, frequencies=4000, bandwidth=3.0)
    found = transform(wide, directions(rows)[0]).astype(float) / (AMPLITUDE * np.sqrt(4000))
    assert found @ found.T == pytest.approx(exact_kernel(rows, rows, 3.0), abs=0.03)


@MANY
@given(st.integers(0, 1000), st.integers(1, 40), st.lists(st.integers(0, 40), max_size=4), st.randoms(use_true_random=False))
def test_windows_are_the_same_however_cut_ordered_and_merged(seed, n, cuts, rng):
    rows = cloud(seed, n)
    whole = add(reference_window(SMALL), rows)
    cut = reference_window(SMALL)
    for part in np.split(rows, sorted(cut_at for cut_at in cuts if cut_at <= n)):
        cut = add(cut, part)
    order = list(range(n))
    rng.shuffle(order)
    half = n // 2
    merged = merge(add(reference_window(SMALL), rows[order][:half]), add(reference_window(SMALL), rows[order][half:]))
    one_by_one = reference_window(SMALL)
    for row in rows:
        one_by_one = add(one_by_one, row[np.newaxis])
    assert cut == merged == one_by_one == whole
    assert STORED.validate_json(STORED.dump_json(whole)) == whole


def test_rows_without_a_direction_are_counted_and_left_out():
    rows = cloud(3, 6)
    rows[1], rows[2, 3], rows[4, 0] = 0.0, np.nan, np.inf
    window = add(EmbeddingWindow(SMALL), rows)
    assert (window.n, window.missing) == (3, 3)
    assert window == add(add(EmbeddingWindow(SMALL), rows[[1, 2, 4]]), rows[[0, 3, 5]])
    assert add(EmbeddingWindow(SMALL), np.zeros((0, 16), np.float32)).n == 0


def test_length_does_not_matter_and_extremes_do_not_overflow():
    rows = cloud(4, 3)
    for factor in (1e-30, 1e30):
        assert add(EmbeddingWindow(SMALL), (rows * np.float32(factor)).astype(np.float32)).n == 3
    assert np.array_equal(directions(rows)[0], directions(rows * np.float32(4.0))[0])


def test_a_window_stays_small():
    rows = cloud(5, 5000, dimensions=384)
    window = add(EmbeddingWindow(), rows)
    assert len(STORED.dump_json(window)) < 6_000
    assert len(STORED.dump_json(add(reference_window(), rows))) < 40_000


def test_what_is_not_of_the_same_kind_is_refused():
    with pytest.raises(ValueError, match="16 dimensions; these features are for 384"):
        add(EmbeddingWindow(), cloud(1, 2))
    with pytest.raises(ValueError, match="expected a matrix"):
        add(EmbeddingWindow(SMALL), np.zeros(16, np.float32))
    with pytest.raises(ValueError, match="only equal features merge"):
        merge(EmbeddingWindow(SMALL), EmbeddingWindow())
    with pytest.raises(ValueError, match="only equal features compare"):
        maximum_mean_discrepancy(add(reference_window(SMALL), cloud(1, 5)), EmbeddingWindow())
    with pytest.raises(ValueError, match="begin it by reference_window"):
        maximum_mean_discrepancy(add(EmbeddingWindow(SMALL), cloud(1, 5)), cloud(2, 5), features=SMALL)
    with pytest.raises(ValueError, match="is no set of features"):
        RandomFeatures(bandwidth=0.0)
    with pytest.raises(ValueError, match="false_warning_rate"):
        maximum_mean_discrepancy(cloud(1, 5), cloud(2, 5), false_warning_rate=0.0)


# The maximum mean discrepancy


def test_the_discrepancy_is_that_of_the_kernel():
    before, now = cloud(1, 120), cloud(2, 90, shift=0.5)
    found = maximum_mean_discrepancy(before, now, features=RandomFeatures(dimensions=16, frequencies=100))
    # Frequencies differ in what they see: the deviation of their mean is about half the value / sqrt(100).
    assert found.value == pytest.approx(exact_discrepancy(before, now), rel=0.2)
    assert (found.n_reference, found.n_current) == (120, 90)


def test_windows_and_matrices_say_the_same():
    before, now = cloud(1, 50), cloud(2, 70)
    windows = add(reference_window(SMALL), before), add(EmbeddingWindow(SMALL), now)
    assert maximum_mean_discrepancy(*windows) == maximum_mean_discrepancy(before, now, features=SMALL)


def test_the_spectrum_is_that_of_the_covariance():
    rows = cloud(6, 200)
    values = transform(SMALL, directions(rows)[0]).astype(float) / (AMPLITUDE * np.sqrt(SMALL.frequencies))
    assert spectrum(add(reference_window(SMALL), rows)) == pytest.approx(np.linalg.eigvalsh(np.cov(values.T)).clip(0), abs=1e-9)
    assert spectrum(add(EmbeddingWindow(SMALL), rows)) is None
    assert spectrum(add(reference_window(SMALL), rows[:1])) is None


def test_false_warnings_come_as_often_as_declared():
    """Of 200 comparisons in which nothing changed; the mean of the unbiased estimate is 0."""
    found = [maximum_mean_discrepancy(cloud(seed, 150), cloud(seed + 10_000, 80), false_warning_rate=0.05) for seed in range(200)]
    warned = sum(each.state is DriftState.WARNING for each in found)
    assert binom.ppf(0.001, 200, 0.05) <= warned <= binom.ppf(0.999, 200, 0.05)
    values = np.array([each.value for each in found])
    assert abs(values.mean()) < 4 * values.std() / 200**0.5


def test_a_change_of_direction_or_of_spread_is_outside_the_band():
    before = cloud(1, 300)
    assert maximum_mean_discrepancy(before, cloud(2, 200, shift=0.4)).state is DriftState.WARNING
    rng = np.random.default_rng(3)
    tight = before[rng.integers(0, 3, 200)]  # three answers again and again: the mean direction hardly changes
    assert maximum_mean_discrepancy(before, tight).state is DriftState.WARNING
    assert maximum_mean_discrepancy(before, cloud(4, 200)).state is DriftState.OK


@pytest.mark.parametrize("n", [0, 1])
def test_a_discrepancy_needs_two_of_each(n):
    assert maximum_mean_discrepancy(cloud(1, n), cloud(2, 5)).undefined is Undefined.NO_REFERENCE
    assert maximum_mean_discrepancy(cloud(1, 5), cloud(2, n)).undefined is Undefined.NO_CURRENT


def test_the_same_embedding_again_and_again_is_no_drift():
    """A constant reference has a band of 0, and rounding must not cross it."""
    for seed in range(20):
        rows = np.repeat(cloud(seed, 1), 50, axis=0)
        found = maximum_mean_discrepancy(rows, rows[:9])
        assert found.value == pytest.approx(0.0, abs=1e-3)
        assert found.state is DriftState.OK


# The cosine


def test_the_cosine_is_that_of_mean_directions():
    before, now = cloud(1, 300), cloud(2, 200, shift=1.2)
    means = [(each / np.linalg.norm(each, axis=1, keepdims=True)).mean(axis=0) for each in (before, now)]
    expected = means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1])
    windows = add(EmbeddingWindow(SMALL), before), add(EmbeddingWindow(SMALL), now)
    found = cosine_similarity(*windows)
    assert found.value == pytest.approx(expected, abs=1e-3)  # coordinates are rounded to 1 / 1024
    assert (found.state, found.band_low, found.false_warning_rate) == (DriftState.WARNING, 0.7, None)
    assert cosine_similarity(*windows, threshold=0.2).state is DriftState.OK
    assert cosine_similarity(windows[0], windows[0]).value == pytest.approx(1.0, abs=1e-12)


def test_a_mean_without_direction_has_no_cosine():
    east, west = (np.array([[sign] + [0.0] * 15], np.float32) for sign in (1.0, -1.0))
    window = add(EmbeddingWindow(SMALL), east)
    assert cosine_similarity(window, add(window, west)).undefined is Undefined.NO_DIRECTION
    assert cosine_similarity(EmbeddingWindow(SMALL), window).undefined is Undefined.NO_REFERENCE
    assert cosine_similarity(window, EmbeddingWindow(SMALL)).undefined is Undefined.NO_CURRENT
    with pytest.raises(ValueError, match="no direction"):
        cosine_losses(east, add(window, west))
    with pytest.raises(ValueError, match="no direction"):
        cosine_losses(east, EmbeddingWindow(SMALL))
    with pytest.raises(ValueError, match="dimensions"):
        cosine_losses(np.ones((1, 3), np.float32), window)
    with pytest.raises(ValueError, match="dimensions"):
        cosine_similarity(window, EmbeddingWindow())
    with pytest.raises(ValueError, match="threshold"):
        cosine_similarity(window, window, threshold=2.0)


def test_losses_of_embeddings_are_bounded_and_rise_with_the_angle():
    reference = add(EmbeddingWindow(SMALL), cloud(1, 300))
    near, far = (cosine_losses(cloud(2, 200, shift=shift), reference) for shift in (0.0, 1.0))
    assert 0.0 <= near.min() <= near.mean() < far.mean() - 0.05 <= far.max() <= 1.0
    rows = cloud(3, 4)
    rows[2] = np.nan
    assert np.isnan(cosine_losses(rows, reference)).tolist() == [False, False, True, False]
    assert UNIT == 1024
