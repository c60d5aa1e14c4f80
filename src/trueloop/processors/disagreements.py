"""Disagreements: agreement of reviewers in, what sampling is told of it out. State is one series: what was last told.

Sampling follows no table that moves under it: what it is told holds from a moment in event time that lies ahead when it is told.
"""

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from trueloop.events import AgreementEstimate, SliceDisagreement
from trueloop.events.agreement import WindowKind
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.processors.quotas import NOTICE
from trueloop.rubrics import InForce
from trueloop.topics import AGREEMENT

OUTCOMES = frozenset({"told", "not_newest", "not_asked_for", "other_rubric", "no_policy", "too_few", "unchanged", "too_soon", "stale"})
LEAST_TASKS = 30
"""Tasks below which an observed agreement is mostly chance: its standard error is then up to 0.09."""
STEP = 0.05
"""A change below this is not told: the probability that it moves is a small part of a rate."""
HOUR = timedelta(hours=1)
_DIGITS = 6


class DisagreementState(BaseModel):
    """What was last told of a series, from when it holds, and which estimate was read last: those of a series come in one partition."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    offset: int
    disagreement: float
    starts_at: datetime


def step(state: DisagreementState | None, event: AgreementEstimate, *, source: Source, now: datetime, final: bool, context: Context) -> Step[DisagreementState]:
    """Tell sampling of a series whose newest window has changed enough, once for each full hour at most."""
    governed = context.governance.in_force(event.application, event.occurred_at)
    passed_over = _passed_over(event, governed)
    if governed is None or event.p_o is None or passed_over:
        return Step(state, outcome=passed_over)
    disagreement, starts_at = round(1 - event.p_o, _DIGITS), _next_hour(event.occurred_at + NOTICE)
    if state is not None and (reason := _not_news(state, source, disagreement, starts_at)):
        return Step(state, outcome=reason)
    told = _told(event, governed, disagreement, starts_at)
    return Step(DisagreementState(offset=source.offset, disagreement=disagreement, starts_at=starts_at), (told,), "told")


def _passed_over(event: AgreementEstimate, governed: InForce | None) -> str:
    """Return why nothing is told of an estimate, whatever was told before; '' where something may be."""
    config = None if governed is None else governed.policy.sampling.uncertainty
    if event.window_kind is not WindowKind.ROLLING:
        return "not_newest"
    if governed is None:
        return "no_policy"
    if config is None or event.dimension not in config.reviewers:
        return "not_asked_for"
    if (event.rubric_id, event.rubric_version) != (governed.rubric.id, governed.rubric.version):
        return "other_rubric"
    return "too_few" if event.p_o is None or event.n_tasks < LEAST_TASKS else ""


def _not_news(state: DisagreementState, source: Source, disagreement: float, starts_at: datetime) -> str:
    if source.offset <= state.offset:
        return "stale"
    if abs(disagreement - state.disagreement) < STEP:
        return "unchanged"
    return "too_soon" if starts_at <= state.starts_at else ""


def _next_hour(moment: datetime) -> datetime:
    """Return the first full hour that is not before a moment."""
    begun = moment.replace(minute=0, second=0, microsecond=0)
    return begun if begun == moment else begun + HOUR


def _told(event: AgreementEstimate, governed: InForce, disagreement: float, starts_at: datetime) -> SliceDisagreement:
    identity = derive_id("slice-disagreement", event.series_id, event.event_id, starts_at.isoformat(), governed.policy_hash)
    return SliceDisagreement(
        event_id=derive_id("slice-disagreement-event", identity),
        occurred_at=event.occurred_at,
        application=event.application,
        disagreement_id=identity,
        dimension=event.dimension,
        slice=event.slice,
        rubric_id=event.rubric_id,
        rubric_version=event.rubric_version,
        disagreement=disagreement,
        n_tasks=event.n_tasks,
        starts_at=starts_at,
        agreement_id=event.event_id,
        policy_id=governed.policy.id,
        policy_version=governed.policy.version,
    )


def _key(event: AgreementEstimate) -> str:
    return event.series_id


PROCESSOR = Processor(name="disagreements", inputs=(AGREEMENT,), step=step, outcomes=OUTCOMES, key=_key, state_type=DisagreementState)
