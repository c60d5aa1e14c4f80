"""Trials: what a gate wants people to compare in, blind review tasks out. State is one trial: who was asked about it.

Reviewers see a prompt and two answers in an order that is random per task, under ids that take the blinding key to read. A senior reviewer sees them in
another order, under other ids, and not what others said.
"""

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from trueloop.events import ReviewForm, ReviewTask, SamplingReason, Split, Trial, TrialOutcome, TrialReference, TrialVerdict, trial_task_id
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.sampling.blinding import blind
from trueloop.topics import TRIAL_OUTCOMES, TRIALS

OUTCOMES = frozenset({"task_opened", "senior_asked", "duplicate", "noted", "no_policy"})
STRATUM = "trial"
"""It is no slice: those are called 'name=value'."""


class TrialState(BaseModel):
    """A trial, and when reviewers were first read to be split on it; `trial` is None while only that is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    trial: Trial | None = None
    split_at: datetime | None = None


def step(state: TrialState | None, event: Trial | TrialOutcome, *, source: Source, now: datetime, final: bool, context: Context) -> Step[TrialState]:
    """Put a trial before reviewers, and once before a senior when they are split. What is split may be read first."""
    known = state or TrialState()
    if isinstance(event, TrialOutcome):
        if event.senior or event.verdict is not TrialVerdict.SPLIT or known.split_at is not None:
            return Step(state, outcome="noted")
        following = known.model_copy(update={"split_at": event.occurred_at})
        if known.trial is None:
            return Step(following, outcome="noted")
        asked = _task(known.trial, event.occurred_at, context, senior=True)
        return Step(following, (asked,), "senior_asked") if asked else Step(following, outcome="no_policy")
    if known.trial is not None:
        return Step(state, outcome="duplicate")
    task = _task(event, event.occurred_at, context, senior=False)
    if task is None:
        return Step(state, outcome="no_policy")
    late = None if known.split_at is None else _task(event, known.split_at, context, senior=True)
    return Step(known.model_copy(update={"trial": event}), (task, late) if late else (task,), "task_opened")


def _task(trial: Trial, at: datetime, context: Context, *, senior: bool) -> ReviewTask | None:
    governed = context.governance.policy(trial.policy_id, trial.policy_version)
    if governed is None:
        return None
    people, rubric = governed.policy.gate.people, governed.rubric
    pool = people.senior_pool if senior else people.pool
    if pool is None:
        return None
    task_id = trial_task_id(trial.trial_id, senior=senior)
    return ReviewTask(
        event_id=derive_id("review-task", task_id, governed.policy_hash),
        occurred_at=at,
        application=trial.application,
        task_id=task_id,
        trace_id=task_id,
        form=ReviewForm.PAIRWISE,
        rubric_id=rubric.id,
        rubric_version=rubric.version,
        rubric_hash=governed.rubric_hash,
        policy_id=governed.policy.id,
        policy_version=governed.policy.version,
        policy_hash=governed.policy_hash,
        sampling_prob=1.0,
        stratum=STRATUM,
        reasons=[SamplingReason.TRIAL],
        slices=trial.slices,
        prompt_hash=trial.prompt_hash,
        split=Split.CALIBRATION,
        trainable=False,
        labels_needed=1 if senior else people.labels_needed,
        pool=pool,
        due_at=at + timedelta(minutes=people.due_minutes),
        trial=TrialReference(trial_id=trial.trial_id, evaluation_id=trial.evaluation_id, senior=senior),
        messages=trial.messages,
        candidates=blind(context.blinding_key, task_id, [trial.candidate_answer, trial.baseline_answer]),
    )


def _trial_id(event: Trial | TrialOutcome) -> str:
    return event.trial_id


PROCESSOR = Processor(name="trials", inputs=(TRIALS, TRIAL_OUTCOMES), step=step, outcomes=OUTCOMES, key=_trial_id, state_type=TrialState)
