"""What a signal of drift says: the detector's word, its evidence, its reference and the e-value of its window."""

from datetime import timedelta

import numpy as np
import pytest

from tests.factories import START
from tests.processors.drift_scenario import CONFIG, GOOD_THEN_BAD, driver, feed, governance, observation, several, states
from trueloop.drift import Detector, LossWindow, null_mean, update
from trueloop.drift.betting import log_wealth_above, mixture
from trueloop.drift.loss_window import extend
from trueloop.events import DriftState
from trueloop.processors.drift import EVIDENCE_SPAN, MAX_EVIDENCE, PROCESSOR
from trueloop.processors.processor import Context, Source
from trueloop.testing import ProcessorDriver
from trueloop.topics import DRIFT_OBSERVATIONS

SEED = 20261121


def test_it_signals_when_the_reference_is_full_and_when_the_state_changes():
    drive = driver()
    feed(drive, GOOD_THEN_BAD)
    full, *_, alarm = drive.out
    assert (full.state, full.n_reference, full.reference_mean, full.log_e_value, full.n_current) == (DriftState.OK, 20, 0.0, None, 0)
    assert (alarm.state, alarm.checkpoint, alarm.detector) == (DriftState.ALARM, "v1", "shiryaev-roberts-betting")
    assert alarm.log_e_value >= alarm.threshold > 6
    assert alarm.arl_target == 1000.0
    assert alarm.current_mean == 1.0
    assert alarm.evidence_trace_ids == [f"trace-{19 + n}" for n in range(alarm.n_current, 0, -1)]  # newest first among equals
    assert states(drive) == [DriftState.OK, DriftState.WARNING, DriftState.ALARM]
    assert drive.outcomes == {"observed": 28}


def test_it_says_what_the_detector_says():
    drive = driver()
    losses = [0.1, 0.4] * 10 + [0.9, 0.3] * 40
    feed(drive, losses)
    detector = Detector()
    for loss in losses:
        detector = update(detector, loss, "v1", CONFIG)
    assert drive.state("series-1").detector == detector
    last = drive.out[-1]
    assert (last.n_current, last.current_mean, last.log_e_value) == (80, detector.current.mean, detector.evidence.log_e)
    assert last.state is detector.state


def test_every_fiftieth_observation_signals_and_every_full_window():
    drive = driver()
    feed(drive, [0.5] * 200)
    assert [signal.n_observed for signal in drive.out] == [20, 40, 50, 60, 80, 100, 120, 140, 150, 160, 180, 200]
    assert [signal.n_current for signal in drive.out] == [signal.n_observed - 20 for signal in drive.out]
    assert [signal.n_window for signal in drive.out] == [0] + [20] * 11
    assert all(signal.log_e_window < 0 for signal in drive.out[1:])
    assert len({signal.event_id for signal in drive.out}) == 12


def test_before_the_reference_is_full_it_has_no_data():
    drive = driver()
    feed(drive, [0.5] * 19)
    assert drive.out == []
    assert drive.state("series-1").detector.state is DriftState.NO_DATA


def test_another_checkpoint_ends_the_alarm_and_says_so():
    drive = driver()
    feed(drive, GOOD_THEN_BAD)
    drive.send(observation(28, 0.0, checkpoint="v2"))
    assert (drive.out[-1].state, drive.out[-1].checkpoint, drive.out[-1].n_current) == (DriftState.OK, "v2", 1)
    assert drive.out[-1].evidence_trace_ids == []  # of the checkpoint before


def test_evidence_is_the_newest_of_the_largest_losses():
    drive = driver()
    feed(drive, [0.2] * 20)
    feed(drive, [0.9] + [0.6] * 29, start=20)
    shown = drive.out[-1].evidence_trace_ids
    assert len(shown) == MAX_EVIDENCE
    assert shown[0] == "trace-20"
    assert shown[1:] == [f"trace-{n}" for n in range(49, 30, -1)]


def test_small_losses_are_no_evidence_and_old_ones_expire():
    drive = driver()
    feed(drive, [0.2] * 20 + [1.0] + [0.2] * (EVIDENCE_SPAN - 1))
    assert [each.trace_id for each in drive.state("series-1").evidence] == ["trace-20"]
    drive.send(observation(10_000, 0.2))
    assert drive.state("series-1").evidence == ()


