"""Collection: tasks, their labels and what is probably true of them in; agreement units, rubric losses and preference pairs out. State is one task
with its labels.

A pair is made as soon as the task has its labels, with the reviewers' weights as they were last told, and the probability that its order is right.
Before a task's truth has been told of just these labels, that probability takes every reviewer for as competent as a new one. When the truth comes,
the pair is revised if reviewers weigh something else, or if the probability differs by more than the policy's `revise_above`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from pydantic import BaseModel, ConfigDict

from trueloop.drift.observations import Losses, mark_of, observations
from trueloop.drift.series import drift_series
from trueloop.events import AgreementUnits, DriftObservations, Event, ItemTruth, Label, PreferencePair, ReviewTask
from trueloop.events.identity import derive_id
from trueloop.labels.contributions import contributions, dimensions_of
from trueloop.labels.losses import task_losses
from trueloop.labels.validation import fault_of
from trueloop.pairs.build import Pair, build_pairs
from trueloop.pairs.correctness import Posteriors, order_probability, posteriors_of, unfitted_posteriors
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.rejection import Rejection, RejectReason
from trueloop.rubrics import InForce, Rubric
from trueloop.sampling.blinding import candidate_id, places
from trueloop.topics import LABELS, REVIEW_QUEUE, TRUTHS

OUTCOMES = frozenset(
    {"task_opened", "accepted", "accepted_late", "replaced", "retracted", "duplicate", "retried", "rejected", "no_policy", "truth_noted", "stale"}
)


class LivePair(BaseModel):
    """What was last said of a pair: a hash of its content, the event that said it, its weight, and the probability that it is right."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    content: str
    event_id: str
    weight: float
    p_correct: float | None


class TaskState(BaseModel):
    """One task, the labels that count, and what was said of it so far.

    `task` is None while only its truth is known. `seen` holds the event ids of all labels that were applied, so that one sent twice counts once.
    `pairs` holds the live pairs by id. `truth` is the newest, and `truth_offset` where it was read: those of a task come in one partition, so an
    older one that is sent again is known by it.
    """

    model_config = ConfigDict(extra="forbid")

    version: int = 2
    task: ReviewTask | None = None
    truth: ItemTruth | None = None
    truth_offset: int = -1
    labels: tuple[Label, ...] = ()
    seen: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    pairs: dict[str, LivePair] = {}
    observed: bool = False

    @property
    def of_task(self) -> ReviewTask:
        """The task. Raises ValueError when only its truth is known."""
        if self.task is None:
            raise ValueError("the state holds no task; expected one that was opened")
        return self.task

    @property
    def weights(self) -> dict[str, float]:
        """What the votes of each reviewer count, as it was last told; 1 for who is not among them."""
        return {} if self.truth is None else self.truth.weights()


@dataclass(frozen=True, slots=True)
class _Change:
    """What a label does to a task's labels: the new list and its counter, or a rejection."""

    labels: tuple[Label, ...] = ()
    outcome: str = "rejected"
    rejection: Rejection | None = None


def step(state: TaskState | None, event: ReviewTask | Label | ItemTruth, *, source: Source, now: datetime, final: bool, context: Context) -> Step[TaskState]:
    """Open a task, apply a label to it, or take note of its truth."""
    if isinstance(event, ItemTruth):
        return _note(state or TaskState(), event, source, context)
    task = None if state is None else state.task
    if isinstance(event, ReviewTask):
        return Step(state, outcome="duplicate") if task else Step((state or TaskState()).model_copy(update={"task": event}), outcome="task_opened")
    if state is None or task is None:
        return _unknown_task(state, event, final)
    return _hear(state, task, event, context)


def _hear(state: TaskState, task: ReviewTask, event: Label, context: Context) -> Step[TaskState]:
    if event.event_id in state.seen:
        return Step(state, outcome="duplicate")
    governed = context.governance.policy(task.policy_id, task.policy_version)
    if governed is None:
        return Step(state, outcome="no_policy")
    change = _apply(state, task, event, governed.rubric)
    if change.rejection is not None:
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
    following = state.model_copy(update={"truth": truth, "truth_offset": source.offset})
    governed = None if state.task is None else context.governance.policy(state.task.policy_id, state.task.policy_version)
    if state.task is None or governed is None:
        return Step(following, outcome="truth_noted")
    live, out = _pair_events(state, following, state.task, governed, _Cause(truth.occurred_at, (truth.event_id, str(source.offset))))
    return Step(following.model_copy(update={"pairs": live}), tuple(out), "truth_noted")


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
    live, events = _pair_events(state, following, task, governed, _Cause(label.occurred_at, (label.event_id,)))
    out += events
    if complete and not state.observed and task.in_population:
        units = [event for event in out if isinstance(event, AgreementUnits)]
        out += _observations(task, change.labels, units, governed, context)
    return Step(following.model_copy(update={"pairs": live}), tuple(out), change.outcome)


