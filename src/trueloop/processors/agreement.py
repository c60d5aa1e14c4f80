"""Agreement: what tasks contribute in, one estimate per series and window out. State is the newest contribution of one task to one series."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from trueloop.agreement import Coincidences, ac1, alpha, merge, observed_agreement, tally
from trueloop.events import AgreementEstimate, AgreementUnits, Event
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Processor, Source, Step, View
from trueloop.rejection import Rejection, RejectReason
from trueloop.topics import AGREEMENT_UNITS

OUTCOMES = frozenset({"counted", "replaced", "duplicate", "stale", "no_policy", "rejected"})

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


class Pane(NamedTuple):
    """A stretch of event time that units count in, in microseconds since the epoch; `span` is the length of the window that it would end.

    The order of panes is the order of their ends. Size and span are of the policy in force at the task's time, and kept with the task: so
    a later policy moves nothing that was counted.
    """

    end: int
    start: int
    span: int


class Series(NamedTuple):
    """What all contributions to a series have in common."""

    application: str
    dimension: str
    slice: str
    rubric_id: str
    rubric_version: int


class Contribution(BaseModel):
    """The newest contribution of one task to one series; `units` hold value -> raters that gave it, and are empty when all was retracted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    series_id: str
    series: Series
    pane: Pane
    revision: int
    units: tuple[dict[int, int], ...] = ()


