"""Evidence about bounded values: e-values of two windows, discoveries among many of them, confidence sequences, and how a budget is divided."""

from itertools import pairwise, product
from math import exp, inf, log, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueloop.drift import (
    LossWindow,
    Undefined,
    average_run_length,
    betting_confidence_sequence,
    disagreement,
    e_benjamini_hochberg,
    judge_gap,
    rating_loss,
    two_sample_e_value,
)
from trueloop.drift.betting import POCKET, STAKES, log_wealth_above, log_wealth_below, mixture
from trueloop.drift.loss_window import extend, merge
from trueloop.events import DriftState

COINS = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=30)


# e-BH


def test_e_bh_with_inverse_p_values_is_the_example_of_benjamini_and_hochberg():
    """Fifteen p-values, of which the four smallest are rejected at 0.05 (Benjamini & Hochberg 1995, JRSS B 57, 289-300, section 4.1).

    e >= K / (alpha k) with e = 1 / p is p <= k alpha / K: the same step-up rule.
    """
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    found = e_benjamini_hochberg([-log(p) for p in p_values], fdr=0.05)
    assert (found.rejected, found.n) == ((0, 1, 2, 3), 15)
    assert exp(found.log_threshold) == pytest.approx(15 / (0.05 * 4), rel=1e-12)
    assert e_benjamini_hochberg([-log(p) for p in reversed(p_values)], fdr=0.05).rejected == (11, 12, 13, 14)


@given(st.lists(st.one_of(st.none(), st.floats(-5.0, 10.0)), max_size=8), st.sampled_from([0.05, 0.1, 0.4]))
def test_e_bh_is_the_largest_set_that_supports_itself(values, fdr):
    """Wang & Ramdas 2022: a set of size k is self-consistent when each of its e-values is at least K / (alpha k)."""
    found = e_benjamini_hochberg(values, fdr)
    consistent = [
        {place for place, inside in enumerate(chosen) if inside}
        for chosen in product((False, True), repeat=len(values))
        if all((values[place] or 0.0) >= log(len(values) / (fdr * sum(chosen))) for place, inside in enumerate(chosen) if inside)
    ]
    assert set(found.rejected) == set().union(*consistent)


def test_no_evidence_is_counted_and_never_found():
    assert e_benjamini_hochberg([]).rejected == ()
    assert e_benjamini_hochberg([None, None]) == e_benjamini_hochberg([0.0, 0.0])
    one = log(25.0)
    assert e_benjamini_hochberg([one, None], fdr=0.1).rejected == (0,)
    assert e_benjamini_hochberg([one, None, None], fdr=0.1).rejected == ()  # of three, 30 is needed
    assert e_benjamini_hochberg([-inf, inf], fdr=0.1).rejected == (1,)


@pytest.mark.parametrize(("values", "fdr"), [([nan], 0.1), ([1.0], 0.0), ([1.0], 1.0), ([1.0], nan)])
def test_e_bh_refuses_what_it_cannot_control(values, fdr):
    with pytest.raises(ValueError, match=r"log_e_values holds NaN|fdr is"):
        e_benjamini_hochberg(values, fdr)


# Two windows


def slow_wealth(values, null, stake):
    bet = min(stake / (null * (1 - null)), 1 / null)
    return POCKET + (1 - POCKET) * np.prod([1 + bet * (x - null) for x in values])


def slow_log_e(reference, current, points=501):
    """The minimum over common means of what gamblers have after both windows, by its definition on a grid that covers everything."""
    values = []
    for null in np.linspace(1e-6, 1 - 1e-6, points):
        both = [slow_wealth([1 - y for y in reference], 1 - null, stake) * slow_wealth(current, null, stake) for stake in STAKES]
        values.append(log(np.mean(both)))
    return min(values)


def test_the_e_value_is_the_minimum_of_its_definition():
    for reference, current in (([0.0] * 18 + [1.0] * 2, [0.0] * 8 + [1.0] * 12), ([0.25, 0.5] * 9, [0.75, 0.5] * 9), ([1.0] * 5, [0.0] * 5)):
        slow = slow_log_e(reference, current)
        found = two_sample_e_value(reference, current).value
        assert found <= slow + 1e-9  # never more than the definition gives
        assert found == pytest.approx(slow, abs=0.5) or slow < 0  # where there is nothing to find it may be less


