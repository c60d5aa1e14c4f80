"""Collection: tasks, their labels, what is probably true of them and which of them have a known answer in; agreement units, rubric losses and
preference pairs out, and the call for an adjudicator, where a truth needs one and the policy names a pool. State is one task with its labels.

A trial, in which people compare a candidate with what serves, gives none of these: it tells the gate whose answer won.

A pair is made as soon as the task has its labels, with the reviewers' weights as they were last told, and the probability that its order is right.
Before a task's truth has been told of just these labels, that probability takes every reviewer for as competent as a new one. When the truth comes,
the pair is revised if reviewers weigh something else, or if the probability differs by more than the policy's `revise_above`.

A task with a known answer gives no pair: who trains on gold items can no longer be measured by them. Pairs that were made before are withdrawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from trueloop.drift.observations import Losses, mark_of, observations
from trueloop.drift.series import drift_series
from trueloop.events import AgreementUnits, DriftObservations, Event, GoldAnswer, ItemTruth, Label, ReviewTask
from trueloop.labels.contributions import contributions, dimensions_of
from trueloop.labels.losses import task_losses
from trueloop.labels.validation import fault_of
from trueloop.pairs.build import Dropped
from trueloop.pairs.changes import Cause, pair_changes
from trueloop.pairs.task_state import GoldMark, TaskState
from trueloop.pairs.trial_change import OTHER_KEY, SENIOR_WAS_REVIEWER, seniors_unheard, trial_change
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.rejection import Rejection, RejectReason
from trueloop.reviewers.adjudication import adjudication_task
from trueloop.rubrics import InForce, Rubric
from trueloop.sampling.blinding import candidate_id, places
from trueloop.topics import GOLD, LABELS, REVIEW_QUEUE, TRUTHS

OUTCOMES = frozenset(
    {"task_opened", "accepted", "accepted_late", "replaced", "retracted", "duplicate", "retried", "rejected", "no_policy", "truth_noted", "gold_noted", "stale"}
)
DROPS = frozenset({OTHER_KEY, SENIOR_WAS_REVIEWER, *(reason.value for reason in Dropped)})


@dataclass(frozen=True, slots=True)
class _Change:
    """What a label does to a task's labels: the new list and its counter, or a rejection."""

    labels: tuple[Label, ...] = ()
    outcome: str = "rejected"
    rejection: Rejection | None = None


def step(
    state: TaskState | None, event: ReviewTask | Label | ItemTruth | GoldAnswer, *, source: Source, now: datetime, final: bool, context: Context
) -> Step[TaskState]:
    """Open a task, apply a label to it, or take note of its truth or of its known answer."""
    if isinstance(event, ItemTruth):
        return _note(state or TaskState(), event, source, context)
    if isinstance(event, GoldAnswer):
        return _know(state or TaskState(), GoldMark.of(event), context)
    task = None if state is None else state.task
    if isinstance(event, ReviewTask):
        return Step(state, outcome="duplicate") if task else _open((state or TaskState()).model_copy(update={"task": event}), context)
    if state is None or task is None:
        return _unknown_task(state, event, final)
    return _hear(state, task, event, final, context)


def _open(state: TaskState, context: Context) -> Step[TaskState]:
    return Step(state, tuple(_adjudication(state, context)), "task_opened")


def _hear(state: TaskState, task: ReviewTask, event: Label, final: bool, context: Context) -> Step[TaskState]:
    if event.event_id in state.seen:
        return Step(state, outcome="duplicate")
    governed = context.governance.policy(task.policy_id, task.policy_version)
    if governed is None:
        return Step(state, outcome="no_policy")
    change = _apply(state, task, event, governed.rubric)
    if change.rejection is not None:
        # What it refers to may have been read before its task, and wait to be seen again. It is seen again after it, for both keep their order.
        if change.rejection.reason is RejectReason.UNKNOWN_LABEL and not final:
            return Step(state, outcome="retried", retry=True)
        return Step(state, outcome="rejected", rejection=change.rejection)
    return _advance(state, event, change, governed, context)


def _unknown_task(state: TaskState | None, label: Label, final: bool) -> Step[TaskState]:
    """Tasks and labels are two topics: a label may be read first. It is seen once more later, and only then refused."""
    if not final:
        return Step(state, outcome="retried", retry=True)
    message = f"task {label.task_id!r} was never queued; expected a task id from 'review-queue'"
    return Step(state, outcome="rejected", rejection=Rejection(RejectReason.UNKNOWN_TASK, message))


def _note(state: TaskState, truth: ItemTruth, source: Source, context: Context) -> Step[TaskState]:
    """Take note of what is probably true, and say what that does to the pairs."""
    if source.offset <= state.truth_offset:
        return Step(state, outcome="duplicate" if state.truth == truth else "stale")
    unsettled_at = state.unsettled_at or (truth.occurred_at if truth.adjudicate else None)
    following = state.model_copy(update={"truth": truth, "truth_offset": source.offset, "unsettled_at": unsettled_at})
    told = _retold(state, following, Cause(truth.occurred_at, (truth.event_id, str(source.offset))), "truth_noted", context)
    return told if state.unsettled_at else replace(told, out=(*told.out, *_adjudication(following, context)))


