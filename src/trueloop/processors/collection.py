"""Collection: tasks and their labels in; agreement units, rubric losses and preference pairs out. State is one task with its labels."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from pydantic import BaseModel, ConfigDict

from trueloop.drift.observations import Losses, mark_of, observations
from trueloop.drift.series import drift_series
from trueloop.events import DriftObservations, Event, Label, PreferencePair, ReviewTask
from trueloop.events.identity import derive_id
from trueloop.labels.contributions import contributions, dimensions_of
from trueloop.labels.validation import fault_of
from trueloop.pairs.build import Pair, build_pairs
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.rejection import Rejection, RejectReason
from trueloop.rubrics import InForce, Rubric
from trueloop.sampling.blinding import candidate_id, places
from trueloop.topics import LABELS, REVIEW_QUEUE

OUTCOMES = frozenset({"task_opened", "accepted", "accepted_late", "replaced", "retracted", "duplicate", "retried", "rejected", "no_policy"})


class LivePair(BaseModel):
    """What was last said of a pair: a hash of its content, and the event that said it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    content: str
    event_id: str


class TaskState(BaseModel):
    """One task, the labels that count, and what was said of it so far.

    `seen` holds the event ids of all labels that were applied, so that one sent twice counts once. `pairs` holds the live pairs by id.
    """

    model_config = ConfigDict(extra="forbid")

    version: int = 1
    task: ReviewTask
    labels: tuple[Label, ...] = ()
    seen: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    pairs: dict[str, LivePair] = {}
    observed: bool = False

    @property
    def revision(self) -> int:
        """Labels applied so far."""
        return len(self.seen)


@dataclass(frozen=True, slots=True)
class _Change:
    """What a label does to a task's labels: the new list and its counter, or a rejection."""

    labels: tuple[Label, ...] = ()
    outcome: str = "rejected"
    rejection: Rejection | None = None


def step(state: TaskState | None, event: ReviewTask | Label, *, source: Source, now: datetime, final: bool, context: Context) -> Step[TaskState]:
    """Open a task, or apply a label to it."""
    if isinstance(event, ReviewTask):
        return Step(state or TaskState(task=event), outcome="duplicate" if state else "task_opened")
    if state is None:
        return _unknown_task(event, final)
    if event.event_id in state.seen:
        return Step(state, outcome="duplicate")
    governed = context.governance.policy(state.task.policy_id, state.task.policy_version)
    if governed is None:
        return Step(state, outcome="no_policy")
    change = _apply(state, event, governed.rubric)
    if change.rejection is not None:
        return Step(state, outcome="rejected", rejection=change.rejection)
    return _advance(state, event, change, governed, context)


def _unknown_task(label: Label, final: bool) -> Step[TaskState]:
    """Tasks and labels are two topics: a label may be read first. It is seen once more later, and only then refused."""
    if not final:
        return Step(None, outcome="retried", retry=True)
    message = f"task {label.task_id!r} was never queued; expected a task id from 'review-queue'"
    return Step(None, outcome="rejected", rejection=Rejection(RejectReason.UNKNOWN_TASK, message))


def _apply(state: TaskState, label: Label, rubric: Rubric) -> _Change:
    """A reviewer has at most one label on a task: a newer one replaces it, a retraction removes it."""
    own = next((known for known in state.labels if known.reviewer_id == label.reviewer_id), None)
    others = tuple(known for known in state.labels if known is not own)
    referred = label.retracts or label.supersedes
    if referred is not None and (own is None or own.event_id != referred):
        message = f"label {referred!r} of reviewer {label.reviewer_id!r} does not count on task {label.task_id!r}, so it cannot be taken back"
        return _Change(rejection=Rejection(RejectReason.UNKNOWN_LABEL, message))
    if label.retracts is not None:
        return _Change(others, "retracted")
    fault = fault_of(label, state.task, rubric)
    if fault is not None:
        return _Change(rejection=fault)
    if own is not None and (own.occurred_at, own.event_id) > (label.occurred_at, label.event_id):
        return _Change(state.labels, "replaced")
    late = label.occurred_at > state.task.due_at
    return _Change((*others, label), "replaced" if own else "accepted_late" if late else "accepted")


