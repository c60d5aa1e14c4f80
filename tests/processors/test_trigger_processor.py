"""The trigger processor: which pairs freeze a dataset, when a job is ordered and from which checkpoint, and what redelivery leaves alone."""

from typing import Any

import pytest

from tests.factories import example
from tests.processors.scenario import START, context
from tests.processors.trigger_scenario import driver, gate, pair, release, requests
from trueloop.datasets.pair_log import EMPTY, extend
from trueloop.events import (
    AgreementEstimate,
    GateReason,
    JobStatus,
    Split,
    TrainingResult,
    TriggerReason,
    Verdict,
)
from trueloop.events.agreement import WindowKind
from trueloop.processors.processor import Source
from trueloop.processors.trigger import PROCESSOR
from trueloop.testing import ProcessorDriver
from trueloop.topics import DATASET_VERSIONS


def test_enough_new_pairs_freeze_a_dataset_and_order_a_job() -> None:
    run = driver()
    run.send(pair(1))
    assert not run.out
    run.send(pair(2))
    (dataset,) = run.out_of(DATASET_VERSIONS)
    (request,) = requests(run)
    assert (dataset.n_items, dataset.n_new, dataset.end_offset, dataset.parent) == (2, 2, 2, None)
    assert dataset.content_hash == extend(extend(EMPTY, "pair-event-1"), "pair-event-2")
    assert (request.dataset_hash, request.base_checkpoint, request.baseline_checkpoint) == (dataset.content_hash, "base", "base")
    assert request.config == '{"beta":0.1}'


@pytest.mark.parametrize("changes", [{"split": Split.CALIBRATION}, {"trainable": False}])
def test_what_may_not_be_trained_on_never_counts(changes: dict[str, Any]) -> None:
    run = driver()
    for number in range(5):
        run.send(pair(number, **changes))
    assert run.outcomes == {"noted": 1, "not_for_training": 5}


def test_pairs_of_another_rubric_version_are_kept_apart_and_train_nothing() -> None:
    run = driver()
    for number in range(5):
        run.send(pair(number, rubric_version=2))
    run.send(pair(6))
    assert not run.out
    run.send(pair(7))
    (dataset,) = run.out_of(DATASET_VERSIONS)
    assert dataset.content_hash == extend(extend(EMPTY, "pair-event-6"), "pair-event-7")


def test_revisions_and_withdrawals_are_no_new_pairs() -> None:
    run = driver()
    run.send(pair(1))
    run.send(pair(1, event_id="revised", revises="pair-event-1", replaced_weight=1.0))
    run.send(pair(1, event_id="withdrawn", revises="revised", replaced_weight=1.0, withdrawn=True, weight=0.0))
    assert not run.out_of(DATASET_VERSIONS)
    run.send(pair(2))
    run.send(pair(3))
    (dataset,) = run.out_of(DATASET_VERSIONS)
    assert dataset.n_items == 2


def test_enough_are_pairs_by_weight_and_not_by_number() -> None:
    run = driver(training={"min_new_pairs": 1})
    run.send(pair(1, weight=1 / 3))
    run.send(pair(2, weight=1 / 3))
    run.send(pair(2, event_id="revised", revises="pair-event-2", weight=0.0, replaced_weight=1 / 3))
    run.send(pair(3, weight=1 / 3))
    assert not run.out_of(DATASET_VERSIONS)
    run.send(pair(4, weight=1 / 3))
    (dataset,) = run.out_of(DATASET_VERSIONS)
    assert (dataset.n_items, dataset.n_new) == (4, 4)


def test_a_pair_that_was_sent_twice_counts_once() -> None:
    run = driver()
    run.send(pair(1))
    run.send(pair(1))
    assert not run.out_of(DATASET_VERSIONS)


def test_a_redelivered_record_is_no_new_record() -> None:
    run = driver()
    run.send(pair(1), source=Source("preference-pairs", 0, 7))
    run.send(pair(1), source=Source("preference-pairs", 0, 7))
    assert run.outcomes["duplicate"] == 1


def test_replay_after_a_crash_orders_nothing_new() -> None:
    run = driver()
    for number in range(6):
        run.send(pair(number))
    ordered = {request.job_id for request in requests(run)}
    assert run.replay() == []
    assert {request.job_id for request in requests(run)} == ordered


def test_a_trigger_that_lost_its_state_does_not_order_again_what_the_topic_holds() -> None:
    first = driver()
    for number in range(2):
        first.send(pair(number))
    again = driver(history=tuple(requests(first)))
    for number in range(2):
        again.send(pair(number))
    assert requests(again) == []
    assert again.out_of(DATASET_VERSIONS) == first.out_of(DATASET_VERSIONS)
    assert again.outcomes["already_requested"] == 1


def test_a_job_that_a_person_requested_is_none_that_the_trigger_waits_for() -> None:
    first = driver()
    for number in range(2):
        first.send(pair(number))
    by_hand = requests(first)[0].model_copy(update={"job_id": "by-hand", "event_id": "by-hand", "reason": TriggerReason.MANUAL})
    again = driver(history=(by_hand,))
    for number in range(2):
        again.send(pair(number))
    assert [request.job_id for request in requests(again)] == [requests(first)[0].job_id]
    assert "already_requested" not in again.outcomes