def test_ids_of_signals_depend_on_the_evidence_only():
    first, second = driver(), driver()
    feed(first, GOOD_THEN_BAD)
    for number, loss in enumerate(GOOD_THEN_BAD):
        second.send(observation(number, loss), source=Source(DRIFT_OBSERVATIONS.name, 3, 1000 + 2 * number))
    assert [signal.event_id for signal in second.out] == [signal.event_id for signal in first.out]


def test_each_item_has_the_checkpoint_that_answered_it():
    drive = driver()
    feed(drive, GOOD_THEN_BAD)
    drive.send(several([(28, 1.0), (29, 0.0), (30, 0.0)], checkpoints=["v1", "v2"], checkpoint_of=np.array([0, -1, 1]).tobytes()))
    assert (drive.out[-1].state, drive.out[-1].checkpoint, drive.out[-1].n_current) == (DriftState.OK, "v2", 1)


def test_the_reference_is_named_by_its_number_checkpoints_and_time():
    drive = driver()
    feed(drive, [0.5] * 20 + [0.0] * 20)  # better, so it becomes the reference
    first, *_, second = drive.out
    assert (first.reference_number, first.reference_checkpoints, first.n_reference) == (1, ["v1"], 20)
    assert (first.reference_from, first.reference_to) == (START, START + timedelta(seconds=19))
    assert (second.reference_number, second.reference_mean) == (2, 0.0)
    assert (second.reference_from, second.reference_to) == (START + timedelta(seconds=20), START + timedelta(seconds=39))


def test_the_time_of_a_reference_is_that_of_its_batches():
    drive = driver()
    drive.send(several(list(enumerate([0.5] * 5))))
    drive.send(several(list(enumerate([0.5] * 25))[5:]))
    drive.send(several([(number, 0.0) for number in range(30, 60)]))
    signals = {signal.reference_number: signal for signal in drive.out}
    assert (signals[1].reference_from, signals[1].reference_to) == (START + timedelta(seconds=4), START + timedelta(seconds=24))
    assert (signals[2].reference_from, signals[2].reference_to) == (START + timedelta(seconds=24), START + timedelta(seconds=59))


@pytest.mark.parametrize(("on_release", "expected"), [("keep", (["v1"], 0.0, DriftState.ALARM)), ("restart", (["v2"], 1.0, DriftState.OK))])
def test_the_policy_says_whether_a_release_is_the_standard(on_release, expected):
    """By default the reference says what users were used to; or else the next full window is the reference, and an alarm may come until then."""
    drive = ProcessorDriver(PROCESSOR, Context(governance(on_release=on_release)))
    feed(drive, [0.0] * 30)
    feed(drive, [1.0] * 60, start=30, checkpoint="v2")
    assert DriftState.ALARM in states(drive)
    last = drive.out[-1]
    assert (last.reference_checkpoints, last.reference_mean, last.state) == expected


def test_the_e_value_of_a_window_is_that_of_the_gamblers_against_the_reference():
    drive = driver()
    feed(drive, [0.0] * 20 + [0.0, 1.0] * 10 + [0.0] * 20)
    _, drifted, _, quiet = drive.out  # the reference, a window, the fiftieth, a window
    null = null_mean(drive.state("series-1").detector.reference, CONFIG)
    expected = float(mixture(log_wealth_above(extend(LossWindow(), [0.0, 1.0] * 10), (null,)))[0])
    assert (drifted.n_observed, drifted.log_e_window) == (40, expected)
    assert expected > 1
    assert quiet.log_e_window < 0


def test_the_e_values_of_windows_of_series_that_do_not_drift_are_one_at_most_in_the_mean():
    """What e-BH asks of them; and of series that do drift they are large enough for it: 200 series, a seed, coins of 0.2 that become 0.5."""
    rng = np.random.default_rng(SEED)
    context = Context(governance(reference_size=100))
    quiet, drifted = [], []
    for number in range(200):
        drive = ProcessorDriver(PROCESSOR, context)
        losses = (rng.random(300) < np.repeat([0.2, 0.2, 0.5], 100)).astype(float)
        for start in range(0, 300, 100):
            drive.send(several(list(enumerate(losses))[start : start + 100], series_id=f"series-{number}", worst=[]))
        before, after = (signal for signal in drive.out if signal.n_observed in (200, 300))
        quiet.append(1.0 if before.log_e_window is None else np.exp(before.log_e_window))  # none of a window that has just become the reference
        drifted.append(after.log_e_window)
    assert np.mean(quiet) <= 1.0
    assert np.median(drifted) > np.log(20)
