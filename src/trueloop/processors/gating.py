"""Gating: evaluations and drift alarms in; gate decisions and releases out. State is one application: what serves, and the looks that were taken."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from trueloop.events import DriftSignal, DriftState, Evaluation, Event, GateDecision, GateReason, Release, ReleaseReason, Verdict
from trueloop.events.identity import derive_id
from trueloop.gates.decide import Decision, decide
from trueloop.gates.looks import Look, LookLedger
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.rubrics import InForce
from trueloop.topics import DRIFT, EVALUATIONS, RELEASES

OUTCOMES = frozenset({"passed", "blocked", "inconclusive", "duplicate", "noted", "no_policy", "no_alarm", "not_serving", "rolled_back", "kept"})
QUALITY = ("dimension:", "score:")
"""Metrics whose losses say that answers became worse. Others say that something became different, which is no reason to take a checkpoint back."""
REMEMBERED = 100
"""Releases whose ids are remembered, to know the gate's own when they are read."""
_OUTCOME = {Verdict.PASS: "passed", Verdict.BLOCK: "blocked", Verdict.INCONCLUSIVE: "inconclusive"}


class ServingState(BaseModel):
    """What serves an application, as far as this worker has read or decided, and the looks that were taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 2
    serving: Release | None = None
    known: tuple[str, ...] = ()
    looks: LookLedger = LookLedger()

    def served_by(self, release: Release) -> "ServingState":
        """Return the state after a release; the gate's own are known before they are read."""
        if release.event_id in self.known:
            return self
        return self.model_copy(update={"serving": release, "known": (*self.known, release.event_id)[-REMEMBERED:]})


def step(
    state: ServingState | None, event: Evaluation | Release | DriftSignal, *, source: Source, now: datetime, final: bool, context: Context
) -> Step[ServingState]:
    """Decide on an evaluated candidate, note a release, or take back what alarms. A candidate that passes is released in the same step.

    What the state already holds was delivered before, so an evaluation that comes again gives nothing: released again, it would undo a rollback.
    """
    state = state or ServingState()
    if isinstance(event, Release):
        return Step(state.served_by(event), outcome="noted")
    if isinstance(event, DriftSignal):
        return _alarmed(state, event, context)
    governed = context.governance.policy(event.policy_id, event.policy_version)
    if governed is None:
        return Step(state, outcome="no_policy")
    if state.looks.knows(event):
        return Step(state, outcome="duplicate")
    return _decided(state, event, governed, context)


def _decided(state: ServingState, event: Evaluation, governed: InForce, context: Context) -> Step[ServingState]:
    looks, look = state.looks.taken(event, governed.policy.gate)
    taken = event.error is None and any(scores.n >= governed.policy.gate.min_items for scores in event.scores)
    if not taken:  # where nothing can be tested nothing can pass by luck, so it is no look
        looks, look = state.looks, Look.numbered(governed.policy.gate, 1)
    decision = decide(event, governed.policy, governed.rubric, look)
    serving = state.serving.checkpoint if state.serving else None
    if decision.verdict is Verdict.PASS and serving not in (None, event.baseline, event.candidate):
        # What it was compared with no longer serves: a pass against it says nothing of a regression against what does.
        decision = Decision(Verdict.INCONCLUSIVE, (GateReason.BASELINE_SUPERSEDED,), decision.dimensions, None)
    gate = _gate(event, decision, governed, look if taken else None)
    following = state.model_copy(update={"looks": looks})
    if decision.verdict is not Verdict.PASS:
        return Step(following, (gate,), _OUTCOME[decision.verdict])
    release = _release(event, gate, state.serving)
    if context.restoring or release.event_id in state.known:
        return Step(following, (gate,), "passed")  # it was released before: `releases` says what came of it
    return Step(following.served_by(release), (gate, release), "passed")


def _alarmed(state: ServingState, signal: DriftSignal, context: Context) -> Step[ServingState]:
    """Take back what a gate released when its quality alarms, once. What a person released, or an alarm brought back, stays."""
    if signal.state is not DriftState.ALARM or not signal.metric.startswith(QUALITY):
        return Step(state, outcome="no_alarm")
    serving = state.serving
    if serving is None or signal.checkpoint != serving.checkpoint:
        return Step(state, outcome="not_serving")
    governed = context.governance.in_force(signal.application, signal.occurred_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    if context.restoring or not governed.policy.gate.rollback_on_alarm or serving.reason is not ReleaseReason.GATE_PASS:
        return Step(state, outcome="kept")
    if serving.previous is None or serving.previous_uri is None or serving.previous_sha256 is None:
        return Step(state, outcome="kept")
    release = Release(
        event_id=derive_id("rollback", serving.event_id),
        occurred_at=signal.occurred_at,
        application=signal.application,
        checkpoint=serving.previous,
        checkpoint_uri=serving.previous_uri,
        checkpoint_sha256=serving.previous_sha256,
        previous=serving.checkpoint,
        previous_uri=serving.checkpoint_uri,
        previous_sha256=serving.checkpoint_sha256,
        reason=ReleaseReason.ROLLBACK,
        causes=[cause for cause in (signal.event_id, serving.event_id, serving.gate_id) if cause],
    )
    return Step(state.served_by(release), (release,), "rolled_back")


def _gate(evaluation: Evaluation, decision: Decision, governed: InForce, look: Look | None) -> GateDecision:
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
        look_family=look.family if look else 0,
        look=look.number if look else 0,
        candidate_look=look.of_candidate if look else 0,
        alpha=look.alpha if look else None,
        job_id=evaluation.job_id,
        policy_id=governed.policy.id,
        policy_version=governed.policy.version,
        policy_hash=governed.policy_hash,
        rubric_id=governed.rubric.id,
        rubric_version=governed.rubric.version,
        rubric_hash=governed.rubric_hash,
    )


def _release(evaluation: Evaluation, gate: GateDecision, serving: Release | None) -> Release:
    known = serving if serving is not None and serving.checkpoint == evaluation.baseline else None
    return Release(
        event_id=derive_id("release", gate.event_id),
        occurred_at=evaluation.occurred_at,
        application=evaluation.application,
        checkpoint=evaluation.candidate,
        checkpoint_uri=evaluation.candidate_uri,
        checkpoint_sha256=evaluation.candidate_sha256,
        previous=evaluation.baseline,
        previous_uri=known.checkpoint_uri if known else None,
        previous_sha256=known.checkpoint_sha256 if known else None,
        reason=ReleaseReason.GATE_PASS,
        gate_id=gate.event_id,
        causes=[gate.event_id, evaluation.event_id],
    )


def _application(event: Event) -> str:
    return event.application


PROCESSOR = Processor(name="gating", inputs=(EVALUATIONS, RELEASES, DRIFT), step=step, outcomes=OUTCOMES, key=_application, state_type=ServingState)
