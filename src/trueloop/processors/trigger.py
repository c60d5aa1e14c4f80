"""The training trigger: pairs, agreement, drift, gates and releases in; dataset versions and training requests out. State is one application."""

from datetime import datetime, timedelta
from typing import Any

from trueloop.datasets.pair_log import in_dataset
from trueloop.datasets.running_log import PairLog
from trueloop.events import (
    AgreementEstimate,
    DatasetOrder,
    DatasetVersion,
    DimensionAgreement,
    DriftSignal,
    DriftState,
    Event,
    GateDecision,
    GateReason,
    JobStatus,
    PreferencePair,
    Release,
    ReleaseReason,
    TrainingRequest,
    TrainingResult,
    TriggerReason,
    Verdict,
    job_id_of,
)
from trueloop.events.agreement import WindowKind
from trueloop.events.identity import derive_id
from trueloop.processors.freezing import freeze_if_due, freeze_standing, log_key, obey, repeat_rollbacks
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.processors.trigger_state import Alarm, Checkpoint, TriggerState
from trueloop.rubrics import InForce, canonical_json
from trueloop.topics import AGREEMENT, DATASET_ORDERS, DATASET_VERSIONS, DRIFT, GATES, PREFERENCE_PAIRS, RELEASES, TRAINING_REQUESTS, TRAINING_RESULTS

OUTCOMES = frozenset(
    {"counted", "not_for_training", "duplicate", "noted", "no_policy", "dataset_frozen", "requested", "already_requested", "rolled_back", "refused"}
)
RECENT = 2000
"""Event ids that are remembered to count a re-sent pair once: a worker that dies re-sends at most the batches it had in flight."""
REGRESSED = {
    GateReason.REGRESSION, GateReason.REGRESSION_UNCERTAIN, GateReason.NOT_SUPERIOR, GateReason.SAFETY_FAILURE, GateReason.NO_EVIDENCE,
    GateReason.EVALUATION_FAILED, GateReason.AWAITING_PEOPLE,
}  # fmt: skip