@given(COINS, COINS, st.randoms(use_true_random=False))
def test_order_and_merging_of_windows_do_not_matter_for_the_e_value(reference, current, rng):
    whole = two_sample_e_value(reference, current)
    mixed = current.copy()
    rng.shuffle(mixed)
    halves = merge(extend(LossWindow(), mixed[:7]), extend(LossWindow(), mixed[7:]))
    assert two_sample_e_value(extend(LossWindow(), reference), halves) == whole
    assert two_sample_e_value(reference, current, tolerance=0.1).value <= whole.value


def test_windows_without_losses_have_no_e_value():
    assert two_sample_e_value([], [0.5]).undefined is Undefined.NO_REFERENCE
    assert two_sample_e_value([0.5], []).undefined is Undefined.NO_CURRENT
    assert two_sample_e_value([], []).state is DriftState.NO_DATA
    assert two_sample_e_value([0.3] * 500, [0.3] * 500).value < 0.0
    assert two_sample_e_value([1.0] * 50, [1.0] * 50).value < 0.0
    assert two_sample_e_value([0.0] * 50, [1.0] * 50).state is DriftState.WARNING


@pytest.mark.parametrize("arguments", [{"tolerance": -0.1}, {"tolerance": nan}, {"false_warning_rate": 0.0}, {"false_warning_rate": 1.0}])
def test_an_e_value_needs_scales(arguments):
    with pytest.raises(ValueError, match="tolerance is"):
        two_sample_e_value([0.5], [0.5], **arguments)
    with pytest.raises(ValueError, match=r"losses\[0\]"):
        two_sample_e_value([0.5], [nan])


@given(COINS, st.lists(st.floats(0.01, 0.99), min_size=2, max_size=10, unique=True))
def test_wealth_is_monotone_in_the_null_so_that_a_grid_bounds_it(losses, nulls):
    nulls.sort()
    window = extend(LossWindow(), losses)
    # Who loses everything keeps 1e-16 of it by rounding, which shows beside what is in his pocket when it is then multiplied by 50 a few times.
    assert np.all(np.diff(log_wealth_above(window, nulls), axis=1) <= 1e-6)
    assert np.all(np.diff(log_wealth_below(window, nulls), axis=1) >= -1e-6)


def test_fortunes_have_expectation_one_under_the_null():
    """All 2^8 outcomes of eight coins, weighted by their probability: no sampling error."""
    for share in (0.2, 0.5):
        above = below = 0.0
        for outcome in product((0.0, 1.0), repeat=8):
            weight = np.prod([share if x else 1 - share for x in outcome])
            window = extend(LossWindow(), outcome)
            above += weight * exp(mixture(log_wealth_above(window, (share,)))[0])
            below += weight * exp(mixture(log_wealth_below(window, (share,)))[0])
        assert above == pytest.approx(1.0, abs=1e-9)
        assert below == pytest.approx(1.0, abs=1e-9)


def test_an_e_value_has_expectation_one_at_most_when_nothing_changed():
    """All outcomes of ten coins, five before and five after: the expectation over them is exact."""
    for share in (0.2, 0.5, 0.9):
        expected = 0.0
        for before, after in product(range(6), repeat=2):
            weight = np.prod([share if k < n else 1 - share for n in (before, after) for k in range(5)])
            ways = np.prod([len([1 for c in product((0, 1), repeat=5) if sum(c) == n]) for n in (before, after)])
            windows = [[1.0] * n + [0.0] * (5 - n) for n in (before, after)]
            expected += weight * ways * exp(two_sample_e_value(*windows).value)
        assert expected <= 1.0


# Confidence sequences


