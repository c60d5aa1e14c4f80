"""Sampling: traces in, review tasks, held-out prompts and score losses out. Keeps no state."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from pydantic import BaseModel

from trueloop.drift.series import drift_series
from trueloop.events import CalibrationItem, CalibrationReason, Consent, DriftObservation, Event, ReviewForm, ReviewTask, SamplingReason, Split, Trace
from trueloop.events.conversation import prompt_hash
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.rejection import Rejection, RejectReason
from trueloop.rubrics import InForce
from trueloop.sampling.blinding import blind
from trueloop.sampling.inclusion import Inclusion, inclusion, selected
from trueloop.sampling.splits import split_of
from trueloop.topics import TRACES

OUTCOMES = frozenset({"sampled", "not_sampled", "no_policy", "no_consent", "failed_request", "no_alternative", "not_reviewed", "rejected"})


def step(_state: None, event: Trace, *, source: Source, now: datetime, final: bool, context: Context) -> Step[BaseModel]:
    """Decide what becomes of one trace. Depends on trace and policy only, so a replay queues the same tasks."""
    governed = context.governance.in_force(event.application, event.occurred_at)
    if governed is None:
        return Step(outcome="no_policy")
    if event.consent in (Consent.NONE, Consent.UNKNOWN):
        return Step(outcome="no_consent")
    size = sum(len(message.content) for message in event.messages) + len(event.completion) + sum(len(a.completion) for a in event.alternatives)
    limit = governed.policy.sampling.max_text_chars
    if size > limit:
        message = f"trace {event.trace_id!r} holds {size} characters; policy {governed.policy.id!r} allows {limit} (sampling.max_text_chars)"
        return Step(outcome="rejected", rejection=Rejection(RejectReason.TOO_LARGE, message))
    observations = tuple(_observations(event, governed))
    if event.error is not None:
        return Step(out=observations, outcome="failed_request")
    return _sample(event, governed, context, observations)


def _sample(trace: Trace, governed: InForce, context: Context, observations: tuple[Event, ...]) -> Step[BaseModel]:
    sampling = governed.policy.sampling
    identity = prompt_hash(trace.messages)
    split = split_of(identity, sampling.calibration_share)
    out = observations
    if split is Split.CALIBRATION:
        out = (*out, _held_out(trace, identity))
        if not sampling.review_calibration:
            return Step(out=out, outcome="not_reviewed")
    included = inclusion(sampling, trace.slices)
    if not selected(sampling, trace.trace_id, included.probability):
        return Step(out=out, outcome="not_sampled")
    completions = list(dict.fromkeys((trace.completion, *(alternative.completion for alternative in trace.alternatives))))
    if sampling.form is ReviewForm.PAIRWISE:
        if len(completions) < 2:
            return Step(out=out, outcome="no_alternative")
        completions = completions[:2]
    elif sampling.form is ReviewForm.REWRITE:
        completions = completions[:1]
    task = _task(trace, governed, context, included=included, identity=identity, split=split, completions=completions)
    return Step(out=(*out, task), outcome="sampled")


def _task(trace: Trace, governed: InForce, context: Context, *, included: Inclusion, identity: str, split: Split, completions: list[str]) -> ReviewTask:
    policy = governed.policy
    task_id = derive_id("task", trace.application, trace.trace_id, policy.id, str(policy.version))
    return ReviewTask(
        event_id=derive_id("review-task", task_id, governed.policy_hash),
        occurred_at=trace.occurred_at,
        application=trace.application,
        task_id=task_id,
        trace_id=trace.trace_id,
        form=policy.sampling.form,
        rubric_id=governed.rubric.id,
        rubric_version=governed.rubric.version,
        rubric_hash=governed.rubric_hash,
        policy_id=policy.id,
        policy_version=policy.version,
        policy_hash=governed.policy_hash,
        sampling_prob=included.probability,
        stratum=included.stratum,
        reasons=[SamplingReason.UNIFORM],
        slices=trace.slices,
        prompt_hash=identity,
        split=split,
        trainable=trace.consent is Consent.TRAINING,
        labels_needed=policy.sampling.labels_needed,
        pool=policy.sampling.pool,
        due_at=trace.occurred_at + timedelta(minutes=policy.sampling.due_minutes),
        messages=trace.messages,
        candidates=blind(context.blinding_key, task_id, completions),
    )


def _held_out(trace: Trace, identity: str) -> CalibrationItem:
    item_id = derive_id("calibration", trace.application, identity)
    return CalibrationItem(
        event_id=derive_id("calibration-item", item_id, trace.trace_id),
        occurred_at=trace.occurred_at,
        application=trace.application,
        item_id=item_id,
        prompt_hash=identity,
        trace_id=trace.trace_id,
        reason=CalibrationReason.HASH_SPLIT,
        slices=trace.slices,
        messages=trace.messages,
    )


def _observations(trace: Trace, governed: InForce) -> Iterator[DriftObservation]:
    """A loss per score and slice. Scores are best at 1, so the loss is what is missing to it."""
    for name, score in sorted(trace.scores.items()):
        for series in drift_series(trace.application, f"score:{name}", trace.slices, governed.policy.drift.slices):
            yield DriftObservation(
                event_id=derive_id("observation", series.series_id, trace.trace_id),
                occurred_at=trace.occurred_at,
                application=trace.application,
                series_id=series.series_id,
                metric=series.metric,
                slice=series.slice,
                trace_id=trace.trace_id,
                checkpoint=trace.checkpoint,
                loss=1.0 - score,
            )


PROCESSOR = Processor(name="sampling", inputs=(TRACES,), step=step, outcomes=OUTCOMES)
