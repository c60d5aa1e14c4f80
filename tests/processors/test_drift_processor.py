"""The drift processor: which observations count, when it signals, and what redelivery and restarts leave alone."""

from datetime import timedelta

import numpy as np
import pytest

from tests.factories import START, example
from trueloop.adapters.faust_batch.batch import MAX_STEP_RECORDS
from trueloop.drift import Detector, LossWindow, null_mean, update
from trueloop.drift.betting import log_wealth_above, mixture
from trueloop.drift.loss_window import extend
from trueloop.events import DriftObservations, DriftState, PolicyPublished, RubricPublished
from trueloop.processors.drift import EVIDENCE_SPAN, MAX_EVIDENCE, PROCESSOR, REMEMBERED_UNORDERED
from trueloop.processors.processor import Context, Source
from trueloop.rubrics import Governance
from trueloop.rubrics.policy import Drift, Policy
from trueloop.rubrics.rubric import Rubric
from trueloop.testing import ProcessorDriver
from trueloop.topics import DRIFT_OBSERVATIONS, KEYED

SEED = 20261121
CONFIG = Drift(reference_size=20, arl_target=1000.0, tolerance=0.02)


def governance(applications=("billing-support",), **changes):
    rubric = Rubric.model_validate(
        {
            "id": "billing",
            "version": 2,
            "title": "Billing",
            "statement": "Answer well.",
            "dimensions": [{"name": "tone", "description": "Kind.", "scale": {"min": 1, "max": 5}}],
        }
    )
    policy = Policy.model_validate(
        {
            "id": "billing-policy",
            "version": 1,
            "application": "billing-support",
            "rubric": {"id": "billing", "version": 2},
            "sampling": {"rate": 1.0},
            "drift": CONFIG.model_dump() | changes,
            "gate": {"dimensions": [{"dimension": "tone", "evaluator": "check:tone"}]},
        }
    )
    document = policy.model_dump_json()
    policies = [
        example(PolicyPublished, event_id=name, application=name, policy_id="billing-policy", version=1, content_hash="policy-hash", document=document)
        for name in applications
    ]
    return Governance(
        [example(RubricPublished, rubric_id="billing", version=2, document=rubric.model_dump_json(), application=name) for name in applications], policies
    )


GOVERNANCE = governance()


def driver():
    return ProcessorDriver(PROCESSOR, Context(GOVERNANCE))


def observation(number, loss, checkpoint="v1", **changes):
    return several([(number, loss)], checkpoint=checkpoint, **changes)


def several(items, checkpoint="v1", source=None, **changes):
    """Observations of traces by number, in one event; with a source, their numbers are their offsets there."""
    worst = sorted(((loss, -place) for place, (_, loss) in enumerate(items) if loss > 0), reverse=True)[:20]
    fields = {
        "event_id": f"observations-{items[0][0]}-{items[-1][0]}",
        "occurred_at": START + timedelta(seconds=items[-1][0]),
        "series_id": "series-1",
        "losses": np.array([loss for _, loss in items]).tobytes(),
        "marks": np.array([number for number, _ in items]).tobytes(),
        "source": source,
        "offsets": np.array([number for number, _ in items]).tobytes() if source else b"",
        "checkpoints": [checkpoint] if checkpoint else [],
        "checkpoint_of": b"",
        "worst": [{"place": -place, "trace_id": f"trace-{items[-place][0]}"} for _, place in worst],
    }
    return example(DriftObservations, **(fields | changes))


def feed(drive, losses, start=0, **changes):
    for number, loss in enumerate(losses, start=start):
        drive.send(observation(number, loss, **changes))


def states(drive):
    return [signal.state for signal in drive.out]


GOOD_THEN_BAD = [0.0] * 20 + [1.0] * 8


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


def test_replay_changes_nothing():
    drive = driver()
    feed(drive, GOOD_THEN_BAD)
    state = drive.state("series-1")
    assert drive.replay() == []
    assert drive.state("series-1") == state
    assert drive.outcomes == {"observed": 28, "duplicate": 28}


def test_the_producer_sends_its_batch_again_at_new_offsets():
    drive = driver()
    feed(drive, GOOD_THEN_BAD)
    detector, signals = drive.state("series-1").detector, len(drive.out)
    feed(drive, GOOD_THEN_BAD)  # the driver gives new offsets
    assert drive.state("series-1").detector == detector
    assert len(drive.out) == signals
    assert drive.outcomes == {"observed": 28, "duplicate": 28}


