"""Adjudications: a person of more authority is asked about a task on which its reviewers leave too much open."""

from datetime import datetime, timedelta

from trueloop.events import ReviewForm, ReviewTask, SamplingReason
from trueloop.events.identity import derive_id, permutation
from trueloop.rubrics.policy import Policy

STRATUM = "adjudication"
"""It is no slice: those are called 'name=value'."""


def adjudication_id(application: str, task_id: str) -> str:
    """Return the id of the task that settles another one. There is one of each, whatever happens to the other's labels meanwhile."""
    return derive_id("task", "adjudication", application, task_id)


def adjudication_task(task: ReviewTask, asked_at: datetime, policy: Policy, pool: str, blinding_key: str) -> ReviewTask:
    """Return the task that asks a pool to settle another one: the same trace, rubric and candidates, displayed in an order of its own.

    It says nothing of what the reviewers said. Candidates keep their ids, by which the decision is read back; what is asked is a decision, so that a
    task for rewrites, edits or critiques is asked to be rated. Nobody's appellant is named: it gives no pair of its own.

    Args:
        task: The task that is to be settled, none that settles another.
        asked_at: When it was first found to need an adjudicator: time of the newest label by then.
        policy: Of the task.
        pool: Group of reviewers that may take it.
        blinding_key: Of the deployment.
    """
    task_id = adjudication_id(task.application, task.task_id)
    shown = sorted(task.candidates, key=lambda candidate: candidate.candidate_id)
    changes = {
        "event_id": derive_id("review-task", task_id, task.event_id),
        "occurred_at": asked_at,
        "task_id": task_id,
        "form": ReviewForm.PAIRWISE if task.form is ReviewForm.PAIRWISE else ReviewForm.RATING,
        "sampling_prob": 1.0,
        "stratum": STRATUM,
        "reasons": [SamplingReason.ADJUDICATION],
        "labels_needed": 1,
        "pool": pool,
        "due_at": asked_at + timedelta(minutes=policy.sampling.due_minutes),
        "appellant": None,
        "adjudicates": task.task_id,
        "candidates": [shown[place] for place in permutation(len(shown), "order", blinding_key, task_id)],
    }
    return task.model_copy(update=changes)
