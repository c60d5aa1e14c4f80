"""Agreement: what tasks contribute in, estimates per series out. State is the newest contribution of one task to one series."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from trueloop.agreement.panes import Counted, Member, Pane, Panes, Shown
from trueloop.agreement.position import TIE
from trueloop.agreement.replicates import Level
from trueloop.agreement.span_marks import MARKED, UNMARKED
from trueloop.agreement.summary import LEVELS, estimates, statistics
from trueloop.events import AgreementEstimate, AgreementUnits, Event
from trueloop.events.agreement import MeasurementLevel, WindowKind
from trueloop.events.agreement_units import UnitKind
from trueloop.events.identity import derive_id
from trueloop.labels.contributions import rubric_dimension
from trueloop.processors.processor import Context, Processor, Source, Step, View
from trueloop.rejection import Rejection, RejectReason
from trueloop.rubrics import OVERALL, Rubric
from trueloop.rubrics.policy import Agreement
from trueloop.topics import AGREEMENT_UNITS

OUTCOMES = frozenset({"counted", "replaced", "duplicate", "stale", "no_policy", "no_rubric", "rejected", "expired"})

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


class Series(NamedTuple):
    """What all contributions to a series have in common."""

    application: str
    dimension: str
    slice: str
    rubric_id: str
    rubric_version: int
    kind: UnitKind
    level: Level


class Contribution(BaseModel):
    """The newest contribution of one task to one series.

    `units` are patterns of whole values, each with the number of units that have it; none when all labels were retracted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    series_id: str
    series: Series
    pane: Pane
    task_id: str
    revision: int
    units: tuple[tuple[tuple[tuple[int, int], ...], int], ...] = ()
    shown: tuple[Shown, ...] = ()