def step(state: TriggerState | None, event: Event, *, source: Source, now: datetime, final: bool, context: Context) -> Step[TriggerState]:
    """Take one event into account, and order a job when the policy's conditions hold.

    Dataset versions are frozen at fixed places of the pair log, so that a replay freezes the same ones: after so many new pairs, and, while an
    alarm stands that no job has answered, after fewer. When an alarm is read between which pairs is not fixed, so a version that
    `dataset-versions` already holds is frozen where it says, and nowhere else; so is one that a person ordered. A dataset version for which
    `training-requests` already holds a request is never requested again.
    """
    state = state or TriggerState()
    governed = context.governance.in_force(event.application, event.occurred_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    if isinstance(event, PreferencePair):
        counted = _count(state, event, source, governed, context)
    elif isinstance(event, DatasetOrder):
        counted = obey(state, event, governed, context)
    else:
        counted = freeze_standing(_note(state, event, context), event, governed, context)
    back = repeat_rollbacks(counted.state or state, event, governed, context)
    if back.out:
        return Step(back.state, (*counted.out, *back.out), back.outcome)
    if counted.outcome in ("duplicate", "not_for_training"):
        return counted
    started = _start(counted.state or state, event.occurred_at, governed, context)
    if started.state is None:
        return counted
    return Step(started.state, (*counted.out, *started.out), started.outcome)


def _count(state: TriggerState, pair: PreferencePair, source: Source, governed: InForce, context: Context) -> Step[TriggerState]:
    if source.offset <= state.pairs_offset:
        return Step(state, outcome="duplicate")
    if not in_dataset(pair, pair.application, pair.rubric_id, pair.rubric_version):
        return Step(state.model_copy(update={"pairs_offset": source.offset}), outcome="not_for_training")
    # Each rubric version has a log of its own, kept by what the pair itself says: whoever rebuilds the dataset knows no more than that.
    key = log_key(pair.rubric_id, pair.rubric_version)
    log = state.logs.get(key, PairLog()).after(pair, resent=pair.event_id in state.recent)
    update: dict[str, Any] = {"pairs_offset": source.offset, "recent": (*state.recent, pair.event_id)[-RECENT:]}
    following = state.model_copy(update=update | {"logs": {**state.logs, key: log}})
    in_force = (governed.rubric.id, governed.rubric.version) == (pair.rubric_id, pair.rubric_version)
    return freeze_if_due(following, log, pair, governed, context) if in_force else Step(following, outcome="counted")


def _note(state: TriggerState, event: Event, context: Context) -> TriggerState:
    """Remember what bears on the next decision. Each of these may be seen again: noting it twice changes nothing."""
    update: dict[str, Any] = {}
    if isinstance(event, AgreementEstimate) and event.slice == "all" and event.window_kind is WindowKind.ROLLING:
        known = DimensionAgreement(dimension=event.dimension, alpha=event.alpha, n_units=event.n_units)
        update["agreement"] = {**state.agreement, event.dimension: known}
    elif isinstance(event, DriftSignal):
        update["alarms"] = _alarms(state, event, context)
    elif isinstance(event, Release):
        update["release"] = Checkpoint(id=event.checkpoint, uri=event.checkpoint_uri)
        if event.reason is not ReleaseReason.GATE_PASS:
            update["candidate"] = None  # someone set the checkpoint by hand: what was trained on the old one is no longer the base
    elif isinstance(event, GateDecision) and event.job_id == state.running:
        update["running"] = None
        if event.verdict is Verdict.PASS:
            # The release follows on another topic; the next job must not be compared with what has just been replaced.
            update["release"] = Checkpoint(id=event.candidate, uri=event.candidate_uri)
        if not REGRESSED & set(event.reasons):
            update["candidate"] = Checkpoint(id=event.candidate, uri=event.candidate_uri)
    elif isinstance(event, TrainingResult) and event.job_id == state.running and _ends_without_gate(event):
        update["running"] = None
    return state.model_copy(update=update) if update else state


def _ends_without_gate(result: TrainingResult) -> bool:
    return result.status in (JobStatus.FAILED, JobStatus.CANCELLED) or (result.status is JobStatus.SUCCEEDED and not result.is_candidate)


def _alarms(state: TriggerState, signal: DriftSignal, context: Context) -> dict[str, Alarm]:
    """Return the alarms that stand after a signal. One that is signalled again is the same alarm, also after a warning."""
    if signal.state in (DriftState.OK, DriftState.NO_DATA):
        return {series: alarm for series, alarm in state.alarms.items() if series != signal.series_id}
    if signal.state is not DriftState.ALARM:
        return state.alarms
    answered = any(isinstance(event, DatasetVersion) and signal.event_id in event.drift_signal_ids for event in context.history)
    return {signal.series_id: Alarm(signal_id=signal.event_id, answered=answered), **state.alarms}


def _start(state: TriggerState, at: datetime, governed: InForce, context: Context) -> Step[TriggerState]:
    """Return a step with a state when a job starts, one without when it does not."""
    training, pending = governed.policy.training, state.pending
    if pending is None or state.release is None or state.running is not None:
        return Step(None)
    cooled = state.requested_at is None or at - state.requested_at >= timedelta(minutes=training.cooldown_minutes)
    if not cooled or not _agreed(state, governed):
        return Step(None)
    earlier = _requested_before(pending, context)
    if earlier is None and context.restoring:
        return Step(None)
    request = earlier or _request(state, pending, state.release, at, governed)
    following = state.model_copy(update={"pending": None, "cause": None, "running": request.job_id, "requested_at": at})
    return Step(following, (), "already_requested") if earlier else Step(following, (request,), "requested")


def _agreed(state: TriggerState, governed: InForce) -> bool:
    least = governed.policy.training.min_alpha
    if least is None:
        return True
    alphas = [known.alpha for known in state.agreement.values()]
    return bool(alphas) and all(alpha is not None and alpha >= least for alpha in alphas)


def _requested_before(pending: DatasetVersion, context: Context) -> TrainingRequest | None:
    # What a person requested by hand is a job of theirs, whose end this one does not wait for.
    requests = (event for event in context.history if isinstance(event, TrainingRequest) and event.reason is not TriggerReason.MANUAL)
    return next((event for event in requests if (event.application, event.dataset_hash) == (pending.application, pending.content_hash)), None)


def _request(state: TriggerState, dataset: DatasetVersion, release: Checkpoint, at: datetime, governed: InForce) -> TrainingRequest:
    training = governed.policy.training
    base = state.candidate if training.start_from == "candidate" and state.candidate is not None else release
    config = canonical_json(training.config)
    job_id = job_id_of(
        training.method, base.id, config, dataset=dataset.name, dataset_version=dataset.version, dataset_hash=dataset.content_hash
    )  # fmt: skip
    return TrainingRequest(
        event_id=derive_id("training-request", job_id),
        occurred_at=at,
        application=dataset.application,
        job_id=job_id,
        method=training.method,
        base_checkpoint=base.id,
        base_uri=base.uri,
        baseline_checkpoint=release.id,
        baseline_uri=release.uri,
        dataset=dataset.name,
        dataset_version=dataset.version,
        dataset_hash=dataset.content_hash,
        dataset_end_offset=dataset.end_offset,
        dataset_excluded=dataset.excluded,
        config=config,
        reason=TriggerReason.DRIFT if state.cause else TriggerReason.NEW_PAIRS,
        drift_signal_id=state.cause,
        timeout_seconds=training.timeout_minutes * 60 if training.timeout_minutes is not None else None,
        rubric_id=dataset.rubric_id,
        rubric_version=dataset.rubric_version,
        policy_id=governed.policy.id,
        policy_version=governed.policy.version,
    )


def _application(event: Event) -> str:
    return event.application


PROCESSOR = Processor(
    name="trigger",
    inputs=(PREFERENCE_PAIRS, AGREEMENT, DRIFT, RELEASES, GATES, TRAINING_RESULTS, DATASET_ORDERS),
    step=step,
    outcomes=OUTCOMES,
    key=_application,
    state_type=TriggerState,
    history=(TRAINING_REQUESTS, DATASET_VERSIONS, DATASET_ORDERS),
)
