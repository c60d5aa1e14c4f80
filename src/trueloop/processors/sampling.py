"""Sampling: traces in, review tasks, held-out prompts and score losses out. Keeps no state.

Nearly all traces are not sampled, so whole batches are screened by the few fields that this takes (`screen`), and only what was drawn is read
whole (`finish`). `step` does both for one trace.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from pydantic import BaseModel

from trueloop.columns.walk import Flags, Ints
from trueloop.events import (
    CalibrationReason,
    Consent,
    Event,
    ReviewForm,
    ReviewQuota,
    ReviewTask,
    SliceDisagreement,
    Split,
    Trace,
)
from trueloop.events.conversation import prompt_hash
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Processor, Screen, Screened, Source, Step
from trueloop.rejection import Rejection, RejectReason
from trueloop.rubrics import InForce
from trueloop.sampling.blinding import blind
from trueloop.sampling.draws import Hashes, draws, hashes
from trueloop.sampling.edge_cases import failed_with_answer
from trueloop.sampling.held_out import held_out
from trueloop.sampling.inclusion import Inclusion, inclusions
from trueloop.sampling.observed_series import ObservedSeries, Origin
from trueloop.sampling.reviewed import reviewed_trace
from trueloop.sampling.rows import EPOCH, HOT, TraceRows, characters, joined, rows_of, rows_of_events
from trueloop.sampling.splits import cluster_of, split_of
from trueloop.topics import TRACES

OUTCOMES = frozenset({"sampled", "not_sampled", "no_policy", "no_consent", "failed_request", "no_alternative", "not_reviewed", "rejected"})


def step(_state: None, event: Trace, *, source: Source, now: datetime, final: bool, context: Context) -> Step[BaseModel]:
    """Decide what becomes of one trace. Depends on trace and policy only, so a replay queues the same tasks."""
    found = screen(rows_of_events([event], [0]), context=context, source=source.partition_name, offsets=np.array([source.offset]))
    if not found.picked:
        return Step(out=tuple(found.out), outcome=next(iter(found.outcomes)))
    finished = finish(None, event, source=source, now=now, final=final, context=context, drawn=found.picked[0])
    return replace(finished, out=(*found.out, *finished.out))


def screen(rows: TraceRows, *, context: Context, source: str, offsets: Ints) -> Screened:
    """Decide which traces of a batch are drawn, and tell the losses of all of them, one event per series.

    Args:
        rows: The traces.
        context: What is in force.
        source: The partition that they were read from.
        offsets: The offset of each place of the batch.
    """
    found = Screened()
    hashed = hashes(rows.trace_ids)
    for application, name in enumerate(rows.applications.names):
        members = rows.applications.codes == application
        versions = context.governance.versions(name.decode())
        if not versions:
            found.count("no_policy", int(members.sum()))
            continue
        since = np.array([(version.since - EPOCH) // timedelta(microseconds=1) for version in versions])
        in_force = np.maximum(np.searchsorted(since, rows.occurred_at, side="right") - 1, 0)
        found.count("no_consent", int((members & ~rows.consented).sum()))
        members = members & rows.consented
        begin, end = _stretch(rows)
        quotas = context.governance.quotas(name.decode(), begin, end)
        observed = ObservedSeries(name.decode(), rows, Origin(source, offsets, hashed))
        for number, governed in enumerate(versions):
            group = members & (in_force == number)
            if group.any():
                _observe(observed, rows, group, governed)
                told = _Known(quotas, context.governance.disagreements(name.decode(), governed.rubric, begin, end))
                _draw(found, rows, group, hashed, governed, known=told)
        found.out += [observed.told(series, places) for series, places in observed]
    found.picked = dict(sorted(found.picked.items()))
    return found


def _stretch(rows: TraceRows) -> tuple[datetime, datetime]:
    """Return the times of the oldest and the newest trace."""
    oldest, newest = (EPOCH + timedelta(microseconds=int(moment)) for moment in (rows.occurred_at.min(), rows.occurred_at.max()))
    return oldest, newest


@dataclass(frozen=True, slots=True)
class _Known:
    """What sampling was told for the time of a batch."""

    quotas: Sequence[ReviewQuota]
    disagreements: Sequence[SliceDisagreement]


def _draw(found: Screened, rows: TraceRows, group: Flags, hashed: Hashes, governed: InForce, *, known: _Known) -> None:
    sampling = governed.policy.sampling
    reviewable = ~rows.failed
    if sampling.anomalies is not None and sampling.anomalies.failed:
        reviewable = reviewable | failed_with_answer(rows)
    found.count("failed_request", int((group & ~reviewable).sum()))
    group = group & reviewable
    included, numbers = inclusions(sampling, rows, known.quotas, known.disagreements), draws(hashed, sampling.salt)
    drawn = group & (numbers < included.probability)
    found.count("not_sampled", int((group & ~drawn).sum()))
    for row in np.flatnonzero(drawn).tolist():
        found.picked[int(rows.places[row])] = included.at(row, numbers[row])


def _observe(observed: ObservedSeries, rows: TraceRows, group: Flags, governed: InForce) -> None:
    """Tell the losses of scores. Scores are best at 1, so the loss is what is missing to it."""
    for name, scores in rows.scores.items():
        observed.add(f"score:{name}", 1.0 - scores, group & ~np.isnan(scores), governed.policy.drift.slices)


def finish(_state: None, event: Trace, *, source: Source, now: datetime, final: bool, context: Context, drawn: Inclusion) -> Step[BaseModel]:
    """Make the task or the held-out prompt of a trace that was drawn, with the probability that it was drawn by."""
    governed = context.governance.in_force(event.application, event.occurred_at)
    if governed is None:
        raise ValueError("a trace was drawn that no policy governs")
    if event.error is not None and not event.completion.strip():
        return Step(outcome="failed_request")
    sampling = governed.policy.sampling
    if (size := characters(event)) > sampling.max_text_chars:
        message = f"trace {event.trace_id!r} holds {size} characters; policy {governed.policy.id!r} allows {sampling.max_text_chars} (sampling.max_text_chars)"
        return Step(outcome="rejected", rejection=Rejection(RejectReason.TOO_LARGE, message))
    identity = prompt_hash(event.messages)
    split = split_of(cluster_of(event.messages, event.slices, sampling.split_by, identity), sampling.calibration_share)
    out: tuple[Event, ...] = ()
    if split is Split.CALIBRATION:
        out = (held_out(event.application, event.trace_id, event.messages, at=event.occurred_at, slices=event.slices, reason=CalibrationReason.HASH_SPLIT),)
        if not sampling.review_calibration:
            return Step(out=out, outcome="not_reviewed")
    completions = list(dict.fromkeys((event.completion, *(alternative.completion for alternative in event.alternatives))))
    if sampling.form is ReviewForm.PAIRWISE:
        if len(completions) < 2:
            return Step(out=out, outcome="no_alternative")
        completions = completions[:2]
    elif sampling.form is ReviewForm.REWRITE:
        completions = completions[:1]
    task = _task(event, governed, context, included=drawn, identity=identity, split=split, completions=completions)
    return Step(out=(*out, task, reviewed_trace(event, task, context.blinding_key, governed.policy.estimates.cluster_by)), outcome="sampled")


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
        reasons=[included.reason],
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


SCREEN = Screen(fields=HOT, rows=rows_of, rows_of_events=rows_of_events, joined=joined, run=screen, finish=finish)
PROCESSOR = Processor(name="sampling", inputs=(TRACES,), step=step, outcomes=OUTCOMES, screen=SCREEN)
