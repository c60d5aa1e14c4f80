"""Jobs that an alarm of drift starts: with fewer pairs, once per alarm, and at the same place when the topics are read in another order."""

from datetime import timedelta
from typing import Any

import pytest

from tests.factories import example
from tests.processors.scenario import START, context, policy
from tests.processors.trigger_scenario import driver, pair, release, requests
from trueloop.events import (
    AgreementEstimate,
    DriftSignal,
    DriftState,
    JobStatus,
    TrainingResult,
    TriggerReason,
)
from trueloop.processors.trigger import PROCESSOR
from trueloop.testing import ProcessorDriver
from trueloop.topics import DATASET_VERSIONS


def signal(number: int, state: DriftState = DriftState.ALARM, series: str = "series-1", **changes: Any) -> DriftSignal:
    at = START + timedelta(minutes=number)
    return example(DriftSignal, application="support", event_id=f"signal-{series}-{number}", series_id=series, state=state, occurred_at=at, **changes)


ON_ALARM = {"min_new_pairs": 10, "on_alarm": {"min_new_pairs": 3}}


def test_an_alarm_starts_a_job_with_fewer_pairs_and_says_so() -> None:
    run = driver(training=ON_ALARM)
    for number in range(4):
        run.send(pair(number))
    run.send(signal(4, DriftState.WARNING))
    assert not run.out
    run.send(signal(5))
    (dataset,) = run.out_of(DATASET_VERSIONS)
    (request,) = requests(run)
    assert (dataset.n_new, dataset.end_offset) == (4, 4)
    assert (request.reason, request.drift_signal_id) == (TriggerReason.DRIFT, "signal-series-1-5")


def test_an_alarm_waits_for_the_least_number_of_pairs() -> None:
    run = driver(training=ON_ALARM)
    run.send(signal(0))
    for number in range(1, 3):
        run.send(pair(number))
    assert not run.out
    run.send(pair(3))
    assert requests(run)[0].reason is TriggerReason.DRIFT


def test_without_a_policy_for_alarms_they_start_nothing() -> None:
    run = driver(training={"min_new_pairs": 10})
    for number in range(9):
        run.send(pair(number))
    run.send(signal(9))
    assert not run.out
    run.send(pair(10))
    assert (requests(run)[0].reason, requests(run)[0].drift_signal_id) == (TriggerReason.NEW_PAIRS, None)


def test_an_alarm_that_goes_on_orders_one_job_and_one_that_comes_again_another() -> None:
    run = driver(training=ON_ALARM)
    for number in range(3):
        run.send(pair(number))
    run.send(signal(3))
    run.send(example(TrainingResult, application="support", job_id=requests(run)[0].job_id, status=JobStatus.FAILED))
    for number in range(4, 10):
        run.send(pair(number))
        run.send(signal(number, DriftState.WARNING if number % 2 else DriftState.ALARM))
    assert len(requests(run)) == 1
    run.send(signal(10, DriftState.OK))
    run.send(signal(11))
    assert [request.drift_signal_id for request in requests(run)] == ["signal-series-1-3", "signal-series-1-11"]


def test_an_alarm_gets_around_neither_the_cool_down_nor_the_least_agreement() -> None:
    run = driver(training=ON_ALARM | {"min_alpha": 0.6})
    for number in range(3):
        run.send(pair(number))
    run.send(signal(3))
    assert len(run.out_of(DATASET_VERSIONS)) == 1
    assert not requests(run)
    run.send(example(AgreementEstimate, application="support", dimension="accuracy", slice="all", alpha=0.7))
    assert requests(run)[0].reason is TriggerReason.DRIFT

    hasty = driver(training=ON_ALARM | {"cooldown_minutes": 60})
    for number in range(3):
        hasty.send(pair(number))
    hasty.send(signal(3))
    hasty.send(example(TrainingResult, application="support", job_id=requests(hasty)[0].job_id, status=JobStatus.FAILED, occurred_at=START))
    for number in range(4, 7):
        hasty.send(pair(number))
    hasty.send(signal(8, series="series-2"))
    assert len(requests(hasty)) == 1
    hasty.send(pair(70))
    assert len(requests(hasty)) == 2


def test_replay_after_an_alarm_orders_nothing_new() -> None:
    run = driver(training=ON_ALARM)
    for number in range(4):
        run.send(pair(number))
    run.send(signal(5))
    run.send(pair(6))
    assert run.replay() == []


@pytest.mark.parametrize("restoring", [False, True])
@pytest.mark.parametrize("place", range(8))
def test_a_trigger_that_reads_an_alarm_at_another_place_freezes_where_it_did_before(place: int, restoring: bool) -> None:
    """Drift and pairs are two topics: after a crash they are read in another order, and still no second job starts."""
    first = driver(training=ON_ALARM)
    for number in range(8):
        first.send(pair(number))
        if number == 4:
            first.send(signal(4))
    again = ProcessorDriver(PROCESSOR, context(policy(training=ON_ALARM), history=tuple(first.out), restoring=restoring))
    again.send(release())
    for number in range(8):
        if number == place:
            again.send(signal(4))
        again.send(pair(number))
    assert again.out_of(DATASET_VERSIONS) == first.out_of(DATASET_VERSIONS)
    assert requests(again) == []
    assert again.state("support").running == first.state("support").running
