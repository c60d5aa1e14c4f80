from datetime import timedelta

import pytest

from tests.processors.scenario import KEY, START, context, policy, trace
from trueloop.events import CalibrationItem, Consent, DriftObservations, Message, ReviewTask, Role, SamplingReason, Split
from trueloop.processors.sampling import PROCESSOR
from trueloop.rejection import RejectReason
from trueloop.sampling.blinding import candidate_id
from trueloop.testing import ProcessorDriver
from trueloop.topics import CALIBRATION, DRIFT_OBSERVATIONS, REVIEW_QUEUE


def driver(**sections: object) -> ProcessorDriver:
    return ProcessorDriver(PROCESSOR, context(policy(**sections)))  # type: ignore[arg-type]


def test_a_sampled_trace_becomes_a_task_with_its_probability() -> None:
    run = driver(sampling={"rate": 0.2, "strata": [{"slice": "locale", "value": "de", "rate": 1.0}]})
    run.send(trace())
    (task,) = run.out_of(REVIEW_QUEUE)
    assert (task.sampling_prob, task.stratum, task.labels_needed) == (1.0, "locale=de", 2)
    assert task.due_at == task.occurred_at + timedelta(days=1)
    assert {c.completion for c in task.candidates} == {"served answer", "other answer"}


def test_the_share_that_is_sampled_is_the_rate_and_a_lower_rate_samples_a_subset() -> None:
    def sampled(rate: float) -> set[str]:
        run = driver(sampling={"rate": rate})
        for number in range(2000):
            run.send(trace(number))
        return {task.trace_id for task in run.out_of(REVIEW_QUEUE)}

    tenth, third = sampled(0.1), sampled(0.3)
    # Binomial(2000, p): five standard deviations are 67 and 102.
    assert abs(len(tenth) - 200) < 67
    assert abs(len(third) - 600) < 102
    assert tenth < third


def test_replay_queues_the_same_tasks() -> None:
    run = driver(sampling={"rate": 0.5})
    for number in range(50):
        run.send(trace(number))
    first = list(run.out)
    assert run.replay() == first
    assert 10 < sum(isinstance(event, ReviewTask) for event in first) < 40


def test_nothing_in_the_task_tells_which_candidate_was_served() -> None:
    run = driver()
    served_first = 0
    for number in range(400):
        run.send(trace(number))
    for task in run.out_of(REVIEW_QUEUE):
        assert "m2" not in task.model_dump_json()
        served = candidate_id(KEY, task.task_id, 0)
        assert served in {c.candidate_id for c in task.candidates}
        served_first += task.candidates[0].candidate_id == served
    # Binomial(400, 1/2): five standard deviations are 50.
    assert abs(served_first - 200) < 50


def test_a_held_out_prompt_becomes_a_calibration_item_and_its_task_is_marked() -> None:
    run = driver(sampling={"calibration_share": 1.0})
    run.send(trace())
    (item,) = run.out_of(CALIBRATION)
    (task,) = run.out_of(REVIEW_QUEUE)
    assert isinstance(item, CalibrationItem)
    assert (task.split, item.prompt_hash) == (Split.CALIBRATION, task.prompt_hash)


def test_held_out_prompts_need_not_be_reviewed() -> None:
    run = driver(sampling={"calibration_share": 1.0, "review_calibration": False})
    run.send(trace())
    assert run.outcomes == {"not_reviewed": 1}
    assert len(run.out_of(CALIBRATION)) == 1


def test_the_same_prompt_is_one_calibration_item_whoever_asks() -> None:
    run = driver(sampling={"calibration_share": 1.0})
    messages = [Message(role=Role.USER, content="the same")]
    run.send(trace(1, messages=messages))
    run.send(trace(2, messages=messages))
    assert len({item.item_id for item in run.out_of(CALIBRATION)}) == 1


def test_scores_become_losses_for_all_and_for_wanted_slices() -> None:
    run = driver(drift={"slices": ["locale"]})
    run.send(trace(scores={"judge": 0.75}))
    observations = run.out_of(DRIFT_OBSERVATIONS)
    assert {(o.metric, o.slice, *o.loss_values().tolist()) for o in observations} == {("score:judge", "all", 0.25), ("score:judge", "locale=de", 0.25)}
    assert all(isinstance(o, DriftObservations) for o in observations)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"application": "unheard-of"}, "no_policy"),
        ({"consent": Consent.NONE}, "no_consent"),
        ({"consent": Consent.UNKNOWN}, "no_consent"),
        ({"error": "Timeout"}, "failed_request"),
    ],
)
def test_what_is_not_sampled_is_counted_by_its_reason(changes: dict[str, object], outcome: str) -> None:
    run = driver()
    run.send(trace(**changes))
    assert run.outcomes == {outcome: 1}
    assert not run.out


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [({}, "sampled"), ({"completion_tokens": 7}, "sampled"), ({"completion_tokens": 0}, "failed_request"), ({"completion": " \n"}, "failed_request")],
)
def test_a_failed_request_that_left_an_answer_is_an_anomaly_where_the_policy_says_so(changes: dict[str, object], outcome: str) -> None:
    run = driver(sampling={"rate": 0.0, "anomalies": {"rate": 1.0, "failed": True}})
    run.send(trace(error="Timeout", **changes))
    assert run.outcomes == {outcome: 1}
    assert [(task.stratum, task.sampling_prob, task.reasons) for task in run.out_of(REVIEW_QUEUE)] == [
        ("anomaly:FAILED", 1.0, [SamplingReason.ANOMALY]),
    ] * (outcome == "sampled")  # fmt: skip


def test_pairwise_needs_two_different_completions() -> None:
    run = driver(sampling={"form": "PAIRWISE"})
    run.send(trace(1, alternatives=[]))
    run.send(trace(2, alternatives=[{"completion": "served answer", "model": "m2"}]))
    run.send(trace(3))
    assert run.outcomes == {"no_alternative": 2, "sampled": 1}


def test_only_review_consent_makes_the_task_untrainable() -> None:
    run = driver()
    run.send(trace(consent=Consent.REVIEW))
    (task,) = run.out_of(REVIEW_QUEUE)
    assert not task.trainable


def test_a_text_over_the_limit_is_refused_without_quoting_it() -> None:
    run = driver(sampling={"max_text_chars": 100})
    run.send(trace(completion="secret" * 30))
    ((_, rejection),) = run.rejected
    assert rejection.reason is RejectReason.TOO_LARGE
    assert "secret" not in rejection.message


def test_the_policy_of_the_day_applies_to_late_traces() -> None:
    run = driver()
    run.send(trace(occurred_at=START - timedelta(days=30)))
    assert run.outcomes == {"sampled": 1}


def test_what_the_policy_takes_to_be_alike_is_held_out_together() -> None:
    run = driver(sampling={"calibration_share": 0.5, "split_by": "template"})
    for number in range(40):
        template = ("Why was I billed ${}?", "Cancel order {}!", "Is {} the {} that I see?")[number % 3]
        run.send(trace(number, messages=[Message(role=Role.USER, content=template.replace("{}", str(number * 7)))]))
    tasks = run.out_of(REVIEW_QUEUE)
    shapes = {(int(task.trace_id.removeprefix("trace-")) % 3, task.split) for task in tasks}
    assert (len(tasks), len(shapes)) == (40, 3)
    held_out = {item.prompt_hash for item in run.out_of(CALIBRATION)}
    assert held_out == {task.prompt_hash for task in tasks if task.split is Split.CALIBRATION}
    assert len({task.prompt_hash for task in tasks}) == 40
