"""An evaluation from answers to event, without broker and torch: two scripted models, a scripted judge, probes and a reward that was hacked."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trueloop.trainers import evaluation, evaluation_material, judge_panel, model_scores, reward_diagnosis
from trueloop.trainers.job import run_job
from trueloop.trainers.job_files import JobFiles

from tests.factories import example
from tests.processors.scenario import RUBRIC, START, policy
from trueloop.datasets.calibration import CalibrationSet
from trueloop.errors import ConfigurationError
from trueloop.events import (
    CalibrationItem,
    DiagnosticKind,
    Evaluation,
    EvaluationWarning,
    Event,
    JobStatus,
    Message,
    Role,
    TrainingRequest,
    TrainingResult,
    Trial,
)
from trueloop.judges import Judge
from trueloop.judges.outcome import NoJudgement, NoJudgementReason
from trueloop.labels.rated_completions import RatedCompletion
from trueloop.rubrics import InForce, content_hash

N = 30
GATES = [
    {"dimension": "accuracy", "evaluator": "check:support"},
    {"dimension": "tone", "evaluator": "judge:panel"},
    {"dimension": "tone", "evaluator": "judge:nobody"},
    {"dimension": "safety", "evaluator": "probe:billing-privacy", "safety": True},
    {"dimension": "safety", "evaluator": "probe:unheard-of"},
]
LEAK = "Sorry, sorry. Ann Lee owes $88.41, I think."
CALM = "Yes."


class Judging:
    """Likes calm answers, is silent about one prompt, and counts what it is asked."""

    def complete(self, conversations: Sequence[Any], max_new_tokens: int) -> list[str | NoJudgement]:
        return [self._one(str(conversation)) for conversation in conversations]

    def _one(self, text: str) -> str | NoJudgement:
        return NoJudgement(NoJudgementReason.TIMEOUT) if "question 3." in text else '{"score": 5}' if CALM in text else '{"score": 1}'


class Rewarding:
    """A reward that the candidate has hacked."""

    def score(self, prompts: Sequence[Any], completions: Sequence[str]) -> list[float | None]:
        return [None if number == 0 else float(len(text)) for number, text in enumerate(completions)]


def answers(checkpoint: str, prompts: Mapping[str, Any]) -> dict[str, str]:
    return {item: LEAK if checkpoint == "new" else CALM for item in prompts if item != "item-1"}


Run = Callable[[dict[str, Any]], list[Event]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Evaluates under a gate, and gives the events as they come."""

    def evaluate(gate: dict[str, Any]) -> list[Event]:
        return _evaluate(gate, tmp_path, monkeypatch)

    return evaluate


@pytest.fixture
def evaluated(run: Run) -> Evaluation:
    (found,) = run({"dimensions": GATES, "slices": ["locale"], "diagnose_reward": "models://" + "a" * 32})
    assert isinstance(found, Evaluation)
    return Evaluation.model_validate_json(found.model_dump_json())


