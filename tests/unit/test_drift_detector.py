"""The detector of drift: references, warnings, alarms and how they end, releases, storage, and how soon it finds a rise."""

import random
from math import log
from statistics import mean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.stats import binom

from tests.unit.loss_streams import coins
from trueloop.drift import Detector, LossWindow, null_mean, rebase, threshold, update, update_batch
from trueloop.drift.loss_window import extend
from trueloop.drift.reference import bound_of
from trueloop.events import DriftState
from trueloop.rubrics.policy import Drift

STORED = TypeAdapter(Detector)


def run(detector, losses, config, checkpoint=None):
    return update_batch(detector, losses, checkpoint, config)[0]


def delay(detector, losses, config, checkpoint=None):
    """Losses until the first alarm; None when there is none."""
    _, changes = update_batch(detector, losses, checkpoint, config)
    return next((change.count for change in changes if change.detector.state is DriftState.ALARM), None)


CONFIG = Drift(reference_size=100, arl_target=1000.0, tolerance=0.02)


def test_the_reference_becomes_full_exactly_at_its_size():
    losses = coins(1, 0.3, 100)
    before = run(Detector(), losses[:99], CONFIG)
    assert (before.state, before.reference, before.block.n) == (DriftState.NO_DATA, None, 99)
    after = update(before, losses[99], None, CONFIG)
    assert (after.state, after.current.n, after.evidence.log_e) == (DriftState.OK, 0, None)
    assert (after.reference.n, after.reference.number) == (100, 1)
    assert after.reference.mean == pytest.approx(mean(losses), abs=1e-12)  # a sum of a hundred zeros and ones is exact
    # Half of the 100 / 1000 false alarms that a window may cost, and 0.9 of that for its first bound.
    assert after.reference.bound == bound_of(extend(LossWindow(), losses), 0.9 * 0.05)


def test_a_reference_names_the_checkpoints_that_answered_in_it():
    assert run(Detector(), [0.0] * 100, CONFIG, "v1").reference.checkpoint == "v1"
    assert run(Detector(), [0.0] * 100, CONFIG).reference.checkpoint is None
    mixed = run(run(Detector(), [0.0] * 50, CONFIG, "v1"), [0.0] * 50, CONFIG, "v2").reference
    assert (mixed.checkpoint, mixed.checkpoints) == (None, ("v1", "v2"))


def test_threshold_is_the_declared_contract_over_the_share_of_the_e_detector():
    assert threshold(CONFIG) == pytest.approx(log(1000 / 0.5), abs=1e-12)


CUTS = st.lists(st.integers(0, 600), max_size=6)


@settings(max_examples=40)  # each makes 600 single updates
@given(st.integers(0, 10_000), CUTS)
def test_batches_are_single_updates_to_the_last_bit(seed, cuts):
    """Through references, warnings, alarms, recoveries and releases, wherever the batches are cut."""
    losses = [*coins(seed, 0.1, 250), *coins(seed + 1, 0.7, 150), *coins(seed + 2, 0.05, 200)]
    names = ["v1"] * 300 + [None] * 50 + ["v2"] * 250
    single, seen = Detector(), []
    for count, (loss, name) in enumerate(zip(losses, names, strict=True), 1):
        before, single = single, update(single, loss, name, CONFIG)
        if single.state is not before.state or single.reference != before.reference:
            seen.append((count, single))
    batched, found = Detector(), []
    ends = sorted({*cuts, 300, 350, 600})
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        batched, changes = update_batch(batched, np.array(losses[start:end]), names[start] if start < 600 else None, CONFIG)
        found += [(start + change.count, change.detector) for change in changes]
    assert batched == single
    assert found == seen


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


def test_an_empty_batch_is_no_change():
    detector = run(Detector(), [0.0] * 120, CONFIG, "v1")
    assert update_batch(detector, np.array([]), "v2", CONFIG) == (detector, ())


