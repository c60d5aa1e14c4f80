"""The e-detector against its definition, its contract by simulation, and the detector built on it."""

import random
from math import exp, inf, log, nan, prod
from statistics import mean, stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.stats import binom

from trueloop.drift import Detector, ShiryaevRoberts, null_mean, shiryaev_roberts, threshold, update, upper_bound
from trueloop.events import DriftState
from trueloop.rubrics.policy import Drift

STORED = TypeAdapter(Detector)
LOSSES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=25)


def slow_e(losses, null):
    """The mean over bets of the sum over starting points of the product of e-values: no recursion, no logarithms."""
    return mean(sum(prod(1 + bet * (x / null - 1) for x in losses[start:]) for start in range(len(losses))) for bet in shiryaev_roberts.BETS)


def coins(seed, share):
    rng = random.Random(seed)
    while True:
        yield float(rng.random() < share)


def run(detector, losses, config, checkpoint=None):
    for loss in losses:
        detector = update(detector, loss, checkpoint, config)
    return detector


def take(stream, count):
    return [next(stream) for _ in range(count)]


def run_length(stream, config, limit):
    """Losses after the first reference until the first alarm, `limit` when there is none before."""
    detector = run(Detector(), take(stream, config.reference_size), config)
    for count in range(1, limit + 1):
        detector = update(detector, next(stream), None, config)
        if detector.state is DriftState.ALARM:
            return count
    return limit


@settings(deadline=None)  # a busy machine is no failure
@given(LOSSES, st.floats(0.02, 1.0))
def test_every_prefix_equals_the_definition(losses, null):
    state = ShiryaevRoberts()
    assert state.log_e is None
    for end, loss in enumerate(losses, start=1):
        state = shiryaev_roberts.update(state, loss, null)
        assert state.n == end
        # A dozen roundings per loss, on values that are all positive: nothing cancels.
        assert state.log_e == pytest.approx(log(slow_e(losses[:end], null)), abs=1e-9)


def test_nothing_overflows_on_a_long_stream_of_losses():
    state = ShiryaevRoberts()
    for _ in range(3000):
        state = shiryaev_roberts.update(state, 1.0, 0.01)
    assert 1000 < state.log_e < inf  # e to that power is no float


def test_an_e_value_is_fair_under_the_null():
    """E = 1 + f (x / m - 1) has mean 1 when the mean loss is m: its two outcomes, weighted, add up to 1."""
    for null in (0.05, 0.3, 0.9):
        for index in range(len(shiryaev_roberts.BETS)):
            win = exp(shiryaev_roberts.update(ShiryaevRoberts(), 1.0, null).log_wealth[index])
            lose = exp(shiryaev_roberts.update(ShiryaevRoberts(), 0.0, null).log_wealth[index])
            assert null * win + (1 - null) * lose == pytest.approx(1.0, abs=1e-12)
            assert lose > 0


def test_upper_bound_is_exact_where_it_has_a_closed_form():
    """Without any loss, kl(0, q) = -log(1 - q), so q = 1 - error^(1/n)."""
    for n, error in ((1, 0.5), (20, 0.1), (200, 0.01)):
        assert upper_bound(0.0, n, error) == pytest.approx(1 - error ** (1 / n), abs=1e-12)
    assert upper_bound(1.0, 50, 0.1) == 1.0
    assert 0.1 < upper_bound(0.1, 10_000, 0.1) < upper_bound(0.1, 200, 0.1) < upper_bound(0.1, 200, 0.01) < 1.0


def test_upper_bound_fails_no_more_often_than_it_says():
    """Exact, by the binomial distribution: no sampling error."""
    for n, truth, error in ((20, 0.05, 0.1), (50, 0.3, 0.1), (200, 0.1, 0.033)):
        missed = sum(binom.pmf(k, n, truth) for k in range(n + 1) if upper_bound(k / n, n, error) < truth)
        assert missed <= error


@pytest.mark.parametrize("arguments", [(-0.1, 10, 0.1), (nan, 10, 0.1), (0.1, 0, 0.1), (0.1, 10, 0.0), (0.1, 10, 1.0)])
def test_upper_bound_refuses_what_it_cannot_bound(arguments):
    with pytest.raises(ValueError, match="mean, n, error are"):
        upper_bound(*arguments)


@pytest.mark.parametrize("loss", [-0.01, 1.01, nan, inf])
def test_a_loss_off_the_scale_is_refused(loss):
    with pytest.raises(ValueError, match="expected a number in"):
        update(Detector(), loss, None, Drift())
    with pytest.raises(ValueError, match="expected a number in"):
        shiryaev_roberts.update(ShiryaevRoberts(), loss, 0.1)


