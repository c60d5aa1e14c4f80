"""The drift processor: which observations count, what it remembers of them, and what redelivery and restarts leave alone."""

from datetime import timedelta

import numpy as np
import pytest

from tests.factories import START
from tests.processors.drift_scenario import GOOD_THEN_BAD, driver, feed, observation, several
from trueloop.adapters.faust_batch.batch import MAX_STEP_RECORDS
from trueloop.events import DriftState
from trueloop.processors.drift import PROCESSOR, REMEMBERED_UNORDERED
from trueloop.processors.processor import Source
from trueloop.topics import DRIFT_OBSERVATIONS, KEYED


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