def test_one_job_at_a_time_and_the_newest_dataset_next() -> None:
    run = driver()
    for number in range(6):
        run.send(pair(number))
    assert len(run.out_of(DATASET_VERSIONS)) == 3
    (running,) = requests(run)
    run.send(gate(running.job_id, Verdict.BLOCK, [GateReason.BELOW_FLOOR]))
    assert [request.dataset_version for request in requests(run)] == [1, 3]


def test_the_end_of_another_job_frees_nothing() -> None:
    run = driver()
    for number in range(4):
        run.send(pair(number))
    run.send(gate("some-other-job", Verdict.BLOCK, [GateReason.BELOW_FLOOR]))
    assert len(requests(run)) == 1


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
def test_a_job_that_failed_or_was_cancelled_frees_the_trainer_for_the_next_dataset(status: JobStatus) -> None:
    run = driver()
    for number in range(4):
        run.send(pair(number))
    run.send(example(TrainingResult, application="support", job_id=requests(run)[0].job_id, status=JobStatus.PROGRESS))
    assert len(requests(run)) == 1
    run.send(example(TrainingResult, application="support", job_id=requests(run)[0].job_id, status=status))
    assert len(requests(run)) == 2


def test_a_reward_model_meets_no_gate_and_frees_the_trainer_when_it_is_made() -> None:
    run = driver()
    for number in range(4):
        run.send(pair(number))
    made = example(TrainingResult, application="support", job_id=requests(run)[0].job_id, status=JobStatus.SUCCEEDED)
    run.send(made)
    assert len(requests(run)) == 1, "a candidate is waited for until its gate"
    run.send(made.model_copy(update={"is_candidate": False, "event_id": "reward"}))
    assert len(requests(run)) == 2


def test_the_policy_says_how_long_a_job_may_take() -> None:
    run = driver(training={"timeout_minutes": 90})
    for number in range(2):
        run.send(pair(number))
    assert requests(run)[0].timeout_seconds == 5400.0


def test_cool_down_is_kept_in_event_time() -> None:
    run = driver(training={"cooldown_minutes": 60})
    for number in range(2):
        run.send(pair(number))
    run.send(example(TrainingResult, application="support", job_id=requests(run)[0].job_id, status=JobStatus.FAILED, occurred_at=START))
    run.send(pair(30))
    run.send(pair(60))
    assert len(requests(run)) == 1
    run.send(pair(61))
    assert len(requests(run)) == 2


def test_low_or_unknown_agreement_holds_the_job_back_until_it_is_high_enough() -> None:
    run = driver(training={"min_alpha": 0.6})
    run.send(pair(1))
    run.send(pair(2))
    assert not requests(run)

    def agree(alpha: float | None) -> None:
        run.send(example(AgreementEstimate, application="support", dimension="accuracy", slice="all", alpha=alpha))

    agree(None)
    agree(0.59)
    assert not requests(run)
    run.send(example(AgreementEstimate, application="support", dimension="accuracy", slice="all", alpha=1.0, window_kind=WindowKind.PANE))
    assert not requests(run)  # one pane of the window says little
    agree(0.6)
    assert len(requests(run)) == 1


def test_nothing_starts_before_a_checkpoint_serves() -> None:
    run = ProcessorDriver(PROCESSOR, context())
    run.send(pair(1))
    run.send(pair(2))
    assert not requests(run)
    run.send(release())
    assert len(requests(run)) == 1


@pytest.mark.parametrize(
    ("start_from", "reasons", "base"),
    [
        ("release", [GateReason.BELOW_FLOOR], "base"),
        ("candidate", [GateReason.BELOW_FLOOR], "candidate-1"),
        ("candidate", [GateReason.FLOOR_UNCERTAIN], "candidate-1"),
        ("candidate", [GateReason.BELOW_FLOOR, GateReason.REGRESSION], "base"),
        ("candidate", [GateReason.SUPERIORITY_UNCERTAIN], "candidate-1"),
        ("candidate", [GateReason.NOT_SUPERIOR], "base"),
        ("candidate", [GateReason.SAFETY_FAILURE], "base"),
        ("candidate", [GateReason.EVALUATION_FAILED], "base"),
        ("candidate", [GateReason.AWAITING_PEOPLE], "base"),
    ],
)
def test_the_next_job_starts_from_what_the_policy_says(start_from: str, reasons: list[GateReason], base: str) -> None:
    run = driver(training={"start_from": start_from})
    for number in range(4):
        run.send(pair(number))
    run.send(gate(requests(run)[0].job_id, Verdict.BLOCK, reasons))
    assert requests(run)[1].base_checkpoint == base
    assert requests(run)[1].baseline_checkpoint == "base"


def test_after_a_pass_the_next_job_is_compared_with_the_new_checkpoint_even_before_its_release_is_read() -> None:
    run = driver()
    for number in range(4):
        run.send(pair(number))
    run.send(gate(requests(run)[0].job_id, Verdict.PASS, [GateReason.MEETS_ALL]))
    assert requests(run)[1].baseline_checkpoint == "candidate-1"


def test_restart_in_the_middle_changes_nothing() -> None:
    straight, restarted = driver(), driver()
    for number in range(6):
        straight.send(pair(number))
        restarted.send(pair(number))
        restarted.restart()
    assert straight.out == restarted.out


def test_an_unknown_application_is_counted() -> None:
    run = driver()
    run.send(pair(1, application="unheard-of"))
    assert run.outcomes["no_policy"] == 1