def slow_interval(values, confidence, grid):
    """Waudby-Smith & Ramdas (2024), theorem 3, term by term: hedged capital with the bets of equation 26, c = 1/2."""
    error, possible = 1 - confidence, []
    for m in grid:
        up = down = 1.0
        inside, total, squares = True, 0.5, 0.25
        for t, x in enumerate(values, start=1):
            variance = squares / t
            bet = np.sqrt(2 * log(2 / error) / (variance * t * log(t + 1)))
            up *= 1 + (min(bet, 0.5 / m) if m else bet) * (x - m)
            down *= 1 - (min(bet, 0.5 / (1 - m)) if m < 1 else bet) * (x - m)
            inside = inside and max(up / 2, down / 2) < 1 / error
            total += x
            squares += (x - total / (t + 1)) ** 2
        if inside:
            possible.append(m)
    return min(possible), max(possible)


@pytest.mark.parametrize("seed", range(4))
def test_a_confidence_sequence_equals_its_definition(seed):
    rng = np.random.default_rng(seed)
    values = rng.beta(2, 5, 60) if seed % 2 else (rng.random(60) < 0.3).astype(float)
    low, high = slow_interval(values, 0.9, np.linspace(0, 1, 1001))
    found = betting_confidence_sequence(values, 0.9)
    assert found.value == pytest.approx(values.mean(), abs=1e-12)
    assert found.ci_low == pytest.approx(max(0.0, low - 0.001), abs=1e-9)  # rounded outwards by one step of the grid
    assert found.ci_high == pytest.approx(min(1.0, high + 0.001), abs=1e-9)


def test_an_interval_only_narrows_and_mirrors():
    rng = np.random.default_rng(3)
    values = rng.random(300)
    intervals = [betting_confidence_sequence(values[:n]) for n in (10, 50, 120, 300)]
    assert all(a.ci_low <= b.ci_low <= b.ci_high <= a.ci_high for a, b in pairwise(intervals))
    mirrored = betting_confidence_sequence(1.0 - values)
    assert (mirrored.ci_low, mirrored.ci_high) == pytest.approx((1 - intervals[-1].ci_high, 1 - intervals[-1].ci_low), abs=0.0011)  # one step


def test_constant_columns_and_none_have_a_defined_interval():
    for constant in (0.0, 0.5, 1.0):
        found = betting_confidence_sequence([constant] * 200)
        assert found.ci_low <= constant <= found.ci_high
        assert found.ci_high - found.ci_low < 0.1
    nothing = betting_confidence_sequence([])
    assert (nothing.value, nothing.ci_low, nothing.undefined) == (None, None, Undefined.NO_CURRENT)
    changed = betting_confidence_sequence([0.0] * 500 + [1.0] * 2000)
    assert (changed.value, changed.ci_low, changed.undefined) == (0.8, None, Undefined.NOT_CONSTANT)


@pytest.mark.parametrize(("values", "confidence"), [([nan], 0.95), ([1.1], 0.95), ([0.5], 0.0), ([0.5], 1.0)])
def test_a_confidence_sequence_refuses_what_is_off_its_scale(values, confidence):
    with pytest.raises(ValueError, match=r"values\[0\]|confidence is"):
        betting_confidence_sequence(values, confidence)


# Budgets and losses


def test_the_budget_is_divided_by_loss():
    assert average_run_length(2.0, 1_000_000) == 500_000
    for arguments in ((0.0, 10.0), (1.0, 0.0), (nan, 1.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match="expected positive numbers"):
            average_run_length(*arguments)


def test_disagreement_is_what_agreement_lacks():
    """Fleiss 1971, one subject of table 1: six raters in categories 1, 3, 1, 1 agree in 3 of 15 pairs."""
    assert disagreement([0, 1, 1, 1, 2, 3]) == pytest.approx(1 - 3 / 15, abs=1e-12)
    assert disagreement([3, 3, 3]) == 0.0
    assert disagreement([0, 1, 2, 3], [1, 3, 1, 1]) == disagreement([0, 1, 1, 1, 2, 3])
    assert disagreement([0, 1], [1, 0]) is None
    assert disagreement([]) is None


def test_gaps_and_ratings_are_bounded():
    assert judge_gap(0.2, None) is None
    assert rating_loss(1, 1, 5) == 1.0
    assert rating_loss(5, 1, 5) == 0.0
    for call in (
        lambda: judge_gap(nan, 0.5),
        lambda: judge_gap(0.5, 1.5),
        lambda: rating_loss(6, 1, 5),
        lambda: rating_loss(nan, 1, 5),
        lambda: rating_loss(1, 1, 1),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