def step(state: Contribution | None, event: AgreementUnits, *, source: Source, now: datetime, final: bool, context: Context) -> Step[Contribution]:
    """Replace what the task contributed, unless that is newer.

    A step sees one task and not the others, so it does not ask whether the task's pane is final: the view does, and has states deleted that
    nothing will correct any more, a late one's at once.
    """
    governed = context.governance.in_force(event.application, event.task_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    rubric = context.governance.rubric(event.rubric_id, event.rubric_version)
    if rubric is None:
        return Step(state, outcome="no_rubric")
    policy = governed.policy.agreement
    pane = pane_of(event.task_at, policy)
    fault = _fault_of(event, rubric) or _fault_of_time(event, pane, now)
    if fault is not None:
        return Step(state, outcome="rejected", rejection=fault)
    if state is not None and event.revision < state.revision:
        return Step(state, outcome="stale")
    series = Series(event.application, event.dimension, event.slice, event.rubric_id, event.rubric_version, event.kind, _level(event, rubric))
    following = Contribution(
        series_id=event.series_id,
        series=series,
        pane=pane,
        task_id=event.task_id,
        revision=event.revision,
        units=_units(event),
        shown=tuple(_shown(event)),
    )
    if following == state:
        return Step(state, outcome="duplicate")
    touched = (_name(event.series_id), *(_name(event.series_id, known.pane) for known in (state, following) if known is not None))
    return Step(following, outcome="counted" if state is None else "replaced", touched=tuple(dict.fromkeys(touched)))


def pane_of(moment: datetime, policy: Agreement) -> Pane:
    """Return the pane that a moment falls in; panes are aligned to the epoch.

    >>> pane = pane_of(datetime(2026, 1, 1, 10, 59, tzinfo=UTC), Agreement(pane_minutes=60, window_panes=24, keep_days=30))
    >>> [part // 3_600_000_000 for part in (pane.end - pane.start, pane.span, pane.keep, pane.ahead)]
    [1, 24, 720, 1]
    """
    size = max(1, round(policy.pane_minutes * 60_000_000))
    start, span = _micros(moment) // size * size, size * policy.window_panes
    return Pane(start + size, start, span, max(round(policy.keep_days * 86_400_000_000), span), round(policy.ahead_hours * 3_600_000_000))


def _units(event: AgreementUnits) -> tuple[tuple[tuple[tuple[int, int], ...], int], ...]:
    units: Counter[tuple[tuple[int, int], ...]] = Counter()
    for unit in event.units:
        units[tuple(zip(unit.values, unit.counts, strict=True))] += unit.repeats
    return tuple(sorted((pattern, repeats) for pattern, repeats in units.items() if pattern))


def _shown(event: AgreementUnits) -> Iterator[Shown]:
    for unit in event.units:
        if unit.shown is not None and unit.shown_first is not None:
            yield Shown(unit.shown, unit.shown_first, sum(count for value, count in zip(unit.values, unit.counts, strict=True) if value != TIE))


def _fault_of(event: AgreementUnits, rubric: Rubric) -> Rejection | None:
    """Return why units cannot count. Collection makes none of these; another producer may."""
    name = rubric_dimension(event.dimension)
    dimension = rubric.dimension(name)
    if dimension is None and name != OVERALL:
        known = [known.name for known in rubric.dimensions]
        return Rejection(RejectReason.UNKNOWN_DIMENSION, f"dimension {name!r} is not in rubric {rubric.id!r}; expected one of {known}")
    low, high = (TIE, 25) if event.kind is UnitKind.PREFERENCE else (UNMARKED, MARKED)
    if event.kind is UnitKind.RATING and dimension is not None:
        low, high = dimension.scale.min, dimension.scale.max
    for unit in event.units:
        if len(unit.values) != len(unit.counts) or any(one >= other for one, other in zip(unit.values, unit.values[1:], strict=False)):
            message = f"unit {unit.unit_id!r} of {event.event_id!r} has {len(unit.values)} values and {len(unit.counts)} counts"
            return Rejection(RejectReason.INVALID_EVENT, f"{message}; expected ascending values with one count each")
        if unit.values and not (low <= unit.values[0] and unit.values[-1] <= high):
            return Rejection(RejectReason.OFF_SCALE, f"unit {unit.unit_id!r} has values {unit.values[0]}..{unit.values[-1]}; the scale is {low}..{high}")
    return None


def _fault_of_time(event: AgreementUnits, pane: Pane, now: datetime) -> Rejection | None:
    """Return why a task's time cannot be. One less far ahead of the clock is kept, and ends no window before its time comes."""
    if pane.start <= _micros(now) + pane.keep:
        return None
    ahead = (pane.start - _micros(now)) // 86_400_000_000
    message = f"task {event.task_id!r} is dated {ahead} days ahead of the clock; expected at most {pane.keep // 86_400_000_000}: mend the producer's clock"
    return Rejection(RejectReason.INVALID_EVENT, message)


def _level(event: AgreementUnits, rubric: Rubric) -> Level:
    dimension = rubric.dimension(event.dimension) if event.kind is UnitKind.RATING else None
    return "nominal" if dimension is None else LEVELS[LEVELS.index(dimension.scale.level.value)]


class AgreementView(View):
    """The panes of every series. Whole numbers that add and subtract: the order of contributions cannot matter.

    A series is final when its application has become newer than its newest pane by `keep`; a pane is when its series has. What is final is
    forgotten, and a contribution to it that comes later still counts for nothing. The application's time is that of its newest pane that
    has begun, so that no date in the future moves it; and what is dated in the future is kept until its time has come and is past.
    """

    def __init__(self) -> None:
        self._series: dict[str, tuple[Series, Panes]] = {}
        self._reached: dict[str, int] = {}
        self._expired: dict[str, None] = {}

    def fold(self, key: str, old: Contribution | None, new: Contribution | None) -> None:
        """Take the old contribution out of its pane and put the new one into its own."""
        if old is not None and old.series_id in self._series:
            panes = self._series[old.series_id][1]
            panes.remove(old.pane, key)
            if not len(panes):
                del self._series[old.series_id]
        if new is not None:
            known = self._series.setdefault(new.series_id, (new.series, Panes(new.series.level)))
            known[1].add(new.pane, key, Member(new.task_id, new.units, new.shown))

    def summarise(self, touched: Collection[str], *, now: datetime, context: Context) -> tuple[Event, ...]:
        """Return the estimates of the touched panes, and of the touched series over their windows.

        A window ends with the newest pane that has begun and holds units, so that it moves by event time and a quiet series keeps its last
        estimate. When all labels of a series were retracted it ends with the newest pane that held any. The id of an estimate is a hash of
        series, window and counts: the same evidence gives the same id, whatever way it came.
        """
        parsed = [_parsed(name) for name in touched]
        ids = list(dict.fromkeys(series_id for series_id, _ in parsed if series_id in self._series))
        for series_id in ids:
            self._advance(series_id, now)
        found: list[Event] = []
        for series_id, pane in parsed:
            if pane is not None and series_id in self._series and not self._is_final(series_id, pane, now):
                series, panes = self._series[series_id]
                window = _Window(WindowKind.PANE, pane.start, pane.end)
                found.append(_estimate(window, panes.stretch(pane), series_id, series, now=now, context=context))
        for series_id in ids:
            series, panes = self._series[series_id]
            newest = panes.newest(_micros(now))
            if newest is not None and not self._is_final(series_id, newest, now):
                window = _Window(WindowKind.ROLLING, newest.end - newest.span, newest.end)
                found.append(_estimate(window, panes.window(window.start, window.end), series_id, series, now=now, context=context))
        return tuple(found)

    def expired(self) -> Collection[str]:
        """Return the keys of what is final since the last call; the next fold takes each out of its pane."""
        keys, self._expired = tuple(self._expired), {}
        return keys

    def _advance(self, series_id: str, now: datetime) -> None:
        """Note how far the application has come, and what has become final by it."""
        series, panes = self._series[series_id]
        newest = panes.newest(_micros(now))
        if newest is None:
            return
        reached = self._reached.get(series.application)
        if reached is None or newest.end > reached:
            alike = [known for other, known in self._series.values() if other.application == series.application]
            newest_of = [(known, last) for known in alike if (last := known.newest(_micros(now))) is not None]
            self._reached[series.application] = reached = max(last.end for _, last in newest_of)
            for quiet, last in newest_of:
                if last.end + last.keep <= reached:
                    self._expire(quiet, quiet.until(last))
        self._expire(panes, panes.until(newest) if newest.end + newest.keep <= reached else panes.final(newest))

    def _expire(self, panes: Panes, final: Sequence[Pane]) -> None:
        self._expired |= dict.fromkeys(key for pane in final for key in panes.keys(pane))

    def _is_final(self, series_id: str, pane: Pane, now: datetime) -> bool:
        series, panes = self._series[series_id]
        newest = panes.newest(_micros(now))
        if newest is None:
            return False
        return panes.is_final(pane, newest) or newest.end + newest.keep <= self._reached.get(series.application, newest.end)


class _Window(NamedTuple):
    """A window to tell of, in microseconds since the epoch."""

    kind: WindowKind
    start: int
    end: int


def _estimate(window: _Window, counted: Counted, series_id: str, series: Series, *, now: datetime, context: Context) -> AgreementEstimate:
    categories = _categories(series, counted, context)
    content = (counted.evidence.canonical(), repr(sorted(counted.positions.sums.items())))
    return AgreementEstimate(
        event_id=derive_id("agreement-estimate", series_id, window.kind, str(window.start), str(window.end), *content),
        occurred_at=now,
        application=series.application,
        series_id=series_id,
        dimension=series.dimension,
        slice=series.slice,
        rubric_id=series.rubric_id,
        rubric_version=series.rubric_version,
        kind=series.kind,
        level=MeasurementLevel(series.level.upper()),
        window_kind=window.kind,
        window_start=_moment(window.start),
        window_end=_moment(window.end),
        categories=categories or [],
        **estimates(counted, series.level, series.kind, categories),
        **(statistics(counted) if window.kind is WindowKind.PANE else {}),
    )


def _categories(series: Series, counted: Counted, context: Context) -> list[int] | None:
    """Return the values that reviewers could choose from: the scale, marked or not, or a tie and the candidates, which are two at least.

    None when a rubric that was known when the units were counted is not known any more.
    """
    if series.kind is UnitKind.SPAN:
        return [UNMARKED, MARKED]
    if series.kind is UnitKind.PREFERENCE:
        given = [int(value) for _, value in counted.evidence.coincidences.values]
        return list(range(TIE, max([2, *counted.positions.sums, *(value + 1 for value in given)])))
    rubric = context.governance.rubric(series.rubric_id, series.rubric_version)
    dimension = None if rubric is None else rubric.dimension(series.dimension)
    return None if dimension is None else list(range(dimension.scale.min, dimension.scale.max + 1))


def _name(series_id: str, pane: Pane | None = None) -> str:
    """Return what the summary of a series over its window, or over a pane, is called among those that were touched."""
    return json.dumps([series_id] if pane is None else [series_id, *pane])


def _parsed(name: str) -> tuple[str, Pane | None]:
    series_id, *pane = json.loads(name)
    return series_id, Pane(*pane) if pane else None


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(microseconds: int) -> datetime:
    """Return the moment, held within the years that a datetime has: tasks at their edge have windows that reach over it."""
    return _EPOCH + min(max(microseconds, _EARLIEST), _LATEST) * _MICROSECOND


def _key(event: AgreementUnits) -> str:
    return derive_id(event.series_id, event.task_id)


PROCESSOR = Processor(name="agreement", inputs=(AGREEMENT_UNITS,), step=step, outcomes=OUTCOMES, key=_key, state_type=Contribution, view=AgreementView)
