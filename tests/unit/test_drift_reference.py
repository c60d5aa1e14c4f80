"""Windows of losses, and the bound of the mean of a reference that is drawn from one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tests.unit.loss_streams import coins
from trueloop.drift import LossWindow
from trueloop.drift.loss_window import STEPS, extend, merge
from trueloop.drift.reference import armed_again, bound_of, is_below, reference

SCALED = st.lists(st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 0.75, 1.0]), max_size=60)


@given(SCALED, SCALED, st.randoms(use_true_random=False))
def test_windows_merge_and_order_does_not_matter(first, second, rng):
    mixed = [*first, *second]
    rng.shuffle(mixed)
    merged, whole = merge(extend(LossWindow(), first), extend(LossWindow(), second)), extend(LossWindow(), mixed)
    assert (merged.n, merged.counts) == (whole.n, whole.counts)
    assert merged.total == pytest.approx(whole.total, abs=1e-12)  # sums of at most 120 numbers below 1
    assert sum(whole.counts.values()) == whole.n == len(mixed)
    assert extend(extend(LossWindow(), mixed[:7]), mixed[7:]) == whole


def test_ratings_of_every_usual_scale_lie_on_edges():
    for points in (2, 3, 4, 5, 6, 7, 9, 11, 13):
        for rating in range(points):
            (step,) = extend(LossWindow(), [rating / (points - 1)]).counts
            assert step / STEPS == pytest.approx(rating / (points - 1), abs=1e-12)
    (step,) = extend(LossWindow(), [0.1 + 1e-6]).counts
    assert step / STEPS > 0.1 + 1e-6  # rounded up


def test_a_bound_is_exact_where_it_has_a_closed_form():
    """Without any loss, kl(0, q) = -log(1 - q), so Chernoff's q = 1 - (error / 2)^(1/n): gamblers reach no less on zeros."""
    for n, error in ((20, 0.1), (200, 0.01)):
        assert bound_of(extend(LossWindow(), [0.0] * n), error) == pytest.approx(1 - (error / 2) ** (1 / n), abs=1.1e-6)
    assert bound_of(extend(LossWindow(), [1.0] * 50), 0.1) == 1.0


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60), st.floats(1e-4, 0.5))
def test_a_bound_lies_above_the_mean_and_the_test_agrees_with_it(losses, error):
    window = extend(LossWindow(), losses)
    bound = bound_of(window, error)
    assert window.mean < bound <= 1.0 or window.mean == bound == 1.0
    assert bound <= bound_of(window, error / 10)
    assert bound == 1.0 or is_below(window, bound, error)
    assert not is_below(window, bound - 2e-6, error)


def test_a_bound_of_coins_fails_no_more_often_than_it_says():
    """Exact, by the binomial distribution: no sampling error."""
    for n, truth, error in ((20, 0.05, 0.1), (50, 0.3, 0.1), (200, 0.1, 0.033)):
        windows = [LossWindow(n, float(k), {step: count for step, count in ((0, n - k), (STEPS, k)) if count}) for k in range(n + 1)]
        missed = sum(binom.pmf(k, n, truth) for k, window in enumerate(windows) if bound_of(window, error) < truth)
        assert missed <= error


def test_a_bound_is_narrow_when_losses_scatter_little():
    losses = [0.25, 0.35] * 100
    assert bound_of(extend(LossWindow(), losses), 0.01) < 0.33
    assert bound_of(extend(LossWindow(), coins(1, 0.3, 200)), 0.01) > 0.36


def test_a_bound_is_widened_after_each_alarm():
    window = extend(LossWindow(), coins(1, 0.2, 100))
    known = reference(window, 0.05, number=3, checkpoints=("v1",))
    assert (known.bound, known.number, known.checkpoint, known.n) == (bound_of(window, 0.045), 3, "v1", 100)
    shares, widened = [0.9], known
    for times in range(1, 12):
        before, widened = widened, armed_again(widened)
        assert (widened.armed, widened.bound > before.bound, widened.window) == (times, True, window)
        shares.append(0.1 / 2**times)
        assert widened.bound == bound_of(window, 0.05 * shares[-1])
    assert sum(shares) <= 1.0


@pytest.mark.parametrize(("window", "error"), [(LossWindow(), 0.1), (LossWindow(1, 0.5, {120: 1}), 0.0), (LossWindow(1, 0.5, {120: 1}), 1.0)])
def test_a_bound_needs_losses_and_an_error(window, error):
    with pytest.raises(ValueError, match="the window has"):
        bound_of(window, error)
