"""The e-detector against its definition, and the statistic of a column of e-values."""

import importlib
from math import exp, inf, log, nan, prod
from statistics import mean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueloop.drift import Detector, ShiryaevRoberts, shiryaev_roberts, update, update_batch
from trueloop.drift.shiryaev_roberts import BETS, SATURATED, concatenate
from trueloop.drift.shiryaev_roberts import update as bet
from trueloop.rubrics.policy import Drift

LOSSES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=25)


def slow_e(losses, null):
    """The mean over bets of the sum over starting points of the product of e-values: no recursion."""
    return mean(sum(prod(1 + bet * (x / null - 1) for x in losses[start:]) for start in range(len(losses))) for bet in BETS)


@given(LOSSES, st.floats(0.02, 1.0))
def test_every_prefix_equals_the_definition(losses, null):
    state = ShiryaevRoberts()
    assert state.log_e is None
    for end, loss in enumerate(losses, start=1):
        state = bet(state, [loss], null)
        assert state.n == end
        # A dozen roundings per loss, on values that are all positive: nothing cancels.
        assert state.log_e == pytest.approx(log(slow_e(losses[:end], null)), abs=1e-9)


@given(LOSSES, st.integers(0, 25), st.floats(0.02, 1.0))
def test_a_batch_is_its_losses_to_the_last_bit_and_stretches_join(losses, cut, null):
    whole = bet(ShiryaevRoberts(), losses, null)
    assert bet(bet(ShiryaevRoberts(), losses[:cut], null), np.array(losses[cut:]), null) == whole
    joined = concatenate(bet(ShiryaevRoberts(), losses[:cut], null), bet(ShiryaevRoberts(), losses[cut:], null))
    assert joined.n == whole.n
    assert joined.wealth == pytest.approx(whole.wealth, rel=1e-12)  # sums and products of positive numbers in another order


def test_nothing_overflows_and_nothing_is_cut_differently_where_evidence_saturates():
    whole = bet(ShiryaevRoberts(), [1.0] * 3000, 0.01)
    assert 600 < whole.log_e <= log(SATURATED)
    assert bet(bet(ShiryaevRoberts(), [1.0] * 777, 0.01), [1.0] * 2223, 0.01) == whole
    assert bet(whole, [0.0], 0.01).log_e < whole.log_e
    assert concatenate(whole, whole).log_e <= log(SATURATED)
    assert bet(ShiryaevRoberts(), [1.0] * 300, 1e-300).log_e <= log(SATURATED)


def test_an_e_value_is_fair_under_the_null():
    """E = 1 + f (x / m - 1) has mean 1 when the mean loss is m: its two outcomes, weighted, add up to 1."""
    for null in (0.05, 0.3, 0.9):
        for win, lose in zip(bet(ShiryaevRoberts(), [1.0], null).wealth, bet(ShiryaevRoberts(), [0.0], null).wealth, strict=True):
            assert null * win + (1 - null) * lose == pytest.approx(1.0, abs=1e-12)
            assert lose > 0


@pytest.mark.parametrize("loss", [-0.01, 1.01, nan, inf])
def test_a_loss_off_the_scale_is_refused_and_changes_nothing(loss):
    for call in (lambda: update(Detector(), loss, None, Drift()), lambda: bet(ShiryaevRoberts(), [0.5, loss], 0.1)):
        with pytest.raises(ValueError, match="expected a number in"):
            call()
    with pytest.raises(ValueError, match=r"losses\[2\] is"):
        update_batch(Detector(), np.array([0.5, 0.5, loss]), None, Drift())
    with pytest.raises(ValueError, match="one dimension"):
        update_batch(Detector(), np.zeros((2, 2)), None, Drift())


@pytest.mark.parametrize("null", [0.0, -1.0, 1.5, nan])
def test_a_null_mean_off_the_scale_is_refused(null):
    with pytest.raises(ValueError, match="null_mean"):
        bet(ShiryaevRoberts(), [0.5], null)


def test_the_statistic_of_a_column_is_the_recursion():
    assert shiryaev_roberts([]).log_statistic is None
    assert shiryaev_roberts([0.0, 0.0]).log_statistic is None  # R is 0: it has no logarithm
    found = shiryaev_roberts([2.0, 3.0, 0.5], threshold=9.0)
    assert exp(found.log_statistic) == pytest.approx((2.0 * 3.0 + 3.0) * 0.5 + 0.5, abs=1e-12)
    assert (found.n, found.at) == (3, 2)
    assert shiryaev_roberts([2.0], threshold=9.0).at is None
    assert shiryaev_roberts([1e300] * 3).log_statistic <= log(SATURATED)


@pytest.mark.parametrize("bad", [[-1.0], [nan], [inf], [[1.0]]])
def test_e_values_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="e_values"):
        shiryaev_roberts(bad)
    with pytest.raises(ValueError, match="threshold"):
        shiryaev_roberts([1.0], threshold=0.0)


def test_the_module_and_the_function_have_one_name():
    assert importlib.import_module("trueloop.drift.shiryaev_roberts").shiryaev_roberts is shiryaev_roberts
