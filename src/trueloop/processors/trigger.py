"""The training trigger: pairs, agreement, gates and releases in; dataset versions and training requests out. State is one application."""

from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from trueloop.datasets.pair_log import EMPTY, extend, in_dataset
from trueloop.events import (
    AgreementEstimate,
    DatasetKind,
    DatasetVersion,
    DimensionAgreement,
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
)
from trueloop.events.agreement import WindowKind
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.rubrics import InForce, canonical_json
from trueloop.topics import AGREEMENT, GATES, PREFERENCE_PAIRS, RELEASES, TRAINING_REQUESTS, TRAINING_RESULTS

OUTCOMES = frozenset({"counted", "not_for_training", "duplicate", "noted", "no_policy", "dataset_frozen", "requested", "already_requested"})
RECENT = 2000
"""Event ids that are remembered to count a re-sent pair once: a worker that dies re-sends at most the batches it had in flight."""
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
    """The running training log of one rubric version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chain: str = EMPTY
    n_items: int = 0
    n_new: int = 0


class TriggerState(BaseModel):
    """What the trigger knows of one application."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    pairs_offset: int = -1
    recent: tuple[str, ...] = ()
    logs: dict[str, PairLog] = {}
    agreement: dict[str, DimensionAgreement] = {}
    dataset_version: int = 0
    pending: DatasetVersion | None = None
    release: Checkpoint | None = None
    candidate: Checkpoint | None = None
    running: str | None = None
    requested_at: datetime | None = None


def step(state: TriggerState | None, event: Event, *, source: Source, now: datetime, final: bool, context: Context) -> Step[TriggerState]:
    """Take one event into account, and order a job when the policy's conditions hold.

    Dataset versions are frozen at fixed places of the pair log, whatever else happens, so that a replay freezes the same ones. A dataset
    version for which `training-requests` already holds a request is never requested again.
    """
    state = state or TriggerState()
    governed = context.governance.in_force(event.application, event.occurred_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    if isinstance(event, PreferencePair):
        counted = _count(state, event, source, governed)
        if counted.outcome in ("duplicate", "not_for_training"):
            return counted
    else:
        counted = Step(_note(state, event), outcome="noted")
    started = _start(counted.state or state, event.occurred_at, governed, context)
    if started.state is None:
        return counted
    return Step(started.state, (*counted.out, *started.out), started.outcome)


def _count(state: TriggerState, pair: PreferencePair, source: Source, governed: InForce) -> Step[TriggerState]:
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
        log = log.model_copy(update={"n_items": log.n_items + change, "n_new": max(log.n_new + change, 0)})
    update: dict[str, Any] = {"pairs_offset": source.offset, "recent": (*state.recent, pair.event_id)[-RECENT:]}
    in_force = (governed.rubric.id, governed.rubric.version) == (pair.rubric_id, pair.rubric_version)
    if not in_force or log.n_new < governed.policy.training.min_new_pairs:
        return Step(state.model_copy(update=update | {"logs": {**state.logs, key: log}}), outcome="counted")
    frozen = _freeze(state, log, pair, source, governed)
    update |= {"logs": {**state.logs, key: log.model_copy(update={"n_new": 0})}, "dataset_version": frozen.version, "pending": frozen}
    return Step(state.model_copy(update=update), (frozen,), "dataset_frozen")


def _freeze(state: TriggerState, log: PairLog, pair: PreferencePair, source: Source, governed: InForce) -> DatasetVersion:
    name, version = f"{pair.application}/pairs", state.dataset_version + 1
    return DatasetVersion(
        event_id=derive_id("dataset-version", name, str(version), log.chain),
        occurred_at=pair.occurred_at,
        application=pair.application,
        name=name,
        version=version,
        kind=DatasetKind.PAIRS,
        content_hash=log.chain,
        parent=state.dataset_version or None,
        topic=PREFERENCE_PAIRS.name,
        partition=source.partition,
        end_offset=source.offset + 1,
        n_items=log.n_items,
        n_new=log.n_new,
        rubric_id=governed.rubric.id,
        rubric_version=governed.rubric.version,
        policy_version=governed.policy.version,
        agreement=[state.agreement[name] for name in sorted(state.agreement)],
        changelog=f"{log.n_new} new pairs, {log.n_items} in all",
    )


def _note(state: TriggerState, event: Event) -> TriggerState:
    """Remember what bears on the next decision. Each of these may be seen again: noting it twice changes nothing."""
    update: dict[str, Any] = {}
    if isinstance(event, AgreementEstimate) and event.slice == "all" and event.window_kind is WindowKind.ROLLING:
        known = DimensionAgreement(dimension=event.dimension, alpha=event.alpha, n_units=event.n_units)
        update["agreement"] = {**state.agreement, event.dimension: known}
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
    elif isinstance(event, TrainingResult) and event.job_id == state.running and event.status is JobStatus.FAILED:
        update["running"] = None
    return state.model_copy(update=update) if update else state


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
    following = state.model_copy(update={"pending": None, "running": request.job_id, "requested_at": at})
    return Step(following, (), "already_requested") if earlier else Step(following, (request,), "requested")


def _agreed(state: TriggerState, governed: InForce) -> bool:
    least = governed.policy.training.min_alpha
    if least is None:
        return True
    alphas = [known.alpha for known in state.agreement.values()]
    return bool(alphas) and all(alpha is not None and alpha >= least for alpha in alphas)


def _requested_before(pending: DatasetVersion, context: Context) -> TrainingRequest | None:
    return next(
        (
            event
            for event in context.history
            if isinstance(event, TrainingRequest) and (event.application, event.dataset_hash) == (pending.application, pending.content_hash)
        ),
        None,
    )


def _request(state: TriggerState, dataset: DatasetVersion, release: Checkpoint, at: datetime, governed: InForce) -> TrainingRequest:
    training = governed.policy.training
    base = state.candidate if training.start_from == "candidate" and state.candidate is not None else release
    config = canonical_json(training.config)
    job_id = derive_id("job", training.method, base.id, dataset.name, str(dataset.version), dataset.content_hash, config)
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
        reason=TriggerReason.NEW_PAIRS,
        rubric_id=dataset.rubric_id,
        rubric_version=dataset.rubric_version,
        policy_id=governed.policy.id,
        policy_version=governed.policy.version,
    )


def _application(event: Event) -> str:
    return event.application


PROCESSOR = Processor(
    name="trigger",
    inputs=(PREFERENCE_PAIRS, AGREEMENT, RELEASES, GATES, TRAINING_RESULTS),
    step=step,
    outcomes=OUTCOMES,
    key=_application,
    state_type=TriggerState,
    history=(TRAINING_REQUESTS,),
)
