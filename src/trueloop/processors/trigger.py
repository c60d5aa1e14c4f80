"""The training trigger: pairs, agreement, drift, gates and releases in; dataset versions and training requests out. State is one application."""

from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from trueloop.datasets.pair_log import EMPTY, extend, in_dataset
from trueloop.events import (
    AgreementEstimate,
    DatasetKind,
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
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.rubrics import InForce, canonical_json
from trueloop.topics import AGREEMENT, DATASET_VERSIONS, DRIFT, GATES, PREFERENCE_PAIRS, RELEASES, TRAINING_REQUESTS, TRAINING_RESULTS

OUTCOMES = frozenset({"counted", "not_for_training", "duplicate", "noted", "no_policy", "dataset_frozen", "requested", "already_requested"})
RECENT = 2000
"""Event ids that are remembered to count a re-sent pair once: a worker that dies re-sends at most the batches it had in flight."""
_DIGITS = 6
REGRESSED = {
    GateReason.REGRESSION, GateReason.REGRESSION_UNCERTAIN, GateReason.NOT_SUPERIOR, GateReason.SAFETY_FAILURE, GateReason.NO_EVIDENCE,
    GateReason.EVALUATION_FAILED,
}  # fmt: skip


class Checkpoint(BaseModel):
    """A checkpoint and where it lies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    uri: str


class PairLog(BaseModel):
    """The running training log of one rubric version. `effective` is what the weights of its pairs have grown by since the last dataset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chain: str = EMPTY
    n_items: int = 0
    n_new: int = 0
    effective: float = 0.0


class Alarm(BaseModel):
    """A drift alarm that stands: the signal that raised it, and whether a dataset was frozen because of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    signal_id: str
    answered: bool = False


class TriggerState(BaseModel):
    """What the trigger knows of one application.

    `alarms` holds the alarms that stand, by series; `cause` the signal because of which `pending` was frozen, None when pairs sufficed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    pairs_offset: int = -1
    recent: tuple[str, ...] = ()
    logs: dict[str, PairLog] = {}
    agreement: dict[str, DimensionAgreement] = {}
    dataset_version: int = 0
    pending: DatasetVersion | None = None
    cause: str | None = None
    alarms: dict[str, Alarm] = {}
    release: Checkpoint | None = None
    candidate: Checkpoint | None = None
    running: str | None = None
    requested_at: datetime | None = None


def step(state: TriggerState | None, event: Event, *, source: Source, now: datetime, final: bool, context: Context) -> Step[TriggerState]:
    """Take one event into account, and order a job when the policy's conditions hold.

    Dataset versions are frozen at fixed places of the pair log, so that a replay freezes the same ones: after so many new pairs, and, while an
    alarm stands that no job has answered, after fewer. When an alarm is read between which pairs is not fixed, so a version that
    `dataset-versions` already holds is frozen where it says, and nowhere else. A dataset version for which `training-requests` already holds
    a request is never requested again.
    """
    state = state or TriggerState()
    governed = context.governance.in_force(event.application, event.occurred_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    if isinstance(event, PreferencePair):
        counted = _count(state, event, source, governed, context)
        if counted.outcome in ("duplicate", "not_for_training"):
            return counted
    else:
        counted = _freeze_standing(_note(state, event, context), event, governed, context)
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
    key = f"{pair.rubric_id}@{pair.rubric_version}"
    log = state.logs.get(key, PairLog())
    # The chain covers every record, a re-sent one too, because whoever rebuilds the dataset reads the same records.
    log = log.model_copy(update={"chain": extend(log.chain, pair.event_id)})
    if pair.event_id not in state.recent:
        change = -1 if pair.withdrawn else 1 if pair.revises is None else 0
        effective = max(log.effective + pair.weight - pair.replaced_weight, 0.0)
        log = log.model_copy(update={"n_items": log.n_items + change, "n_new": max(log.n_new + change, 0), "effective": effective})
    update: dict[str, Any] = {"pairs_offset": source.offset, "recent": (*state.recent, pair.event_id)[-RECENT:]}
    following = state.model_copy(update=update | {"logs": {**state.logs, key: log}})
    in_force = (governed.rubric.id, governed.rubric.version) == (pair.rubric_id, pair.rubric_version)
    return _freeze_if_due(following, log, pair, governed, context) if in_force else Step(following, outcome="counted")


def _freeze_standing(state: TriggerState, event: Event, governed: InForce, context: Context) -> Step[TriggerState]:
    """Freeze what lies there already: an alarm may suffice for it, or the history says that it was."""
    log = state.logs.get(_key_of(governed))
    if log is None or not log.n_new or not (isinstance(event, DriftSignal) or context.history):
        return Step(state, outcome="noted")
    frozen = _freeze_if_due(state, log, event, governed, context)
    return frozen if frozen.out else Step(state, outcome="noted")


def _key_of(governed: InForce) -> str:
    return f"{governed.rubric.id}@{governed.rubric.version}"


def _freeze_if_due(state: TriggerState, log: PairLog, event: Event, governed: InForce, context: Context) -> Step[TriggerState]:
    """Freeze the next dataset version if this is its place."""
    training = governed.policy.training
    unanswered = [alarm.signal_id for _, alarm in sorted(state.alarms.items()) if not alarm.answered]
    effective = round(log.effective, _DIGITS)  # so that three thirds make a pair
    enough = isinstance(event, PreferencePair) and effective >= training.min_new_pairs
    known = _known_version(state, event.application, context)
    due = enough or (training.on_alarm is not None and bool(unanswered) and not context.restoring and effective >= training.on_alarm.min_new_pairs)
    if known is not None:
        due, unanswered = known.content_hash == log.chain, known.drift_signal_ids
    if not due:
        return Step(state, outcome="counted")
    frozen = known or _freeze(state, log, event, governed, unanswered)
    update: dict[str, Any] = {
        "logs": {**state.logs, _key_of(governed): log.model_copy(update={"n_new": 0, "effective": 0.0})},
        "dataset_version": frozen.version,
        "pending": frozen,
        "cause": unanswered[0] if unanswered and not enough else None,
        # Whatever stands now is answered by this dataset: an alarm orders one job at most.
        "alarms": {series: alarm.model_copy(update={"answered": True}) for series, alarm in state.alarms.items()},
    }
    return Step(state.model_copy(update=update), (frozen,), "dataset_frozen")


def _known_version(state: TriggerState, application: str, context: Context) -> DatasetVersion | None:
    """Return the next version as it was frozen by a worker that died before it noted so; None when there is none, or its place is behind."""
    key = (f"{application}/pairs", state.dataset_version + 1)
    found = (event for event in context.history if isinstance(event, DatasetVersion) and (event.name, event.version) == key)
    return next((version for version in found if version.end_offset > state.pairs_offset), None)


def _freeze(state: TriggerState, log: PairLog, event: Event, governed: InForce, alarms: list[str]) -> DatasetVersion:
    name, version = f"{event.application}/pairs", state.dataset_version + 1
    return DatasetVersion(
        event_id=derive_id("dataset-version", name, str(version), log.chain),
        occurred_at=event.occurred_at,
        application=event.application,
        name=name,
        version=version,
        kind=DatasetKind.PAIRS,
        content_hash=log.chain,
        parent=state.dataset_version or None,
        topic=PREFERENCE_PAIRS.name,
        partition=0,
        end_offset=state.pairs_offset + 1,
        n_items=log.n_items,
        n_new=log.n_new,
        rubric_id=governed.rubric.id,
        rubric_version=governed.rubric.version,
        policy_version=governed.policy.version,
        agreement=[state.agreement[name] for name in sorted(state.agreement)],
        drift_signal_ids=alarms,
        changelog=f"{log.n_new} new pairs, {log.n_items} in all",
    )


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
    inputs=(PREFERENCE_PAIRS, AGREEMENT, DRIFT, RELEASES, GATES, TRAINING_RESULTS),
    step=step,
    outcomes=OUTCOMES,
    key=_application,
    state_type=TriggerState,
    history=(TRAINING_REQUESTS, DATASET_VERSIONS),
)