@pytest.mark.parametrize("null", [0.0, -1.0, 1.5, nan])
def test_a_null_mean_off_the_scale_is_refused(null):
    with pytest.raises(ValueError, match="null_mean"):
        shiryaev_roberts.update(ShiryaevRoberts(), 0.5, null)


CONFIG = Drift(reference_size=100, arl_target=1000.0, tolerance=0.02)


def test_the_reference_becomes_full_exactly_at_its_size():
    losses = take(coins(1, 0.3), 100)
    before = run(Detector(), losses[:99], CONFIG)
    assert (before.state, before.reference, before.block.n) == (DriftState.NO_DATA, None, 99)
    after = update(before, losses[99], None, CONFIG)
    assert (after.state, after.current.n, after.evidence.log_e) == (DriftState.OK, 0, None)
    assert after.reference.n == 100
    assert after.reference.mean == pytest.approx(mean(losses), abs=1e-12)  # a sum of a hundred zeros and ones is exact
    assert after.reference.bound == upper_bound(after.reference.mean, 100, 0.2 / 2)


def test_threshold_is_the_declared_contract_over_the_share_of_bounds_that_hold():
    assert threshold(CONFIG) == pytest.approx(log(1000 / 0.8), abs=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.25, 0.5, 0.999, 1.0])
def test_constant_losses_never_alarm(constant):
    detector = run(Detector(), [constant] * 1500, CONFIG)
    assert detector.state is DriftState.OK
    assert detector.current.mean == pytest.approx(constant, abs=1e-9)
    assert 0.0 <= detector.current.mean <= 1.0


def test_nothing_can_be_worse_than_a_reference_of_only_losses():
    detector = run(Detector(), [1.0] * 100, CONFIG)
    assert null_mean(detector.reference, CONFIG) == 1.0
    assert run(detector, [1.0] * 1000, CONFIG).state is DriftState.OK


def test_all_good_then_all_bad_is_found_at_once():
    """Null mean 1 - 0.1^(1/100) + 0.02 = 0.043; the boldest bet multiplies its wealth by 1 + 0.8 (1/0.043 - 1) = 19 per loss.

    So R is at least 19^n / 6: past 125 for the warning at n = 3 at the latest, past 1250 for the alarm at n = 4, and not before two losses.
    """
    detector = run(Detector(), [0.0] * 100, CONFIG)
    states = []
    for _ in range(4):
        detector = update(detector, 1.0, None, CONFIG)
        states.append(detector.state)
    assert states[0] is DriftState.OK
    assert states[1] is not DriftState.ALARM
    assert states[2] in (DriftState.WARNING, DriftState.ALARM)
    assert states[3] is DriftState.ALARM


def test_a_warning_stands_at_a_tenth_of_the_alarm():
    detector = run(Detector(), take(coins(10, 0.1), 100), CONFIG)
    stream, seen = coins(11, 0.35), set()
    while detector.state is not DriftState.ALARM:
        detector = update(detector, next(stream), None, CONFIG)
        e = exp(detector.evidence.log_e)
        expected = DriftState.ALARM if e >= 1250 else DriftState.WARNING if e >= 125 else DriftState.OK
        assert detector.state is expected
        seen.add(expected)
    assert seen == {DriftState.OK, DriftState.WARNING, DriftState.ALARM}


def test_an_alarm_lasts_until_a_whole_block_is_no_drift():
    alarmed = run(Detector(), [0.0] * 100 + [1.0] * 10, CONFIG)
    assert alarmed.state is DriftState.ALARM
    detector = alarmed
    for loss in take(coins(12, 0.5), 1000):
        detector = update(detector, loss, None, CONFIG)
        assert detector.state is DriftState.ALARM
    detector, count = alarmed, 0
    while detector.state is DriftState.ALARM:
        detector = update(detector, 0.0, None, CONFIG)
        count += 1
        assert count <= 200  # the rest of a block that saw bad ones, and a whole one
    assert (detector.state, detector.current.n, detector.evidence.log_e) == (DriftState.OK, 0, None)  # the next contract starts from nothing
    assert detector.reference.mean == 0.0


def test_losses_from_before_the_alarm_do_not_end_it():
    """60 good answers, then 3 bad ones that alarm: with 37 good ones more their mean is 0.03, below the null mean 0.043, and says nothing."""
    alarmed = run(Detector(), [0.0] * 160 + [1.0] * 3, CONFIG)
    assert alarmed.state is DriftState.ALARM
    assert run(alarmed, [0.0] * 99, CONFIG).state is DriftState.ALARM
    assert run(alarmed, [0.0] * 100, CONFIG).state is DriftState.OK


