"""A trigger with a checkpoint that serves, and makers of pairs, releases and decisions of the gate."""

from datetime import timedelta
from typing import Any

from tests.factories import example
from tests.processors.scenario import START, context, policy
from trueloop.events import (
    GateDecision,
    GateReason,
    PreferencePair,
    Release,
    ReleaseReason,
    Split,
    Verdict,
)
from trueloop.processors.trigger import PROCESSOR
from trueloop.testing import ProcessorDriver
from trueloop.topics import TRAINING_REQUESTS

SUPPORT = {"application": "support", "rubric_id": "support", "rubric_version": 1}


def pair(number: int, **changes: Any) -> PreferencePair:
    values = SUPPORT | {
        "event_id": f"pair-event-{number}",
        "pair_id": f"pair-{number}",
        "occurred_at": START + timedelta(minutes=number),
        "split": Split.TRAIN,
        "trainable": True,
        "withdrawn": False,
        "revises": None,
        "replaced_weight": 0.0,
    }
    return example(PreferencePair, **(values | changes))


def release(checkpoint: str = "base", reason: ReleaseReason = ReleaseReason.INITIAL) -> Release:
    return example(Release, application="support", checkpoint=checkpoint, checkpoint_uri=f"uri-{checkpoint}", reason=reason, occurred_at=START)


def gate(job_id: str, verdict: Verdict, reasons: list[GateReason], candidate: str = "candidate-1") -> GateDecision:
    return example(
        GateDecision,
        application="support",
        job_id=job_id,
        verdict=verdict,
        reasons=reasons,
        candidate=candidate,
        candidate_uri=f"uri-{candidate}",
        occurred_at=START + timedelta(hours=2),
    )


def driver(history: tuple[Any, ...] = (), **sections: Any) -> ProcessorDriver:
    run = ProcessorDriver(PROCESSOR, context(policy(**sections), history=history))
    run.send(release())
    return run


def requests(run: ProcessorDriver) -> list[Any]:
    return run.out_of(TRAINING_REQUESTS)