def step(state: Contribution | None, event: AgreementUnits, *, source: Source, now: datetime, final: bool, context: Context) -> Step[Contribution]:
    """Replace what the task contributed, unless that is newer.

    A contribution is kept however late it comes, also when its pane lies behind the window, where it changes no estimate: a step sees one
    task and not the window, and whether a pane is behind it depends on the other tasks, so that dropping here would make the outcome depend
    on the order of a replay. State is therefore one small record per task and series, for as long as the store keeps it.
    """
    governed = context.governance.in_force(event.application, event.task_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    fault = _fault_of(event)
    if fault is not None:
        return Step(state, outcome="rejected", rejection=fault)
    if state is not None and event.revision < state.revision:
        return Step(state, outcome="stale")
    policy = governed.policy.agreement
    following = Contribution(
        series_id=event.series_id,
        series=Series(event.application, event.dimension, event.slice, event.rubric_id, event.rubric_version),
        pane=pane_of(event.task_at, policy.pane_minutes, policy.window_panes),
        revision=event.revision,
        units=tuple(dict(zip(unit.values, unit.counts, strict=True)) for unit in event.units if unit.values),
    )
    if following == state:
        return Step(state, outcome="duplicate")
    return Step(following, outcome="counted" if state is None else "replaced", touched=(event.series_id,))


def pane_of(moment: datetime, pane_minutes: float, window_panes: int) -> Pane:
    """Return the pane that a moment falls in; panes are aligned to the epoch.

    >>> pane = pane_of(datetime(2026, 1, 1, 10, 59, tzinfo=UTC), pane_minutes=60, window_panes=24)
    >>> (pane.end - pane.start) // 60_000_000, pane.span // 60_000_000
    (60, 1440)
    """
    size = max(1, round(pane_minutes * 60_000_000))
    start = (moment - _EPOCH) // _MICROSECOND // size * size
    return Pane(start + size, start, size * window_panes)


def _fault_of(event: AgreementUnits) -> Rejection | None:
    for unit in event.units:
        if len(unit.values) != len(unit.counts) or any(low >= high for low, high in zip(unit.values, unit.values[1:], strict=False)):
            message = f"unit {unit.unit_id!r} of {event.event_id!r} has {len(unit.values)} values and {len(unit.counts)} counts"
            return Rejection(RejectReason.INVALID_EVENT, f"{message}; expected ascending values with one count each")
    return None


class AgreementView(View):
    """The coincidences of every pane of every series. Whole numbers that add and subtract: the order of contributions cannot matter."""

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}
        self._panes: dict[str, dict[Pane, Coincidences]] = {}
        self._tasks: dict[tuple[str, Pane], int] = {}

    def fold(self, key: str, old: Contribution | None, new: Contribution | None) -> None:
        """Take the old contribution out of its pane and put the new one into its own."""
        if old is not None:
            self._remove(old)
        if new is not None:
            self._add(new)

    def _add(self, contribution: Contribution) -> None:
        series_id, pane = contribution.series_id, contribution.pane
        self._series[series_id] = contribution.series
        panes = self._panes.setdefault(series_id, {})
        panes[pane] = panes.get(pane, Coincidences()) + tally(contribution.units)
        self._tasks[series_id, pane] = self._tasks.get((series_id, pane), 0) + 1

    def _remove(self, contribution: Contribution) -> None:
        series_id, pane = contribution.series_id, contribution.pane
        panes = self._panes[series_id]
        panes[pane] -= tally(contribution.units)
        self._tasks[series_id, pane] -= 1
        if self._tasks[series_id, pane] == 0:
            del self._tasks[series_id, pane], panes[pane]

    def summarise(self, touched: Collection[str], *, now: datetime, context: Context) -> tuple[Event, ...]:
        """Return the estimate of each touched series over its window.

        The window ends with the newest pane that holds units, so that it moves by event time and a quiet series keeps its last estimate.
        When all labels of a series were retracted it ends with the newest pane that held any. The id of an estimate is a hash of series,
        window and counts: the same evidence gives the same id, whatever way it came.
        """
        return tuple(self._estimate(series_id, now, context) for series_id in touched if self._panes.get(series_id))

    def _estimate(self, series_id: str, now: datetime, context: Context) -> AgreementEstimate:
        panes, series = self._panes[series_id], self._series[series_id]
        newest = max([pane for pane, counted in panes.items() if counted.units] or panes)
        start = newest.end - newest.span
        counted = merge(part for pane, part in panes.items() if start <= pane.start and pane.end <= newest.end)
        nominal, ordinal = alpha(counted, "nominal"), alpha(counted, "ordinal")
        return AgreementEstimate(
            event_id=derive_id("agreement-estimate", series_id, str(start), str(newest.end), counted.dump()),
            occurred_at=now,
            application=series.application,
            series_id=series_id,
            dimension=series.dimension,
            slice=series.slice,
            rubric_id=series.rubric_id,
            rubric_version=series.rubric_version,
            window_start=_moment(start),
            window_end=_moment(newest.end),
            n_units=nominal.n_units,
            n_labels=nominal.n_labels,
            p_o=observed_agreement(counted).value,
            alpha_nominal=nominal.value,
            alpha_ordinal=ordinal.value,
            ac1=ac1(counted, _categories(series, counted.values, context)).value,
            undefined=nominal.undefined,
        )


def _categories(series: Series, values: Iterable[tuple[int, int]], context: Context) -> int | None:
    """Return how many values raters could choose from: the scale of a rated dimension, or, for preferences, a tie and the candidates.

    A preference says which of two candidates or more is better, so three values are possible at least. None for an unknown rubric. Values
    are never more than categories, even when a series holds some that its scale does not have.
    """
    given = {value for _, value in values}
    rubric = context.governance.rubric(series.rubric_id, series.rubric_version)
    if rubric is None or not given:
        return None
    dimension = rubric.dimension(series.dimension)
    offered = max(*given, 1) + 2 if dimension is None else dimension.scale.max - dimension.scale.min + 1
    return max(offered, len(given))


def _moment(microseconds: int) -> datetime:
    """Return the moment, held within the years that a datetime has: tasks at their edge have windows that reach over it."""
    return _EPOCH + min(max(microseconds, _EARLIEST), _LATEST) * _MICROSECOND


def _key(event: AgreementUnits) -> str:
    return derive_id(event.series_id, event.task_id)


PROCESSOR = Processor(name="agreement", inputs=(AGREEMENT_UNITS,), step=step, outcomes=OUTCOMES, key=_key, state_type=Contribution, view=AgreementView)
