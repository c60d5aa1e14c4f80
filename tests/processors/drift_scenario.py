"""A policy with small windows, a driver of the drift processor, and makers of observations."""

from datetime import timedelta

import numpy as np

from tests.factories import START, example
from trueloop.events import DriftObservations, PolicyPublished, RubricPublished
from trueloop.processors.drift import PROCESSOR
from trueloop.processors.processor import Context
from trueloop.rubrics import Governance
from trueloop.rubrics.policy import Drift, Policy
from trueloop.rubrics.rubric import Rubric
from trueloop.testing import ProcessorDriver

CONFIG = Drift(reference_size=20, arl_target=1000.0, tolerance=0.02)


def governance(applications=("billing-support",), **changes):
    rubric = Rubric.model_validate(
        {
            "id": "billing",
            "version": 2,
            "title": "Billing",
            "statement": "Answer well.",
            "dimensions": [{"name": "tone", "description": "Kind.", "scale": {"min": 1, "max": 5}}],
        }
    )
    policy = Policy.model_validate(
        {
            "id": "billing-policy",
            "version": 1,
            "application": "billing-support",
            "rubric": {"id": "billing", "version": 2},
            "sampling": {"rate": 1.0},
            "drift": CONFIG.model_dump() | changes,
            "gate": {"dimensions": [{"dimension": "tone", "evaluator": "check:tone"}]},
        }
    )
    document = policy.model_dump_json()
    policies = [
        example(PolicyPublished, event_id=name, application=name, policy_id="billing-policy", version=1, content_hash="policy-hash", document=document)
        for name in applications
    ]
    return Governance(
        [example(RubricPublished, rubric_id="billing", version=2, document=rubric.model_dump_json(), application=name) for name in applications], policies
    )


GOVERNANCE = governance()


def driver():
    return ProcessorDriver(PROCESSOR, Context(GOVERNANCE))


def observation(number, loss, checkpoint="v1", **changes):
    return several([(number, loss)], checkpoint=checkpoint, **changes)


def several(items, checkpoint="v1", source=None, **changes):
    """Observations of traces by number, in one event; with a source, their numbers are their offsets there."""
    worst = sorted(((loss, -place) for place, (_, loss) in enumerate(items) if loss > 0), reverse=True)[:20]
    fields = {
        "event_id": f"observations-{items[0][0]}-{items[-1][0]}",
        "occurred_at": START + timedelta(seconds=items[-1][0]),
        "series_id": "series-1",
        "losses": np.array([loss for _, loss in items]).tobytes(),
        "marks": np.array([number for number, _ in items]).tobytes(),
        "source": source,
        "offsets": np.array([number for number, _ in items]).tobytes() if source else b"",
        "checkpoints": [checkpoint] if checkpoint else [],
        "checkpoint_of": b"",
        "worst": [{"place": -place, "trace_id": f"trace-{items[-place][0]}"} for _, place in worst],
    }
    return example(DriftObservations, **(fields | changes))


def feed(drive, losses, start=0, **changes):
    for number, loss in enumerate(losses, start=start):
        drive.send(observation(number, loss, **changes))


def states(drive):
    return [signal.state for signal in drive.out]


GOOD_THEN_BAD = [0.0] * 20 + [1.0] * 8
