"""What a change of a task does to its pairs: new and revised ones, the withdrawal of those that no longer hold, and what was dropped."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from trueloop.events import Event, PairSource, PreferencePair, ReviewTask
from trueloop.events.identity import derive_id
from trueloop.pairs.adjudicated import heard_labels, is_decided
from trueloop.pairs.build import Dropped, Pair, TaskPairs, build_pairs
from trueloop.pairs.correctness import Posteriors, order_probability, posteriors_of, unfitted_posteriors
from trueloop.pairs.task_state import LivePair, TaskState
from trueloop.rubrics import InForce, Rubric
from trueloop.sampling.blinding import unseal


@dataclass(frozen=True, slots=True)
class Cause:
    """What changed the pairs of a task: when it happened, and what makes the event that says so one of its own."""

    at: datetime
    identity: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PairChanges:
    """The pairs that hold now, what was dropped, the events that tell what is new of them, and how much was dropped for the first time, by reason."""

    live: dict[str, LivePair]
    dropped: dict[str, Dropped]
    out: list[Event]
    drops: Mapping[str, int]

    def applied_to(self, state: TaskState) -> TaskState:
        """Return the state once this was told."""
        return state.model_copy(update={"pairs": self.live, "dropped": self.dropped})


def pair_changes(before: TaskState, after: TaskState, governed: InForce, cause: Cause, blinding_key: str) -> PairChanges:
    """Return what has changed between two states of a task, of which the second one knows its task."""
    task, built = after.of_task, _task_pairs(after, governed)
    posteriors = _posteriors(after, governed.rubric) if built.pairs else {}
    live: dict[str, LivePair] = {}
    out: list[Event] = []
    for pair in built.pairs:
        known = before.pairs.get(pair.pair_id)
        p_correct = order_probability(pair, task, posteriors, governed.rubric)
        content = _content(pair, governed)
        if known is not None and known.content == content and not _has_moved(known.p_correct, p_correct, governed.policy.pairs.revise_above):
            live[pair.pair_id] = known
            continue
        event = _pair_event(task, pair, cause, known, blinding_key).model_copy(update={"p_correct": p_correct})
        live[pair.pair_id] = LivePair(content=content, event_id=event.event_id, weight=pair.weight, p_correct=p_correct)
        out.append(event)
    if not before.pairs.keys() <= live.keys():
        for pair in _task_pairs(before, governed).pairs:
            if pair.pair_id in before.pairs and pair.pair_id not in live:
                event = _pair_event(task, pair, cause, before.pairs[pair.pair_id], blinding_key)
                out.append(event.model_copy(update={"withdrawn": True, "weight": 0.0}))
    news = Counter(reason.value for name, reason in built.dropped.items() if before.dropped.get(name) is not reason)
    return PairChanges(live, dict(built.dropped), out, news)


def _task_pairs(state: TaskState, governed: InForce) -> TaskPairs:
    """Return the pairs of a task that has its labels, or that an adjudicator has settled. One whose answer is known has none; nor has a trial, whose prompt
    is held out, nor an adjudication: what is decided there is said of the task that it settles."""
    task, labels = state.of_task, state.speaking
    if task.trial is not None or task.adjudicates is not None or (len(labels) < task.labels_needed and not is_decided(state.truth)):
        return TaskPairs()
    built = build_pairs(task, heard_labels(task, labels, state.truth), governed.rubric, governed.policy.pairs, state.weights)
    if not state.is_gold:
        return built
    return TaskPairs((), {**built.dropped, **{pair.pair_id: Dropped.GOLD for pair in built.pairs}})


def _posteriors(state: TaskState, rubric: Rubric) -> Posteriors:
    """Return what is probably true: what was told of just these labels, or else what they say while nothing is known of who gave them, but for what
    an adjudicator decided."""
    units = () if state.truth is None else state.truth.units
    if state.truth is not None and {voice.label_id for voice in state.truth.labels} == {label.event_id for label in state.labels}:
        return posteriors_of(units)
    decided = posteriors_of([unit for unit in units if unit.decided is not None])
    return {**unfitted_posteriors(state.of_task, state.labels, rubric, state.weights), **decided}


def _has_moved(before: float | None, now: float | None, step: float) -> bool:
    return before is not now if before is None or now is None else abs(now - before) > step


def _content(pair: Pair, governed: InForce) -> str:
    return derive_id("pair-content", pair.chosen, pair.rejected, repr(pair.margin), repr(pair.weight), *pair.label_ids, governed.policy_hash)


def _pair_event(task: ReviewTask, pair: Pair, cause: Cause, before: LivePair | None, blinding_key: str) -> PreferencePair:
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
        source=pair.source if task.in_population else PairSource.APPEAL,
        outcomes=list(pair.outcomes),
        task_id=task.task_id,
        trace_id=task.trace_id,
        label_ids=list(pair.label_ids),
        reviewers=list(pair.reviewers),
        appellant=None if task.appellant is None else unseal(blinding_key, task.task_id, task.appellant),
        rubric_id=task.rubric_id,
        rubric_version=task.rubric_version,
        rubric_hash=task.rubric_hash,
        policy_version=task.policy_version,
        slices=task.slices,
        messages=task.messages,
        chosen=pair.chosen,
        rejected=pair.rejected,
    )
