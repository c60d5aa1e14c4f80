"""Gating: evaluations, people's answers and drift alarms in; gate decisions and releases out. State is one application: what serves, the looks that
were taken, and the evaluations that people may still settle.

An evaluation of which people are asked is decided on when it comes, and again as answers come, until it passes or is blocked: then it is closed, and
a label that is edited or taken back later moves nothing. What people say is judged at the error of that one look, which holds over all its moments.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from trueloop.events import DriftSignal, DriftState, Evaluation, Event, GateDecision, GateReason, Release, ReleaseReason, TrialOutcome, Verdict
from trueloop.events.identity import derive_id
from trueloop.gates.decide import Decision, decide
from trueloop.gates.looks import Look, LookLedger
from trueloop.gates.open_trials import REMEMBERED as OPEN
from trueloop.gates.open_trials import Answers, OpenEvaluation
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.rubrics import InForce
from trueloop.topics import DRIFT, EVALUATIONS, RELEASES, TRIAL_OUTCOMES

OUTCOMES = frozenset(
    {
        "passed", "blocked", "inconclusive", "duplicate", "noted", "no_policy", "no_alarm", "not_serving", "rolled_back", "kept", "answered", "early",
        "closed",
    }
)  # fmt: skip
UNSETTLED = "unsettled"
"""An evaluation that people had not settled when `OPEN` newer ones waited for them too."""
QUALITY = ("dimension:", "score:")
"""Metrics whose losses say that answers became worse. Others say that something became different, which is no reason to take a checkpoint back."""
REMEMBERED = 100
"""Releases whose ids are remembered, to know the gate's own when they are read."""
_OUTCOME = {Verdict.PASS: "passed", Verdict.BLOCK: "blocked", Verdict.INCONCLUSIVE: "inconclusive"}


class ServingState(BaseModel):
    """What serves an application, as far as this worker has read or decided, the looks that were taken, the evaluations that wait for people, oldest
    first, and answers to evaluations that were not read yet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 3
    serving: Release | None = None
    known: tuple[str, ...] = ()
    looks: LookLedger = LookLedger()
    waiting: tuple[OpenEvaluation, ...] = ()
    early: dict[str, Answers] = {}

    def served_by(self, release: Release) -> "ServingState":
        """Return the state after a release; the gate's own are known before they are read."""
        if release.event_id in self.known:
            return self
        return self.model_copy(update={"serving": release, "known": (*self.known, release.event_id)[-REMEMBERED:]})


def step(
    state: ServingState | None, event: Evaluation | TrialOutcome | Release | DriftSignal, *, source: Source, now: datetime, final: bool, context: Context
) -> Step[ServingState]:
    """Decide on an evaluated candidate, count what people say of it, note a release, or take back what alarms. A candidate that passes is released in
    the same step.

    What the state already holds was delivered before, so an evaluation that comes again gives nothing: released again, it would undo a rollback.
    """
    state = state or ServingState()
    if isinstance(event, Release):
        return Step(state.served_by(event), outcome="noted")
    if isinstance(event, DriftSignal):
        return _alarmed(state, event, context)
    if isinstance(event, TrialOutcome):
        return _answered(state, event, context)
    governed = context.governance.policy(event.policy_id, event.policy_version)
    if governed is None:
        return Step(state, outcome="no_policy")
    if state.looks.knows(event):
        return Step(state, outcome="duplicate")
    return _decided(state, event, governed, context)


def _decided(state: ServingState, event: Evaluation, governed: InForce, context: Context) -> Step[ServingState]:
    looks, look = state.looks.taken(event, governed.policy.gate)
    taken = event.error is None and (bool(event.trials) or any(scores.n >= governed.policy.gate.min_items for scores in event.scores))
    if not taken:  # where nothing can be tested nothing can pass by luck, so it is no look
        look = Look.numbered(governed.policy.gate, 1)
        return _told(state, _Case(event, governed, None, event.occurred_at), decide(event, governed.policy, governed.rubric, look), context)
    following = state.model_copy(update={"looks": looks})
    if not event.trials:
        return _told(following, _Case(event, governed, look, event.occurred_at), decide(event, governed.policy, governed.rubric, look), context)
    opened = OpenEvaluation(evaluation=event, look=look, answers=state.early.get(event.event_id, Answers()))
    early = {name: answers for name, answers in state.early.items() if name != event.event_id}
    waiting = (*state.waiting, opened)
    weighed = _weighed(following.model_copy(update={"early": early, "waiting": waiting[-OPEN:]}), opened, governed, context, at=event.occurred_at)
    return replace(weighed, drops={UNSETTLED: 1}) if len(waiting) > OPEN else weighed