def _adjudication(state: TaskState, context: Context) -> Iterator[ReviewTask]:
    """Ask an adjudicator about a task that needs one, once, as the task's policy says. Whether its answer is known plays no part: who is asked would
    show which tasks are gold. A trial has a senior of its own."""
    task = state.task
    if task is None or task.adjudicates is not None or task.trial is not None or state.unsettled_at is None:
        return
    governed = context.governance.policy(task.policy_id, task.policy_version)
    pool = None if governed is None else governed.policy.reviewers.adjudicators
    if governed is not None and pool is not None:
        yield adjudication_task(task, state.unsettled_at, governed.policy, pool, context.blinding_key)


def _know(state: TaskState, gold: GoldMark, context: Context) -> Step[TaskState]:
    """Take note that the answer of a task is known, or no longer."""
    if state.gold is not None and (state.gold.at, state.gold.event_id) >= (gold.at, gold.event_id):
        return Step(state, outcome="duplicate" if state.gold == gold else "stale")
    return _retold(state, state.model_copy(update={"gold": gold}), Cause(gold.at, (gold.event_id,)), "gold_noted", context)


def _retold(before: TaskState, after: TaskState, cause: Cause, outcome: str, context: Context) -> Step[TaskState]:
    """Say what something else than a label does to the pairs."""
    governed = None if after.task is None else context.governance.policy(after.task.policy_id, after.task.policy_version)
    if governed is None:
        return Step(after, outcome=outcome)
    change = pair_changes(before, after, governed, cause, context.blinding_key)
    trial = trial_change(change.applied_to(after), governed, cause.at, context.blinding_key)
    unheard = seniors_unheard(before, after)
    drops = {**change.drops, **trial.drops, **({SENIOR_WAS_REVIEWER: unheard} if unheard else {})}
    return Step(trial.state, (*change.out, *trial.out), outcome, drops=drops)


def _apply(state: TaskState, task: ReviewTask, label: Label, rubric: Rubric) -> _Change:
    """A reviewer has at most one label on a task: a newer one replaces it, a retraction removes it."""
    own = next((known for known in state.labels if known.reviewer_id == label.reviewer_id), None)
    others = tuple(known for known in state.labels if known is not own)
    referred = label.retracts or label.supersedes
    if referred is not None and (own is None or own.event_id != referred):
        message = f"label {referred!r} of reviewer {label.reviewer_id!r} does not count on task {label.task_id!r}, so it cannot be taken back"
        return _Change(rejection=Rejection(RejectReason.UNKNOWN_LABEL, message))
    if label.retracts is not None:
        return _Change(others, "retracted")
    fault = fault_of(label, task, rubric)
    if fault is not None:
        return _Change(rejection=fault)
    if own is not None and (own.occurred_at, own.event_id) > (label.occurred_at, label.event_id):
        return _Change(state.labels, "replaced")
    late = label.occurred_at > task.due_at
    return _Change((*others, label), "replaced" if own else "accepted_late" if late else "accepted")


def _advance(state: TaskState, label: Label, change: _Change, governed: InForce, context: Context) -> Step[TaskState]:
    task, policy = state.of_task, governed.policy
    dimensions = tuple(dict.fromkeys((*state.dimensions, *dimensions_of(task, label, governed.rubric))))
    seen = (*state.seen, label.event_id)
    unshuffled = places(context.blinding_key, task.task_id, [candidate.candidate_id for candidate in task.candidates])
    out: list[Event] = list(
        contributions(task, change.labels, governed.rubric, places=unshuffled, slices=policy.agreement.slices, revision=len(seen), dimensions=dimensions)
    )
    complete = len(change.labels) >= task.labels_needed
    update = {"labels": change.labels, "seen": seen, "dimensions": dimensions, "observed": state.observed or complete}
    following = state.model_copy(update=update)
    pairs = pair_changes(state, following, governed, Cause(label.occurred_at, (label.event_id,)), context.blinding_key)
    out += pairs.out
    if complete and not state.observed and task.in_population:
        units = [event for event in out if isinstance(event, AgreementUnits)]
        out += _observations(task, change.labels, units, governed, context)
    trial = trial_change(pairs.applied_to(following), governed, label.occurred_at, context.blinding_key)
    return Step(trial.state, (*out, *trial.out), change.outcome, drops={**pairs.drops, **trial.drops})


def _observations(task: ReviewTask, labels: tuple[Label, ...], units: list[AgreementUnits], governed: InForce, context: Context) -> Iterator[DriftObservations]:
    """The losses of a task, once, when its labels are complete."""
    served = candidate_id(context.blinding_key, task.task_id, 0)
    for metric, named, loss in task_losses(labels, units, governed.rubric, served):
        for series in drift_series(task.application, named, task.slices, governed.policy.drift.slices):
            items = Losses(
                losses=np.array([loss]),
                marks=np.array([mark_of(task.task_id)]),
                checkpoints=np.array([-1]),
                trace_id=lambda _: task.trace_id,
            )
            yield observations(replace(series, metric=metric), task.application, task.occurred_at, items, ())


def _task_id(event: ReviewTask | Label | ItemTruth | GoldAnswer) -> str:
    return event.task_id


PROCESSOR = Processor(
    name="collection",
    inputs=(REVIEW_QUEUE, LABELS, TRUTHS, GOLD),
    step=step,
    outcomes=OUTCOMES,
    drops=DROPS,
    key=_task_id,
    state_type=TaskState,
)