def test_what_is_remembered_is_bounded():
    drive = driver()
    drive.send(several([(number, 0.5) for number in range(REMEMBERED_UNORDERED + 1)]))
    drive.send(observation(0, 0.5))  # forgotten: counted once more
    drive.send(observation(2, 0.5))
    assert drive.outcomes == {"observed": 2, "duplicate": 1}
    assert drive.state("series-1").observed == REMEMBERED_UNORDERED + 2
    assert len(PROCESSOR.dump(drive.state("series-1"))) < 50_000


def test_a_copy_is_known_though_a_batch_of_every_other_partition_lies_between():
    drive = driver()
    drive.send(several([(number, 0.5) for number in range(100)], source="traces/0"))
    for partition in (1, 2, 3):
        drive.send(several([(10_000 * partition + number, 0.5) for number in range(2000)], source=f"traces/{partition}"))
    again = several([(number, 0.5) for number in range(100)], source="traces/0")
    drive.send(again.model_copy(update={"offsets": (again.offset_values() + 100).tobytes()}))
    assert (drive.outcomes["duplicate"], drive.state("series-1").observed) == (1, 6100)


def test_what_a_worker_can_have_in_hand_is_remembered():
    """Two keyed inputs, as the estimates worker has them, and a batch of each partition in hand."""
    assert REMEMBERED_UNORDERED >= 2 * KEYED * MAX_STEP_RECORDS


def test_offsets_are_kept_per_partition():
    drive = driver()
    name = DRIFT_OBSERVATIONS.name
    drive.send(observation(1, 0.5), source=Source(name, 0, 7))
    drive.send(observation(2, 0.5), source=Source(name, 1, 3))
    drive.send(observation(3, 0.5), source=Source(name, 0, 7))
    drive.send(observation(4, 0.5), source=Source(name, 1, 4))
    assert drive.outcomes == {"observed": 3, "duplicate": 1}


@pytest.mark.parametrize("cut", [1, 19, 20, 23, 27])
def test_restart_in_the_middle_changes_nothing(cut):
    plain, restarted = driver(), driver()
    feed(plain, GOOD_THEN_BAD)
    feed(restarted, GOOD_THEN_BAD[:cut])
    restarted.restart()
    feed(restarted, GOOD_THEN_BAD[cut:], start=cut)
    assert restarted.out == plain.out
    assert restarted.state("series-1") == plain.state("series-1")


def test_a_late_observation_counts_and_does_not_date_the_state_back():
    drive = driver()
    feed(drive, [0.0] * 19)
    drive.send(observation(19, 0.0, occurred_at=START - timedelta(hours=1)))
    assert (drive.out[-1].n_reference, drive.out[-1].occurred_at) == (20, START + timedelta(seconds=18))


def test_unknown_application_is_counted_and_keeps_nothing():
    drive = driver()
    drive.send(observation(0, 0.5, application="nobody"))
    assert (drive.outcomes, drive.out, drive.keys) == ({"no_policy": 1}, [], ())


def test_series_do_not_meet():
    drive = driver()
    feed(drive, GOOD_THEN_BAD)
    feed(drive, [0.0] * 28, start=100, series_id="series-2")
    assert drive.state("series-1").detector.state is DriftState.ALARM
    assert drive.state("series-2").detector.state is DriftState.OK


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


def test_one_event_of_many_items_is_many_events_of_one():
    singly, batched = driver(), driver()
    losses = [0.1, 0.4] * 20 + [1.0] * 30
    feed(singly, losses)
    batched.send(several(list(enumerate(losses))))
    assert [(s.event_id, s.state, s.n_current) for s in batched.out] == [(s.event_id, s.state, s.n_current) for s in singly.out]
    assert batched.state("series-1").detector == singly.state("series-1").detector
    assert batched.state("series-1").recent == singly.state("series-1").recent