def test_a_known_new_checkpoint_ends_an_alarm_and_keeps_the_reference():
    alarmed = run(run(Detector(), [0.0] * 100, CONFIG, "v1"), [1.0] * 20, CONFIG, "v1")
    assert alarmed.state is DriftState.ALARM
    assert update(alarmed, 1.0, None, CONFIG).state is DriftState.ALARM  # unknown is no change
    released = update(alarmed, 0.0, "v2", CONFIG)
    assert (released.state, released.current.n, released.checkpoint) == (DriftState.OK, 1, "v2")
    assert released.reference == alarmed.reference
    assert run(released, [1.0] * 20, CONFIG, "v2").state is DriftState.ALARM  # the new one is no better


def test_a_checkpoint_that_becomes_known_is_no_change():
    alarmed = run(Detector(), [0.0] * 100 + [1.0] * 20, CONFIG)
    assert update(alarmed, 1.0, "v1", CONFIG).state is DriftState.ALARM


def test_what_became_better_may_not_fall_back():
    """A series at 0.5 improves to 0.1: the reference follows. Back at 0.5, where it once was, it alarms."""
    detector = run(Detector(), take(coins(2, 0.5), 300), CONFIG)
    first = detector.reference
    detector = run(detector, take(coins(3, 0.1), 200), CONFIG)
    assert detector.reference.mean < 0.2
    assert detector.reference.bound < first.bound
    assert (detector.state, detector.current.n) == (DriftState.OK, 0)
    assert run(detector, take(coins(4, 0.5), 200), CONFIG).state is DriftState.ALARM


def test_a_worse_block_never_becomes_the_reference():
    detector = run(Detector(), take(coins(5, 0.2), 100), CONFIG)
    assert run(detector, take(coins(6, 0.9), 500), CONFIG).reference == detector.reference


@pytest.mark.parametrize("cut", [1, 99, 100, 101, 150, 260])
def test_state_survives_storage_in_the_middle_of_a_stream(cut):
    losses = take(coins(7, 0.1), 150) + take(coins(8, 0.6), 150)
    stored = STORED.validate_json(STORED.dump_json(run(Detector(), losses[:cut], CONFIG)))
    assert run(stored, losses[cut:], CONFIG) == run(Detector(), losses, CONFIG)


def test_state_stays_small():
    assert len(STORED.dump_json(run(Detector(), take(coins(9, 0.3), 5000), CONFIG))) < 700


def test_a_real_rise_is_found_soon():
    """From 0.1 to 0.4 against a null mean near 0.18. Kelly's growth there is kl(0.4, 0.18) = 0.13 nats per loss, and log(12 500) / 0.13 = 73."""
    config = Drift()
    delays = []
    for seed in range(20):
        detector = run(Detector(), take(coins(seed, 0.1), 400), config)
        stream = coins(1000 + seed, 0.4)
        delay = 0
        while detector.state is not DriftState.ALARM:
            detector = update(detector, next(stream), None, config)
            delay += 1
            assert delay < 600
        delays.append(delay)
    assert 30 < mean(delays) < 110


def test_stationary_coins_alarm_no_more_often_than_the_contract_allows():
    """By time t an alarm has at most probability t / A + error of the first bound: Ville's argument, and the contract of the bound."""
    config, length, streams = Drift(reference_size=100, arl_target=10_000.0, tolerance=0.0), 400, 60
    alarms = sum(run_length(coins(seed, 0.3), config, length) < length for seed in range(streams))
    allowed = length / (10_000.0 / 0.8) + 0.1
    assert alarms <= binom.ppf(0.999, streams, allowed)


@pytest.mark.long
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_average_run_length_keeps_its_target_with_an_estimated_reference(share):
    """No tolerance, so that only the bound of the reference stands between noise and alarm. Cutting a run only lowers its length."""
    config, runs = Drift(reference_size=100, arl_target=500.0, tolerance=0.0), 300
    lengths = [run_length(coins(seed, share), config, 10_000) for seed in range(runs)]
    print(f"share {share}: average run length {mean(lengths):.0f}, cut at 10000, target 500")
    assert mean(lengths) - 3 * stdev(lengths) / runs**0.5 > 500.0


@pytest.mark.long
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_average_run_length_of_the_e_detector_at_the_edge_of_the_null(share):
    """The mean loss is the null mean, known exactly: the contract is tight here, so that a wrong recursion would show on either side."""
    target, lengths = 500.0, []
    for seed in range(400):
        stream, state = coins(seed, share), ShiryaevRoberts()
        while state.n < 20_000 and (state.log_e is None or state.log_e < log(target)):
            state = shiryaev_roberts.update(state, next(stream), share)
        lengths.append(state.n)
    error = stdev(lengths) / len(lengths) ** 0.5
    print(f"share {share}: average run length {mean(lengths):.0f} +- {error:.0f}, target 500")
    assert mean(lengths) + 3 * error > target
    assert mean(lengths) < 2 * target