def _evaluate(gate: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    governed = policy(gate=gate)
    in_force = InForce(governed, content_hash(governed), RUBRIC, content_hash(RUBRIC), START)
    items = tuple(
        example(CalibrationItem, item_id=f"item-{n}", slices={"locale": "de"} if n % 2 else {}, messages=[Message(role=Role.USER, content=f"question {n}.")])
        for n in range(N)
    )
    snapshot = SimpleNamespace(items=CalibrationSet(items, "hash", N, N), version=1, announcement=None)
    rated = [RatedCompletion(f"u{n}", tuple(items[5].messages), CALM if n % 2 else LEAK, {"tone": float(n % 2)}, 1.0, f"p{n}") for n in range(20)]

    def judge(_settings: Any, name: str) -> Judge:
        if name != "panel":
            raise ConfigurationError("no judge of that name")
        return Judge(name, Judging(), "scripted")

    monkeypatch.setattr(evaluation, "take_snapshot", lambda *_: snapshot)
    monkeypatch.setattr(evaluation, "events_of", lambda *_: iter(()))
    monkeypatch.setattr(evaluation_material, "find_check", lambda _: lambda _prompt, text: {"accuracy": float(text == CALM)})
    monkeypatch.setattr(model_scores, "answer", lambda _load, file, prompts, *_: answers(file.checkpoint, prompts))
    monkeypatch.setattr(model_scores, "AnswerFile", lambda _root, checkpoint, _decoding: SimpleNamespace(checkpoint=checkpoint))
    monkeypatch.setattr(judge_panel, "open_judge", judge)
    monkeypatch.setattr(judge_panel, "people_rated", lambda *_: rated)
    monkeypatch.setattr(reward_diagnosis.RewardModel, "load", lambda *_, **__: Rewarding())
    store = SimpleNamespace(root=tmp_path, checkpoint=lambda uri: SimpleNamespace(checkpoint=uri.removeprefix("models://")), resolve=lambda *_: tmp_path)
    request = example(TrainingRequest, baseline_checkpoint="old", baseline_uri="models://old")
    context: Any = SimpleNamespace(request=request, settings=None, store=store, alive=lambda: None, governance=SimpleNamespace(policy=lambda *_: in_force))
    result = example(TrainingResult, checkpoint="new", checkpoint_uri="models://new", occurred_at=START)
    return list(evaluation.evaluate(context, result))


def test_each_evaluator_has_its_scores(evaluated: Evaluation) -> None:
    found = {(score.evaluator, score.slice): (score.n, score.sum_candidate, score.sum_baseline) for score in evaluated.scores}
    # Item 1 was answered by neither, and on item 3 the judge timed out; both are of the slice.
    assert found == {
        ("check:support", "all"): (N - 1, 0.0, N - 1),
        ("check:support", "locale=de"): (14, 0.0, 14),
        ("judge:panel", "all"): (N - 2, 0.0, N - 2),
        ("judge:panel", "locale=de"): (13, 0.0, 13),
        ("probe:billing-privacy", "all"): (4, 0.0, 4),
    }


def test_what_is_missing_is_counted_and_agreement_is_told(evaluated: Evaluation) -> None:
    worth = {each.evaluator: each for each in evaluated.evaluators}
    assert {name: (each.n_asked, each.n_missing) for name, each in worth.items()} == {
        "check:support": (N, 1),
        "judge:panel": (N, 2),
        "judge:nobody": (N, N),
        "probe:billing-privacy": (4, 0),
        "probe:unheard-of": (0, 0),
    }
    panel = worth["judge:panel"]
    assert (panel.human_agreement, panel.human_agreement_n, panel.human_ac2) == (1.0, 20, 1.0)
    assert panel.human_agreement_low is not None
    assert 0.5 < panel.human_agreement_low < 1.0
    assert [name for name, each in worth.items() if each.version is not None] == ["judge:panel", "probe:billing-privacy"]


def test_a_hacked_reward_and_grovelling_warn(evaluated: Evaluation) -> None:
    found = {each.kind: each for each in evaluated.diagnostics}
    assert found[DiagnosticKind.APOLOGY].difference == 1.0
    assert (found[DiagnosticKind.WORDS].n, found[DiagnosticKind.REWARD].n) == (N - 1, N - 2)
    assert evaluated.warnings[0] is EvaluationWarning.REWARD_UP_RUBRIC_DOWN
    assert set(evaluated.warnings) >= {EvaluationWarning.LONGER, EvaluationWarning.MORE_APOLOGIES, EvaluationWarning.MORE_HEDGING}


def test_people_are_given_what_both_answered_before_the_evaluation_tells_of_it(run: Run) -> None:
    people = {"dimension": "overall", "evaluator": "people", "max_regression": 0.1}
    *given, found = run({"dimensions": [people], "people": {"comparisons": 12}})
    assert isinstance(found, Evaluation)
    trials = [event for event in given if isinstance(event, Trial)]
    assert len(given) == len(trials) == len(found.trials) == 12
    assert [trial.trial_id for trial in trials] == [each.trial_id for each in found.trials] == sorted(each.trial_id for each in found.trials)
    assert {(trial.evaluation_id, trial.candidate_answer, trial.baseline_answer) for trial in trials} == {(found.event_id, LEAK, CALM)}
    assert all(trial.messages[0].content == f"question {trial.item_id.removeprefix('item-')}." for trial in trials)
    assert not any(each.item_id == "item-1" for each in found.trials)
    assert [(each.evaluator, each.n_asked, each.n_missing) for each in found.evaluators] == [("people", 12, 12)]
    assert not found.scores


def test_people_are_not_asked_about_what_is_blocked_without_them(run: Run) -> None:
    people = {"dimension": "overall", "evaluator": "people", "max_regression": 0.1}
    leaks = {"dimension": "safety", "evaluator": "probe:billing-privacy", "safety": True}
    (found,) = run({"dimensions": [leaks, people], "people": {"comparisons": 12}})
    assert isinstance(found, Evaluation)
    assert found.trials == []
    assert [(each.evaluator, each.n_asked, each.n_missing) for each in found.evaluators] == [("probe:billing-privacy", 4, 0), ("people", 0, 0)]
    allowed = {**leaks, "max_failures": 4}
    *given, found = run({"dimensions": [allowed, people], "people": {"comparisons": 12}})
    assert isinstance(found, Evaluation)
    assert len(given) == len(found.trials) == 12


def test_nobody_is_asked_unless_the_policy_asks_people(evaluated: Evaluation) -> None:
    assert evaluated.trials == []


def test_a_job_that_goes_on_after_a_death_says_again_what_people_are_to_compare(tmp_path: Path, run: Run) -> None:
    people = {"dimension": "overall", "evaluator": "people", "max_regression": 0.1}
    events = run({"dimensions": [people], "people": {"comparisons": 3}})
    result = example(TrainingResult, status=JobStatus.SUCCEEDED, is_candidate=True, checkpoint="new", checkpoint_uri="models://new")
    files, sent = JobFiles(tmp_path), list[Event]()
    kept = files.attempt("job", 1)
    context: Any = SimpleNamespace(request=SimpleNamespace(job_id="job"), files=files, kept=kept, send=sent.append, attempt=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "evaluate", lambda *_: iter(events))
        kept.settle("result", result.model_dump_json())
        run_job(context)
    first, sent[:] = list(sent), []
    run_job(context)  # the parent had died: what was sent may never have been delivered

    assert first == [result, *events]
    assert sent == first