def _answered(state: ServingState, outcome: TrialOutcome, context: Context) -> Step[ServingState]:
    """Count what people say of a trial. What was settled stays settled; what is not known yet waits for its evaluation."""
    opened = next((each for each in state.waiting if each.evaluation.event_id == outcome.evaluation_id), None)
    if opened is None and any(each.evaluation == outcome.evaluation_id for each in state.looks.looked):
        return Step(state, outcome="closed")
    if opened is None:
        answers = state.early.get(outcome.evaluation_id, Answers()).after(outcome)
        others = {name: known for name, known in state.early.items() if name != outcome.evaluation_id}
        kept = dict([*others.items(), (outcome.evaluation_id, answers)][-OPEN:])
        return Step(state.model_copy(update={"early": kept}), outcome="early", drops={UNSETTLED: 1} if len(others) == OPEN else {})
    governed = context.governance.policy(opened.evaluation.policy_id, opened.evaluation.policy_version)
    if governed is None:
        return Step(state, outcome="no_policy")
    answers = opened.answers.after(outcome)
    if answers == opened.answers:
        return Step(state, outcome="duplicate")
    return _weighed(state, opened.model_copy(update={"answers": answers}), governed, context, at=outcome.occurred_at)


def _weighed(state: ServingState, opened: OpenEvaluation, governed: InForce, context: Context, *, at: datetime) -> Step[ServingState]:
    """Decide on an evaluation with the answers that there are; tell of it when that settles it, and now and then on the way."""
    evaluation, look = opened.evaluation, opened.look
    decision = decide(evaluation, governed.policy, governed.rubric, look, opened.answers.values)
    is_settled, counted = decision.verdict is not Verdict.INCONCLUSIVE, len(decision.answers)
    is_due = is_settled or opened.is_due(counted)
    standing = opened.model_copy(update={"told": counted}) if is_due else opened
    waiting = ((standing if each.evaluation.event_id == evaluation.event_id else each) for each in state.waiting)
    following = state.model_copy(update={"waiting": tuple(each for each in waiting if not is_settled or each.evaluation.event_id != evaluation.event_id)})
    if not is_due:
        return Step(following, outcome="answered")
    told = _told(following, _Case(evaluation, governed, look, at), decision, context)
    return told if is_settled or opened.told is None else replace(told, outcome="answered")


@dataclass(frozen=True, slots=True)
class _Case:
    """An evaluation, what governs it, the look that it is (None: there was too little to look at), and when it was decided on."""

    evaluation: Evaluation
    governed: InForce
    look: Look | None
    at: datetime


def _told(state: ServingState, case: _Case, decision: Decision, context: Context) -> Step[ServingState]:
    """Tell a decision, and release the candidate that passes."""
    event, serving = case.evaluation, state.serving.checkpoint if state.serving else None
    if decision.verdict is Verdict.PASS and serving not in (None, event.baseline, event.candidate):
        # What it was compared with no longer serves: a pass against it says nothing of a regression against what does.
        decision = replace(decision, verdict=Verdict.INCONCLUSIVE, reasons=(GateReason.BASELINE_SUPERSEDED,), labels_needed=None)
    gate = _gate(case, decision)
    if decision.verdict is not Verdict.PASS:
        return Step(state, (gate,), _OUTCOME[decision.verdict])
    release = _release(event, gate, state.serving)
    if context.restoring or release.event_id in state.known:
        return Step(state, (gate,), "passed")  # it was released before: `releases` says what came of it
    return Step(state.served_by(release), (gate, release), "passed")


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


def _gate(case: _Case, decision: Decision) -> GateDecision:
    evaluation, governed, look = case.evaluation, case.governed, case.look
    return GateDecision(
        event_id=derive_id("gate", evaluation.event_id, governed.policy_hash, governed.rubric_hash, *map(str, decision.answers)),
        occurred_at=case.at,
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
        occurred_at=gate.occurred_at,
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


PROCESSOR = Processor(
    name="gating",
    inputs=(EVALUATIONS, TRIAL_OUTCOMES, RELEASES, DRIFT),
    step=step,
    outcomes=OUTCOMES,
    drops=frozenset({UNSETTLED}),
    key=_application,
    state_type=ServingState,
)