def _advance(state: TaskState, label: Label, change: _Change, governed: InForce, context: Context) -> Step[TaskState]:
    task, policy = state.task, governed.policy
    dimensions = tuple(dict.fromkeys((*state.dimensions, *dimensions_of(task, label, governed.rubric))))
    seen = (*state.seen, label.event_id)
    unshuffled = places(context.blinding_key, task.task_id, [candidate.candidate_id for candidate in task.candidates])
    out: list[Event] = list(
        contributions(task, change.labels, governed.rubric, places=unshuffled, slices=policy.agreement.slices, revision=len(seen), dimensions=dimensions)
    )
    complete = len(change.labels) >= task.labels_needed
    wanted = build_pairs(task, change.labels, governed.rubric, policy.pairs) if complete else ()
    live, events = _pair_events(state, wanted, label, governed)
    out += events
    if complete and not state.observed and task.in_population:
        out += _observations(task, change.labels, governed, context)
    following = TaskState(task=task, labels=change.labels, seen=seen, dimensions=dimensions, pairs=live, observed=state.observed or complete)
    return Step(following, tuple(out), change.outcome)


def _pair_events(state: TaskState, wanted: tuple[Pair, ...], label: Label, governed: InForce) -> tuple[dict[str, LivePair], list[Event]]:
    """Say what changed: new and revised pairs, and the withdrawal of those that no longer hold."""
    live: dict[str, LivePair] = {}
    out: list[Event] = []
    for pair in wanted:
        before = state.pairs.get(pair.pair_id)
        content = _content(pair, governed)
        if before is not None and before.content == content:
            live[pair.pair_id] = before
            continue
        event = _pair_event(state.task, pair, label, before)
        live[pair.pair_id] = LivePair(content=content, event_id=event.event_id)
        out.append(event)
    if not state.pairs.keys() <= live.keys():
        for pair in build_pairs(state.task, state.labels, governed.rubric, governed.policy.pairs):
            if pair.pair_id not in live:
                event = _pair_event(state.task, pair, label, state.pairs[pair.pair_id])
                out.append(event.model_copy(update={"withdrawn": True, "weight": 0.0}))
    return live, out


def _content(pair: Pair, governed: InForce) -> str:
    return derive_id("pair-content", pair.chosen, pair.rejected, repr(pair.margin), *pair.label_ids, governed.policy_hash)


def _pair_event(task: ReviewTask, pair: Pair, label: Label, before: LivePair | None) -> PreferencePair:
    return PreferencePair(
        event_id=derive_id("pair-event", pair.pair_id, label.event_id),
        occurred_at=label.occurred_at,
        application=task.application,
        pair_id=pair.pair_id,
        prompt_hash=task.prompt_hash,
        split=task.split,
        trainable=task.trainable,
        revises=before.event_id if before else None,
        margin=pair.margin,
        weight=1.0,
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


def _observations(task: ReviewTask, labels: tuple[Label, ...], governed: InForce, context: Context) -> Iterator[DriftObservations]:
    """The mean loss per dimension of the completion that was served, once per task, when its labels are complete."""
    served = candidate_id(context.blinding_key, task.task_id, 0)
    for dimension in governed.rubric.dimensions:
        losses = [
            dimension.scale.loss(rating.value)
            for label in labels
            for rating in label.ratings
            if rating.candidate_id == served and rating.dimension == dimension.name
        ]
        if not losses:
            continue
        metric = f"dimension:{dimension.name}@{governed.rubric.id}.{governed.rubric.version}"
        for series in drift_series(task.application, metric, task.slices, governed.policy.drift.slices):
            items = Losses(
                losses=np.array([sum(losses) / len(losses)]),
                marks=np.array([mark_of(task.task_id)]),
                checkpoints=np.array([-1]),
                trace_id=lambda _: task.trace_id,
            )
            named = replace(series, metric=f"dimension:{dimension.name}")
            yield observations(named, task.application, task.occurred_at, items, ())


def _task_id(event: ReviewTask | Label) -> str:
    return event.task_id


PROCESSOR = Processor(name="collection", inputs=(REVIEW_QUEUE, LABELS), step=step, outcomes=OUTCOMES, key=_task_id, state_type=TaskState)
