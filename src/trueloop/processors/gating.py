"""Gating: evaluations in; gate decisions and releases out. State is one application's serving checkpoint."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from trueloop.events import Evaluation, Event, GateDecision, GateReason, Release, ReleaseReason, Verdict
from trueloop.events.identity import derive_id
from trueloop.gates.decide import Decision, decide
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.rubrics import InForce
from trueloop.topics import EVALUATIONS, RELEASES

OUTCOMES = frozenset({"passed", "blocked", "inconclusive", "noted", "no_policy"})
_OUTCOME = {Verdict.PASS: "passed", Verdict.BLOCK: "blocked", Verdict.INCONCLUSIVE: "inconclusive"}


class ServingState(BaseModel):
    """Which checkpoint serves, as far as this worker has read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    checkpoint: str | None = None


def step(state: ServingState | None, event: Evaluation | Release, *, source: Source, now: datetime, final: bool, context: Context) -> Step[ServingState]:
    """Decide on an evaluated candidate, or note a release. A candidate that passes is released in the same step."""
    state = state or ServingState()
    if isinstance(event, Release):
        return Step(ServingState(checkpoint=event.checkpoint), outcome="noted")
    governed = context.governance.policy(event.policy_id, event.policy_version)
    if governed is None:
        return Step(state, outcome="no_policy")
    decision = decide(event, governed.policy, governed.rubric)
    if decision.verdict is Verdict.PASS and state.checkpoint not in (None, event.baseline, event.candidate):
        # What it was compared with no longer serves: a pass against it says nothing of a regression against what does.
        decision = Decision(Verdict.INCONCLUSIVE, (GateReason.BASELINE_SUPERSEDED,), decision.dimensions, None)
    gate = _gate(event, decision, governed)
    if decision.verdict is not Verdict.PASS:
        return Step(state, (gate,), _OUTCOME[decision.verdict])
    return Step(ServingState(checkpoint=event.candidate), (gate, _release(event, gate)), _OUTCOME[decision.verdict])


def _gate(evaluation: Evaluation, decision: Decision, governed: InForce) -> GateDecision:
    return GateDecision(
        event_id=derive_id("gate", evaluation.event_id, governed.policy_hash, governed.rubric_hash),
        occurred_at=evaluation.occurred_at,
        application=evaluation.application,
        candidate=evaluation.candidate,
        candidate_uri=evaluation.candidate_uri,
        candidate_sha256=evaluation.candidate_sha256,
        baseline=evaluation.baseline,
        verdict=decision.verdict,
        reasons=list(decision.reasons),
        dimensions=list(decision.dimensions),
        labels_needed=decision.labels_needed,
        evaluation_id=evaluation.event_id,
        job_id=evaluation.job_id,
        policy_id=governed.policy.id,
        policy_version=governed.policy.version,
        policy_hash=governed.policy_hash,
        rubric_id=governed.rubric.id,
        rubric_version=governed.rubric.version,
        rubric_hash=governed.rubric_hash,
    )


def _release(evaluation: Evaluation, gate: GateDecision) -> Release:
    return Release(
        event_id=derive_id("release", gate.event_id),
        occurred_at=evaluation.occurred_at,
        application=evaluation.application,
        checkpoint=evaluation.candidate,
        checkpoint_uri=evaluation.candidate_uri,
        checkpoint_sha256=evaluation.candidate_sha256,
        previous=evaluation.baseline,
        reason=ReleaseReason.GATE_PASS,
        gate_id=gate.event_id,
    )


def _application(event: Event) -> str:
    return event.application


PROCESSOR = Processor(name="gating", inputs=(EVALUATIONS, RELEASES), step=step, outcomes=OUTCOMES, key=_application, state_type=ServingState)
