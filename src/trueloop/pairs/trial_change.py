"""What a change of a task does to the trial that it is part of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from trueloop.events import Event, TrialOutcome
from trueloop.events.identity import derive_id
from trueloop.labels.trial_vote import trial_verdict, unblinded, vote
from trueloop.pairs.task_state import TaskState
from trueloop.rubrics import InForce

OTHER_KEY = "trial_of_another_key"
"""The task was blinded with a key that is not ours, so nobody knows whose answer won."""
SENIOR_WAS_REVIEWER = "senior_was_reviewer"
"""Who answered as a senior is among the reviewers who were split, so the answer does not count: the trial waits for another senior."""


@dataclass(frozen=True, slots=True)
class TrialChange:
    """The task once what changed was told, the event that tells it, if anything did, and what was dropped."""

    state: TaskState
    out: tuple[Event, ...] = ()
    drops: Mapping[str, int] = field(default_factory=dict)


def seniors_unheard(before: TaskState, after: TaskState) -> int:
    """Return how many answers to a senior's task have become of no account, because who gave them is among the trial's reviewers."""
    if after.task is None or after.task.trial is None or not after.task.trial.senior:
        return 0
    return len(_unheard(after) - _unheard(before))


def _unheard(state: TaskState) -> set[str]:
    return set() if state.truth is None else {voice.label_id for voice in state.truth.labels if voice.involved}


def trial_change(state: TaskState, governed: InForce, at: datetime, blinding_key: str) -> TrialChange:
    """Tell what people say of a trial, if it is something else than was told last.

    Args:
        state: A task that is known, after the change.
        governed: The policy of the task, and its rubric.
        at: When it changed.
        blinding_key: Of the deployment.
    """
    task, asked = state.of_task, governed.policy.gate.asks_people
    if task.trial is None or asked is None:
        return TrialChange(state)
    sides = unblinded(task, blinding_key)
    if sides is None:
        return TrialChange(state, drops={OTHER_KEY: 1})
    votes = {label.event_id: vote(label, sides, asked.dimension, governed.rubric) for label in state.labels}
    verdict = trial_verdict(task, state.labels, state.truth, votes, has_senior=governed.policy.gate.people.senior_pool is not None)
    if verdict is state.told:
        return TrialChange(state)
    label_ids = sorted(label.event_id for label in state.labels)
    outcome = TrialOutcome(
        event_id=derive_id("trial-outcome", task.task_id, str(len(state.seen)), verdict.value, *label_ids),
        occurred_at=at,
        application=task.application,
        trial_id=task.trial.trial_id,
        evaluation_id=task.trial.evaluation_id,
        task_id=task.task_id,
        senior=task.trial.senior,
        dimension=asked.dimension,
        verdict=verdict,
        revision=len(state.seen),
        label_ids=label_ids,
    )
    return TrialChange(state.model_copy(update={"told": verdict}), (outcome,))
