"""Quotas: drift signals in, calls for more reviews out. State is one series: until when it was served."""

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from trueloop.events import DriftSignal, DriftState, ReviewQuota
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.rubrics import InForce
from trueloop.topics import DRIFT

OUTCOMES = frozenset({"quota_opened", "already_open", "no_alarm", "not_asked_for", "no_policy"})
NOTICE = timedelta(minutes=1)
"""From the alarm to the first trace that it bears on, by event time: until then every sampling worker has heard of the quota, so it draws the
same traces as a replay, which knows of it from the start. A worker that is further behind than this draws more in a replay than it did."""


class QuotaState(BaseModel):
    """When the newest quota of a series ends, by event time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    ends_at: datetime


def step(state: QuotaState | None, event: DriftSignal, *, source: Source, now: datetime, final: bool, context: Context) -> Step[QuotaState]:
    """Open a quota for the slice of an alarm, one per series until it ends. An alarm that still stands then opens the next."""
    if event.state is not DriftState.ALARM:
        return Step(state, outcome="no_alarm")
    governed = context.governance.in_force(event.application, event.occurred_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    if governed.policy.drift.on_alarm is None:
        return Step(state, outcome="not_asked_for")
    if state is not None and event.occurred_at < state.ends_at:
        return Step(state, outcome="already_open")
    quota = _quota(event, governed, governed.policy.drift.on_alarm.review_rate, timedelta(hours=governed.policy.drift.on_alarm.hours))
    return Step(QuotaState(ends_at=quota.ends_at), (quota,), "quota_opened")


def _quota(signal: DriftSignal, governed: InForce, rate: float, duration: timedelta) -> ReviewQuota:
    quota_id = derive_id("review-quota", signal.series_id, signal.event_id, governed.policy_hash)
    starts_at = signal.occurred_at + NOTICE
    return ReviewQuota(
        event_id=derive_id("review-quota-event", quota_id),
        occurred_at=signal.occurred_at,
        application=signal.application,
        quota_id=quota_id,
        slice=signal.slice,
        rate=rate,
        starts_at=starts_at,
        ends_at=starts_at + duration,
        series_id=signal.series_id,
        drift_signal_id=signal.event_id,
        policy_id=governed.policy.id,
        policy_version=governed.policy.version,
    )


def _key(event: DriftSignal) -> str:
    return event.series_id


PROCESSOR = Processor(name="quotas", inputs=(DRIFT,), step=step, outcomes=OUTCOMES, key=_key, state_type=QuotaState)