def test_all_good_then_all_bad_is_found_at_once():
    """Null mean 1 - (0.045 / 2)^(1/100) + 0.02 = 0.057; the boldest bet multiplies its wealth by 1 + 0.8 (1/0.057 - 1) = 14 per loss.

    So R is at least 14^n / 6: past 200 for the warning at n = 3 at the latest, past 2000 for the alarm at n = 4, and not before two losses.
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


def test_a_warning_stands_at_a_tenth_of_the_alarm_and_ends_at_a_fiftieth():
    """The e-detector rises and falls with every loss: a warning that ended where it begins would come and go."""
    detector = run(Detector(), coins(10, 0.1, 100), CONFIG)
    seen, kept, state, flicker = set(), 0, DriftState.OK, [0, 0]
    for number in range(250):
        before, naive = state, DriftState.WARNING if detector.evidence.e_detector >= 200 else DriftState.OK
        around = float(detector.evidence.e_detector < 200)  # for a while it goes up and down around the level of a warning
        detector = update(detector, around if number < 100 else float(number >= 200), None, CONFIG)
        e = detector.evidence.e_detector
        ends = 40 if state is DriftState.WARNING else 200
        state = DriftState.ALARM if e >= 2000 else DriftState.WARNING if e >= ends else DriftState.OK
        assert detector.state is state
        seen.add(state)
        kept += state is DriftState.WARNING and e < 200
        flicker[0] += state is not before
        flicker[1] += (DriftState.WARNING if e >= 200 else DriftState.OK) is not naive
        if state is DriftState.ALARM:
            break
    assert seen == {DriftState.OK, DriftState.WARNING, DriftState.ALARM}
    assert kept > 10
    assert flicker[0] == 4  # a warning, its end after many good answers, another one, and the alarm
    assert flicker[1] > 20


def test_evidence_stands_still_during_an_alarm_and_losses_are_counted():
    alarmed = run(Detector(), [0.0] * 100 + [1.0] * 10, CONFIG)
    later = run(alarmed, [1.0] * 30, CONFIG)
    assert (later.state, later.evidence) == (DriftState.ALARM, alarmed.evidence)
    assert later.current.n == alarmed.current.n + 30


def test_an_alarm_lasts_until_a_whole_window_is_no_drift():
    alarmed = run(Detector(), [0.0] * 100 + [1.0] * 10, CONFIG)
    assert alarmed.state is DriftState.ALARM
    detector, changes = update_batch(alarmed, coins(12, 0.5, 1000), None, CONFIG)
    assert (detector.state, changes) == (DriftState.ALARM, ())
    detector, changes = update_batch(alarmed, [0.0] * 200, None, CONFIG)
    assert changes[0].count <= 200  # the rest of a window that saw bad ones, and a whole one
    assert (changes[0].detector.state, changes[0].detector.current.n, changes[0].detector.evidence.log_e) == (DriftState.OK, 0, None)
    assert detector.reference.mean == 0.0
    assert detector.reference.armed == 1
    assert detector.reference.bound > alarmed.reference.bound


def test_losses_from_before_the_alarm_do_not_end_it():
    """60 good answers, then 4 bad ones that alarm: with 36 good ones more their mean is 0.04, below the null mean 0.057, and says nothing."""
    alarmed = run(Detector(), [0.0] * 160 + [1.0] * 4, CONFIG)
    assert (alarmed.state, alarmed.block.n) == (DriftState.ALARM, 0)
    assert run(alarmed, [0.0] * 99, CONFIG).state is DriftState.ALARM
    assert run(alarmed, [0.0] * 100, CONFIG).state is DriftState.OK


def test_a_new_checkpoint_ends_an_alarm_and_keeps_the_reference():
    alarmed = run(Detector(), [0.0] * 100 + [1.0] * 20, CONFIG, "v1")
    assert alarmed.state is DriftState.ALARM
    assert update(alarmed, 1.0, None, CONFIG).state is DriftState.ALARM  # unknown is no change
    released = update(alarmed, 0.0, "v2", CONFIG)
    assert (released.state, released.current.n, released.checkpoint) == (DriftState.OK, 1, "v2")
    assert (released.reference.window, released.reference.checkpoint, released.reference.armed) == (alarmed.reference.window, "v1", 1)
    assert run(released, [1.0] * 20, CONFIG, "v2").state is DriftState.ALARM  # the new one is no better


def test_a_checkpoint_that_becomes_known_is_no_change():
    alarmed = run(Detector(), [0.0] * 100 + [1.0] * 20, CONFIG)
    assert update(alarmed, 1.0, "v1", CONFIG).state is DriftState.ALARM


def test_two_checkpoints_side_by_side_do_not_hide_an_alarm():
    """A canary: answers of both come in turn. What has answered before is no release."""
    detector = run(run(Detector(), [0.0] * 99, CONFIG, "v1"), [0.0] * 1, CONFIG, "v2")
    for count in range(20):
        detector = update(detector, 1.0, ("v1", "v2")[count % 2], CONFIG)
    assert detector.state is DriftState.ALARM
    assert update(detector, 1.0, "v1", CONFIG).state is update(detector, 1.0, "v2", CONFIG).state is DriftState.ALARM


def test_a_rollback_proves_itself_over_a_window():
    alarmed = run(run(Detector(), [0.0] * 100, CONFIG, "v1"), [1.0] * 20, CONFIG, "v2")
    rolled_back = run(alarmed, [0.0] * 60, CONFIG, "v1")
    assert rolled_back.state is DriftState.ALARM
    assert run(rolled_back, [0.0] * 140, CONFIG, "v1").state is DriftState.OK


def test_what_became_better_may_not_fall_back():
    """A series at 0.5 improves to 0.1: the reference follows. Back at 0.5, where it once was, it alarms."""
    detector = run(Detector(), coins(2, 0.5, 300), CONFIG)
    first = detector.reference
    detector = run(detector, coins(3, 0.1, 200), CONFIG, "v2")
    assert detector.reference.mean < 0.2
    assert detector.reference.bound < first.bound
    assert detector.reference.number > 3
    assert detector.reference.checkpoint == "v2"
    assert delay(detector, coins(4, 0.5, 200), CONFIG) is not None


def test_a_worse_window_never_becomes_the_reference():
    detector = run(Detector(), coins(5, 0.2, 100), CONFIG)
    assert run(detector, coins(6, 0.9, 500), CONFIG).reference.window == detector.reference.window


def test_a_release_that_was_accepted_becomes_the_reference_although_it_is_worse():
    detector = run(Detector(), coins(2, 0.1, 150), CONFIG, "v1")
    accepted = rebase(detector)
    assert (accepted.block.n, accepted.reference) == (0, detector.reference)  # nothing from before; the old one stays in force
    after = run(accepted, coins(3, 0.5, 100), CONFIG, "v2")
    assert (after.state, after.reference.checkpoint, after.rebasing) == (DriftState.OK, "v2", False)
    assert after.reference.mean > 0.35
    assert run(after, coins(4, 0.5, 300), CONFIG, "v2").state is not DriftState.ALARM


def test_the_old_reference_stays_in_force_until_the_new_one_is_full():
    accepted = rebase(run(Detector(), [0.0] * 150, CONFIG, "v1"))
    assert delay(accepted, [1.0] * 10, CONFIG, "v2") is not None


def test_a_smaller_window_in_a_new_policy_closes_what_is_already_full():
    detector = run(Detector(), [0.0] * 80, CONFIG)
    smaller = Drift(reference_size=50, arl_target=1000.0)
    assert update(detector, 0.0, None, smaller).reference.n == 81


@pytest.mark.parametrize("cut", [1, 99, 100, 101, 150, 260])
def test_state_survives_storage_in_the_middle_of_a_stream(cut):
    losses = coins(7, 0.1, 150) + coins(8, 0.6, 150)
    stored = STORED.validate_json(STORED.dump_json(run(Detector(), losses[:cut], CONFIG, "v1")))
    assert run(stored, losses[cut:], CONFIG, "v2") == run(run(Detector(), losses[:cut], CONFIG, "v1"), losses[cut:], CONFIG, "v2")


def test_state_stays_small():
    assert len(STORED.dump_json(run(Detector(), coins(9, 0.3, 5000), CONFIG, "v1"))) < 900
    rng = random.Random(1)
    fine = run(Detector(), [rng.random() for _ in range(5000)], Drift(reference_size=1000), "v1")
    assert len(STORED.dump_json(fine)) < 5000  # two histograms of 241 bins, when losses take every value


def test_a_real_rise_is_found_soon():
    """From 0.1 to 0.4 against a null mean near 0.2. Kelly's growth there is kl(0.4, 0.2) = 0.1 nats per loss, and log(20 000) / 0.1 = 99."""
    config = Drift(reference_size=200)
    delays = [delay(run(Detector(), coins(seed, 0.1, 400), config), coins(1000 + seed, 0.4, 600), config) for seed in range(20)]
    assert 30 < mean(delays) < 150


def test_a_rise_of_losses_that_scatter_little_is_found_sooner_than_one_of_coins():
    """0.3 to 0.4 with a deviation of 0.06: within the bound of coins, far outside that of gamblers."""
    rng = random.Random(5)
    config = Drift(reference_size=200)
    before, after = ([min(1.0, max(0.0, rng.gauss(centre, 0.06))) for _ in range(300)] for centre in (0.3, 0.4))
    assert delay(run(Detector(), before, config), after, config) < 150
    assert delay(run(Detector(), coins(1, 0.3, 300), config), coins(2, 0.4, 300), config) is None


def test_stationary_coins_alarm_no_more_often_than_the_contract_allows():
    """After t losses t / A false alarms are expected at most. Poisson's law bounds rare events of many series."""
    config, length, series = Drift(reference_size=100, arl_target=2000.0, tolerance=0.0), 500, 60
    alarms = sum(
        change.detector.state is DriftState.ALARM for seed in range(series) for change in update_batch(Detector(), coins(seed, 0.3, length), None, config)[1]
    )
    assert alarms <= binom.ppf(0.999, series, length / 2000.0)
