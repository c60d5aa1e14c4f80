"""The appeals processor: a re-review per trace, blind, with consent, and outside of every estimate."""

from typing import Any

import pytest

from tests.processors.scenario import KEY, START, context, label, policy, ratings
from trueloop.events import Appeal, CalibrationItem, CalibrationReason, Consent, Message, ReviewForm, ReviewTask, Role, SamplingReason, Split
from trueloop.processors.appeals import PROCESSOR
from trueloop.processors.collection import PROCESSOR as COLLECTION
from trueloop.rejection import RejectReason
from trueloop.sampling.blinding import candidate_id
from trueloop.sampling.held_out import held_out
from trueloop.testing import ProcessorDriver


def appeal(number: int = 1, **changes: Any) -> Appeal:
    values: dict[str, Any] = {
        "event_id": f"appeal-{number}",
        "occurred_at": START,
        "application": "support",
        "trace_id": "trace-1",
        "text": "secret words",
        "consent": Consent.REVIEW,
        "slices": {"locale": "de"},
        "messages": [Message(role=Role.USER, content="question")],
        "completion": "served answer",
    }
    return Appeal(**(values | changes))


def driver(**sections: Any) -> ProcessorDriver:
    return ProcessorDriver(PROCESSOR, context(policy(**sections)))


def opened(run: ProcessorDriver) -> ReviewTask:
    (task,) = run.out
    assert isinstance(task, ReviewTask)
    return task


def test_an_appeal_opens_a_blind_re_review_in_a_stratum_of_its_own() -> None:
    run = driver(sampling={"form": "PAIRWISE", "labels_needed": 5})
    run.send(appeal())
    task = opened(run)
    assert (task.form, task.labels_needed, task.sampling_prob, task.stratum) == (ReviewForm.RATING, 2, 1.0, "appeal")
    assert (task.reasons, task.in_population, task.trainable) == ([SamplingReason.APPEAL], False, False)
    assert [(c.candidate_id, c.completion) for c in task.candidates] == [(candidate_id(KEY, task.task_id, 0), "served answer")]
    assert "secret" not in task.model_dump_json(), "who reviews must not be told what the user says"


def test_however_often_a_trace_is_appealed_against_it_is_re_reviewed_once() -> None:
    run = driver()
    run.send(appeal())
    run.send(appeal())
    run.send(appeal(2, text="other words", subject_id="somebody else"))
    run.send(appeal(3, trace_id="trace-2"))
    assert len({task.task_id for task in run.out}) == len(run.out) == 2  # type: ignore[attr-defined]
    assert run.replay() == []
    assert run.outcomes["already_open"] == 6


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"consent": Consent.NONE}, "no_consent"),
        ({"consent": Consent.UNKNOWN}, "no_consent"),
        ({"messages": []}, "no_content"),
        ({"completion": None}, "no_content"),
        ({"application": "unheard-of"}, "no_policy"),
    ],
)
def test_what_nobody_may_or_can_read_is_counted_and_leaves_room_for_a_later_appeal(changes: dict[str, Any], outcome: str) -> None:
    run = driver()
    run.send(appeal(**changes))
    assert run.outcomes == {outcome: 1}
    assert not run.out
    run.send(appeal(2))
    assert len(run.out) == 1


def test_a_text_over_the_limit_is_refused_without_quoting_it() -> None:
    run = driver(sampling={"max_text_chars": 20})
    run.send(appeal())
    ((_, rejection),) = run.rejected
    assert rejection.reason is RejectReason.TOO_LARGE
    assert "served" not in rejection.message


def test_labels_of_an_appeal_enter_no_estimate() -> None:
    run = driver()
    run.send(appeal())
    task = opened(run)
    collection = ProcessorDriver(COLLECTION, context())
    collection.send(task)
    for reviewer in ("r1", "r2"):
        collection.send(label(reviewer, task_id=task.task_id, ratings=ratings({task.candidates[0].candidate_id: {"accuracy": 1}})))
    assert collection.outcomes == {"task_opened": 1, "accepted": 2}
    assert collection.out == []
    drawn = task.model_copy(update={"reasons": [SamplingReason.UNIFORM], "task_id": "other"})
    collection.send(drawn)
    collection.send(label("r1", task_id="other", ratings=ratings({task.candidates[0].candidate_id: {"accuracy": 1}})))
    assert len(collection.out) > 0


def test_a_prompt_of_the_held_out_split_is_held_out_when_somebody_objects_to_its_answer() -> None:
    run = driver(sampling={"calibration_share": 0.5})
    for number in range(40):
        run.send(appeal(number, trace_id=f"trace-{number}", messages=[Message(role=Role.USER, content=f"question {number}")]))
    tasks = [event for event in run.out if isinstance(event, ReviewTask)]
    items = [event for event in run.out if isinstance(event, CalibrationItem)]
    assert {item.trace_id for item in items} == {task.trace_id for task in tasks if task.split is Split.CALIBRATION}
    assert 0 < len(items) < len(tasks) == 40
    assert {item.reason for item in items} == {CalibrationReason.APPEAL}
    drawn = held_out("support", "trace-x", items[0].messages, at=START, slices={}, reason=CalibrationReason.HASH_SPLIT)
    assert (drawn.item_id, drawn.event_id == items[0].event_id) == (items[0].item_id, False), "the same prompt is one item, and the newest event of it counts"
    assert "secret" not in "".join(item.model_dump_json() for item in items)
    assert run.replay() == []
