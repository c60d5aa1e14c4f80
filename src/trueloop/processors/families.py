"""Families: signals in; out comes which series of an application have drifted together. State is the newest e-value of each series.

A detector keeps its contract series by series. Who looks at many slices asks another question: which of them are worth looking at, and how many
of those are false. So the e-values of the last full window of each are looked at together.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from trueloop.drift.detector import NAME
from trueloop.drift.e_benjamini_hochberg import e_benjamini_hochberg
from trueloop.events import DriftFamily, DriftingSeries, DriftSignal, DriftState
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.topics import DRIFT

OUTCOMES = frozenset({"counted", "unchanged", "not_a_loss", "no_policy"})
FAMILY = "losses"


class Member(BaseModel):
    """The newest word on one series. `log_e` is None before its first full window; `n` is that window's size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    slice: str
    observed: int
    log_e: float | None = None
    n: int = 0


class FamilyState(BaseModel):
    """The series of one application, by id, and which of them were told to have drifted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    members: dict[str, Member] = {}
    rejected: tuple[str, ...] = ()


def step(state: FamilyState | None, event: DriftSignal, *, source: Source, now: datetime, final: bool, context: Context) -> Step[FamilyState]:
    """Take in what a signal says of its series' last full window; tell the rejected series when they change.

    A series without data leaves the family until it has some again.
    """
    if event.detector != NAME:
        return Step(state, outcome="not_a_loss")
    governed = context.governance.in_force(event.application, event.occurred_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    known = state or FamilyState()
    members = _members(known, event)
    if members == known.members:
        return Step(state, outcome="unchanged")
    order = sorted(members)
    found = e_benjamini_hochberg([members[name].log_e for name in order], governed.policy.drift.fdr)
    rejected = sorted((order[place] for place in found.rejected), key=lambda name: (-(members[name].log_e or 0.0), name))
    following = FamilyState(members=members, rejected=tuple(sorted(rejected)))
    if following.rejected == known.rejected:
        return Step(following, outcome="counted")
    told = DriftFamily(
        event_id=derive_id("drift-family", event.application, event.event_id),
        occurred_at=event.occurred_at,
        application=event.application,
        family=FAMILY,
        fdr=governed.policy.drift.fdr,
        n_series=len(members),
        rejected=[_told(name, members[name]) for name in rejected],
        log_threshold=found.log_threshold,
        n_observed=sum(member.observed for member in members.values()),
        arl_target=governed.policy.drift.arl_target,
    )
    return Step(following, (told,), "counted")


def _members(known: FamilyState, event: DriftSignal) -> dict[str, Member]:
    """Return the members after a signal; the same when it is older than what is known, or says nothing new of a window."""
    before = known.members.get(event.series_id)
    if event.state is DriftState.NO_DATA:
        silent = before is not None and event.n_observed >= before.observed
        return {name: member for name, member in known.members.items() if name != event.series_id} if silent else known.members
    if before is not None and (event.n_observed <= before.observed or (event.log_e_window, event.n_window) == (before.log_e, before.n)):
        return known.members
    member = Member(metric=event.metric, slice=event.slice, observed=event.n_observed, log_e=event.log_e_window, n=event.n_window)
    return known.members | {event.series_id: member}


def _told(series_id: str, member: Member) -> DriftingSeries:
    return DriftingSeries(series_id=series_id, metric=member.metric, slice=member.slice, log_e_value=member.log_e or 0.0, n=member.n)


def _application(event: DriftSignal) -> str:
    return event.application


PROCESSOR = Processor(name="families", inputs=(DRIFT,), step=step, outcomes=OUTCOMES, key=_application, state_type=FamilyState)
