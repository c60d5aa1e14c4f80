"""A small governed application for processor tests: one rubric, one policy, and makers of traces, tasks and labels."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from trueloop.events import (
    Alternative,
    Candidate,
    Consent,
    Label,
    Message,
    PolicyPublished,
    Preference,
    Rating,
    ReviewForm,
    ReviewQuota,
    ReviewTask,
    Role,
    RubricPublished,
    SliceDisagreement,
    Split,
    Trace,
    derive_id,
)
from trueloop.events.conversation import prompt_hash
from trueloop.events.review_task import SamplingReason
from trueloop.processors.processor import Context
from trueloop.rubrics import Governance, Policy, Rubric, canonical_json, content_hash

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = "test-blinding-key"
RUBRIC = Rubric.model_validate(
    {
        "id": "support",
        "version": 1,
        "title": "Support",
        "statement": "Be right, be safe, be kind.",
        "dimensions": [
            {"name": "accuracy", "description": "Right numbers.", "scale": {"min": 0, "max": 1}, "floor": 0.9},
            {"name": "safety", "description": "No harm.", "scale": {"min": 0, "max": 1}},
            {"name": "tone", "description": "Kind.", "scale": {"min": 1, "max": 5}},
        ],
        "vetoes": ["safety"],
        "tie_break": ["accuracy"],
    }
)


def policy(**sections: Mapping[str, Any]) -> Policy:
    """The policy of the scenario, with changes per section."""
    document: dict[str, Any] = {
        "id": "support",
        "version": 1,
        "application": "support",
        "rubric": {"id": "support", "version": 1},
        "sampling": {"rate": 1.0, "labels_needed": 2, "calibration_share": 0.0},
        "agreement": {"slices": ["locale"]},
        "training": {"min_new_pairs": 2, "method": "dpo", "config": {"beta": 0.1}},
        "gate": {"min_items": 20, "dimensions": [{"dimension": "accuracy", "evaluator": "check:support"}]},
    }
    for name, changes in sections.items():
        document[name] = {**document.get(name, {}), **changes}
    return Policy.model_validate(document)


def context(
    governed: Policy | None = None, rubric: Rubric = RUBRIC, quotas: Sequence[ReviewQuota] = (), disagreements: Sequence[SliceDisagreement] = (), **more: Any
) -> Context:
    """A context in which the policy is in force from before START."""
    governed = governed or policy()
    common = {"occurred_at": START - timedelta(days=1), "application": governed.application}
    stamp, document = content_hash(rubric), canonical_json(rubric)
    rubrics = [RubricPublished(event_id="r", rubric_id=rubric.id, version=rubric.version, content_hash=stamp, document=document, **common)]
    stamp, document = content_hash(governed), canonical_json(governed)
    policies = [PolicyPublished(event_id="p", policy_id=governed.id, version=governed.version, content_hash=stamp, document=document, **common)]
    return Context(Governance(rubrics, policies, quotas, disagreements), KEY, **more)


def trace(number: int = 1, **changes: Any) -> Trace:
    """A trace with two different completions."""
    values: dict[str, Any] = {
        "event_id": f"trace-event-{number}",
        "occurred_at": START + timedelta(seconds=number),
        "application": "support",
        "trace_id": f"trace-{number}",
        "model": "m",
        "consent": Consent.TRAINING,
        "slices": {"locale": "de"},
        "messages": [Message(role=Role.USER, content=f"question {number}")],
        "completion": "served answer",
        "alternatives": [Alternative(completion="other answer", model="m2")],
    }
    return Trace(**(values | changes))


def task(number: int = 1, candidates: Sequence[str] = ("a", "b"), **changes: Any) -> ReviewTask:
    """A task whose candidates have the given ids, each with the completion 'text ID'."""
    messages = [Message(role=Role.USER, content=f"question {number}")]
    values: dict[str, Any] = {
        "event_id": f"task-event-{number}",
        "occurred_at": START + timedelta(seconds=number),
        "application": "support",
        "task_id": f"task-{number}",
        "trace_id": f"trace-{number}",
        "form": ReviewForm.RATING,
        "rubric_id": "support",
        "rubric_version": 1,
        "rubric_hash": content_hash(RUBRIC),
        "policy_id": "support",
        "policy_version": 1,
        "policy_hash": "h",
        "sampling_prob": 0.5,
        "stratum": "all",
        "reasons": [SamplingReason.UNIFORM],
        "slices": {"locale": "de"},
        "prompt_hash": prompt_hash(messages),
        "split": Split.TRAIN,
        "trainable": True,
        "labels_needed": 2,
        "pool": "default",
        "due_at": START + timedelta(days=1),
        "messages": messages,
        "candidates": [Candidate(candidate_id=name, completion=f"text {name}") for name in candidates],
    }
    return ReviewTask(**(values | changes))


def label(reviewer: str = "r1", task_number: int = 1, *, at: datetime = START + timedelta(minutes=5), **changes: Any) -> Label:
    """A label without content; give ratings, preferences or a rewrite."""
    values: dict[str, Any] = {
        "event_id": derive_id("label", reviewer, str(task_number), str(at), repr(sorted(changes.items(), key=str))),
        "occurred_at": at,
        "application": "support",
        "task_id": f"task-{task_number}",
        "reviewer_id": reviewer,
        "rubric_id": "support",
        "rubric_version": 1,
    }
    return Label(**(values | changes))


def ratings(values: Mapping[str, Mapping[str, int]]) -> list[Rating]:
    """Ratings as {candidate: {dimension: value}}."""
    return [Rating(candidate_id=c, dimension=d, value=v) for c, by_dimension in values.items() for d, v in by_dimension.items()]


def prefers(candidate: str | None, dimension: str | None = None) -> list[Preference]:
    """One preference."""
    return [Preference(dimension=dimension, preferred=candidate)]