@dataclass(frozen=True, slots=True)
class _Cause:
    """What changed the pairs of a task: when it happened, and what makes the event that says so one of its own."""

    at: datetime
    identity: tuple[str, ...]


def _pair_events(before: TaskState, after: TaskState, task: ReviewTask, governed: InForce, cause: _Cause) -> tuple[dict[str, LivePair], list[Event]]:
    """Say what changed: new and revised pairs, and the withdrawal of those that no longer hold."""
    wanted = _pairs(after, task, governed)
    posteriors = _posteriors(after, task, governed.rubric) if wanted else {}
    live: dict[str, LivePair] = {}
    out: list[Event] = []
    for pair in wanted:
        known = before.pairs.get(pair.pair_id)
        p_correct = order_probability(pair, task, posteriors, governed.rubric)
        content = _content(pair, governed)
        if known is not None and known.content == content and not _has_moved(known.p_correct, p_correct, governed.policy.pairs.revise_above):
            live[pair.pair_id] = known
            continue
        event = _pair_event(task, pair, cause, known).model_copy(update={"p_correct": p_correct})
        live[pair.pair_id] = LivePair(content=content, event_id=event.event_id, weight=pair.weight, p_correct=p_correct)
        out.append(event)
    if not before.pairs.keys() <= live.keys():
        for pair in _pairs(before, task, governed):
            if pair.pair_id in before.pairs and pair.pair_id not in live:
                event = _pair_event(task, pair, cause, before.pairs[pair.pair_id])
                out.append(event.model_copy(update={"withdrawn": True, "weight": 0.0}))
    return live, out


def _pairs(state: TaskState, task: ReviewTask, governed: InForce) -> tuple[Pair, ...]:
    """Return the pairs of a task that has its labels."""
    if len(state.labels) < task.labels_needed:
        return ()
    return build_pairs(task, state.labels, governed.rubric, governed.policy.pairs, state.weights)


def _posteriors(state: TaskState, task: ReviewTask, rubric: Rubric) -> Posteriors:
    """Return what is probably true: what was told of just these labels, or else what they say while nothing is known of who gave them."""
    if state.truth is not None and {voice.label_id for voice in state.truth.labels} == {label.event_id for label in state.labels}:
        return posteriors_of(state.truth.units)
    return unfitted_posteriors(task, state.labels, rubric, state.weights)


def _has_moved(before: float | None, now: float | None, step: float) -> bool:
    return before is not now if before is None or now is None else abs(now - before) > step


def _content(pair: Pair, governed: InForce) -> str:
    return derive_id("pair-content", pair.chosen, pair.rejected, repr(pair.margin), repr(pair.weight), *pair.label_ids, governed.policy_hash)


def _pair_event(task: ReviewTask, pair: Pair, cause: _Cause, before: LivePair | None) -> PreferencePair:
    return PreferencePair(
        event_id=derive_id("pair-event", pair.pair_id, *cause.identity),
        occurred_at=cause.at,
        application=task.application,
        pair_id=pair.pair_id,
        prompt_hash=task.prompt_hash,
        split=task.split,
        trainable=task.trainable,
        revises=before.event_id if before else None,
        margin=pair.margin,
        replaced_weight=before.weight if before else 0.0,
        weight=pair.weight,
        source=pair.source,
        outcomes=list(pair.outcomes),
        task_id=task.task_id,
        trace_id=task.trace_id,
        label_ids=list(pair.label_ids),
        rubric_id=task.rubric_id,
        rubric_version=task.rubric_version,
        rubric_hash=task.rubric_hash,
        policy_version=task.policy_version,
        slices=task.slices,
        messages=task.messages,
        chosen=pair.chosen,
        rejected=pair.rejected,
    )


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


def _task_id(event: ReviewTask | Label | ItemTruth) -> str:
    return event.task_id


PROCESSOR = Processor(name="collection", inputs=(REVIEW_QUEUE, LABELS, TRUTHS), step=step, outcomes=OUTCOMES, key=_task_id, state_type=TaskState)
