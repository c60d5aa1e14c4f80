"""The drift processor: which observations count, when it signals, and what redelivery and restarts leave alone."""

from datetime import timedelta

import numpy as np
import pytest

from tests.factories import START, example
from trueloop.drift import Detector, update
from trueloop.events import DriftObservations, DriftState, PolicyPublished, RubricPublished
from trueloop.processors.drift import EVIDENCE_SPAN, MAX_EVIDENCE, PROCESSOR, REMEMBERED
from trueloop.processors.processor import Context, Source
from trueloop.rubrics import Governance
from trueloop.rubrics.policy import Drift, Policy
from trueloop.rubrics.rubric import Rubric
from trueloop.testing import ProcessorDriver
from trueloop.topics import DRIFT_OBSERVATIONS

CONFIG = Drift(reference_size=20, arl_target=1000.0, tolerance=0.02)


def governance():
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
            "drift": CONFIG.model_dump(),
            "gate": {"dimensions": [{"dimension": "tone", "evaluator": "check:tone"}]},
        }
    )
    return Governance(
        [example(RubricPublished, rubric_id="billing", version=2, document=rubric.model_dump_json())],
        [example(PolicyPublished, policy_id="billing-policy", version=1, content_hash="policy-hash", document=policy.model_dump_json())],
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


def test_every_fiftieth_observation_signals_also_before_the_reference_is_full():
    drive = driver()
    feed(drive, [0.5] * 200)
    assert [signal.n_current for signal in drive.out] == [0, 30, 80, 130, 180]
    assert len({signal.event_id for signal in drive.out}) == 5


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
    feed(drive, [0.5] * (REMEMBERED + 1))
    drive.send(observation(0, 0.5))  # forgotten: counted once more
    drive.send(observation(2, 0.5))
    assert drive.outcomes == {"observed": REMEMBERED + 2, "duplicate": 1}
    assert len(PROCESSOR.dump(drive.state("series-1"))) < 12_000


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