@pytest.mark.parametrize("cut", [1, 300, 700, 1199])
def test_a_sender_that_was_killed_sends_again_in_other_batches(cut):
    """Its memory of marks is shorter than what is sent again; the offsets of the items are what tells."""
    items = [(number, 0.5) for number in range(1200)]
    plain, repeated = driver(), driver()
    plain.send(several(items, source="traces/0"))
    repeated.send(several(items[:cut], source="traces/0"))
    repeated.send(several(items[: cut // 2 + 1], source="traces/0"))
    repeated.send(several(items, source="traces/0"))
    assert repeated.state("series-1").detector == plain.state("series-1").detector
    assert repeated.state("series-1").observed == 1200


def test_partitions_of_the_source_have_offsets_of_their_own():
    drive = driver()
    drive.send(several([(5, 0.5), (9, 0.5)], source="traces/0"))
    drive.send(several([(3, 0.5), (4, 0.5)], source="traces/1"))
    assert drive.state("series-1").observed == 4


def test_a_trace_that_was_produced_twice_is_counted_once():
    drive = driver()
    drive.send(several([(1, 0.5), (2, 0.5)], source="traces/0"))
    drive.send(several([(1, 0.5), (2, 0.5)], source="traces/0", offsets=np.array([7, 8]).tobytes()))
    assert drive.outcomes == {"observed": 1, "duplicate": 1}


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


HOUR = timedelta(hours=1)


def at(number, hours, series="series-1", loss=0.0):
    return observation(number, loss, series_id=series, occurred_at=START + hours * HOUR)


def filled(series="series-1", start=0, hours=0.0):
    return [at(start + number, hours, series) for number in range(20)]


def test_a_series_that_falls_silent_has_no_data_as_soon_as_another_one_shows_that_time_has_passed():
    drive = driver()
    for event in (*filled(), *filled("series-2", 100), at(200, 24, "series-2")):
        drive.send(event)
    assert DriftState.NO_DATA not in states(drive), "24 hours are not more than 24 hours"
    drive.send(at(201, 24.5, "series-2"))
    silent = drive.out[-1]
    assert (silent.series_id, silent.state, silent.occurred_at) == ("series-1", DriftState.NO_DATA, START + 24 * HOUR)
    assert (silent.n_observed, silent.n_reference, silent.log_e_value, silent.evidence_trace_ids) == (20, 20, None, [])
    drive.send(at(202, 48, "series-2"))
    assert states(drive).count(DriftState.NO_DATA) == 1, "said once"
    drive.send(at(20, 49))
    assert (drive.out[-1].series_id, drive.out[-1].state, drive.out[-1].n_observed) == ("series-1", DriftState.OK, 21)


def test_a_series_that_comes_back_says_that_it_was_silent_even_if_nobody_noticed():
    alone, noticed = driver(), driver()
    for event in (*filled(), at(20, 30)):
        alone.send(event)
    for event in (*filled(), *filled("series-2", 100), at(120, 25, "series-2"), at(20, 30)):
        noticed.send(event)
    assert [(signal.state, signal.n_observed) for signal in alone.out[-2:]] == [(DriftState.NO_DATA, 20), (DriftState.OK, 21)]
    mine = [signal for signal in noticed.out if signal.series_id == "series-1"]
    assert [signal.event_id for signal in alone.out] == list(dict.fromkeys(signal.event_id for signal in mine))
    assert {signal.event_id: signal for signal in mine} == {signal.event_id: signal for signal in alone.out}


def test_a_date_in_the_future_is_wrong_for_a_moment_only():
    drive = driver()
    for event in (*filled(), *filled("series-2", 100), at(120, 24 * 365 * 10, "series-3"), at(20, 1), at(121, 2, "series-2")):
        drive.send(event)
    assert states(drive).count(DriftState.NO_DATA) == 2
    for number in range(21, 80):
        drive.send(at(number, 2))
    assert states(drive).count(DriftState.NO_DATA) == 2
    assert drive.out[-1].state is DriftState.OK


def test_silence_survives_a_restart_and_is_said_the_same_way():
    plain, restarted = driver(), driver()
    for drive in (plain, restarted):
        for event in (*filled(), *filled("series-2", 100)):
            drive.send(event)
    restarted.restart()
    for drive in (plain, restarted):
        drive.send(at(120, 25, "series-2"))
    assert restarted.out == plain.out
    restarted.restart()
    restarted.send(at(121, 25, "series-2"))
    assert {signal.event_id for signal in restarted.out} == {signal.event_id for signal in plain.out}


def test_another_application_shows_nothing():
    drive = ProcessorDriver(PROCESSOR, Context(governance(applications=("billing-support", "other"))))
    for event in (*filled(), *(each.model_copy(update={"application": "other"}) for each in filled("series-2", 100, 99.0))):
        drive.send(event)
    assert DriftState.NO_DATA not in states(drive)


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
