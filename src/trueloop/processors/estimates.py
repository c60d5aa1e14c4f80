"""Estimates: judge scores of all traces, and the labels of some, in; the quality of what is served out, with its interval.

Three streams meet here, and each brings what only it has:

* `drift-observations` tell what a judge said of every trace, one event per batch and series, with the offset of each trace: the hot path says it
  anyway, so a judge costs nothing there. They are summed exactly, per pane of time, and an offset counts once however batches are cut anew.
* `reviewed-traces` tell of a trace that was drawn with which probability, what the judge said of it, and whose it is. The task cannot: reviewers see it.
* `truths` tell what its labels come to, by the weights of the reviewers. An event carries everything that is said of a task, and the newest one
  counts, so late, edited and retracted labels replace what was there, and what is sent again changes nothing.

State is the judge's sums of one series and partition, or one task. The view holds the tasks of each series by pane, and exact sums over panes and the
newest window, which a label changes at a price that does not depend on how many there are: the stream equals a batch over the same tasks. Only the
comparison of labels and judge (correlation, calibration) goes through all labelled traces of a window, in the order of their ids.
"""

import heapq
import json
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from trueloop.estimates.population import JudgedTotals, LabelledSums, LabelledUnit
from trueloop.estimates.quality import quality_fields
from trueloop.events import DriftObservations, Event, ItemTruth, QualityEstimate, ReviewedTrace
from trueloop.events.agreement import WindowKind
from trueloop.events.identity import derive_id
from trueloop.labels.judge_gaps import judge_gaps
from trueloop.processors.processor import Context, Processor, Source, Step, View
from trueloop.rubrics import InForce
from trueloop.rubrics.policy import Estimates
from trueloop.topics import DRIFT_OBSERVATIONS, REVIEWED_TRACES, TRUTHS

OUTCOMES = frozenset({"summed", "no_judge", "task_known", "counted", "duplicate", "stale", "no_policy", "not_drawn", "expired"})
TOLD_EVERY = 1000
"""Traces that a judge scored, between estimates that no label calls for: it adds little to what is known, and traces come fast."""
_SCORE = "score:"
_ALL = "all"
_APPEALS = "appeal"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Series(NamedTuple):
    """What an estimate is about."""

    application: str
    dimension: str
    slice: str
    rubric_id: str
    rubric_version: int


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Judged(_Kept):
    """What a judge said of the traces of one partition, in one slice: sums by the start of their pane, microseconds since the epoch.

    `reached` is the last offset that was counted.
    """

    application: str
    score: str
    slice: str
    reached: int = -1
    panes: dict[int, tuple[int, int, int]] = {}


class TaskQuality(_Kept):
    """One task: its trace, the mean ratings of its candidates, where they were read, and what follows. It is as old as its trace; before that is known,
    as what was said of it.

    `values` has the quality of the served candidate by dimension, as a share of the scale; `slices` the names of those that it counts in. `n_labels`
    is how many labels it has, `gap_told` whether drift was told how far they lie from what judges said: once, when the labels are complete.
    """

    application: str
    at: datetime
    trace: ReviewedTrace | None = None
    means: tuple[tuple[str, str, float], ...] = ()
    truth_offset: int = -1
    n_labels: int = 0
    gap_told: bool = False
    pane: tuple[int, int] = (0, 0)
    slices: tuple[str, ...] = ()
    values: dict[str, float] = {}


class EstimateState(_Kept):
    """The state under one key: one of the two."""

    version: int = 1
    judged: Judged | None = None
    task: TaskQuality | None = None


def step(
    state: EstimateState | None, event: DriftObservations | ReviewedTrace | ItemTruth, *, source: Source, now: datetime, final: bool, context: Context
) -> Step[EstimateState]:
    """Add a batch of scores to the sums, or replace what is known of a task."""
    if isinstance(event, DriftObservations):
        return _sum(state, event, now, context)
    known = (state.task if state else None) or TaskQuality(application=event.application, at=min(event.occurred_at, now))
    if isinstance(event, ReviewedTrace):
        if known.trace is not None:
            return Step(state, outcome="duplicate")
        if event.stratum == _APPEALS:
            return Step(state, outcome="not_drawn")
        return _replace(known, known.model_copy(update={"trace": event, "at": min(event.occurred_at, now)}), "task_known", context)
    if source.offset <= known.truth_offset:
        return Step(state, outcome="stale")
    means = tuple((unit.dimension, unit.candidate_id, unit.mean) for unit in event.units if unit.candidate_id is not None and unit.mean is not None)
    return _replace(known, known.model_copy(update={"means": means, "truth_offset": source.offset, "n_labels": len(event.labels)}), "counted", context)


def _sum(state: EstimateState | None, event: DriftObservations, now: datetime, context: Context) -> Step[EstimateState]:
    governed = context.governance.in_force(event.application, event.occurred_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    policy, score = governed.policy.estimates, event.metric.removeprefix(_SCORE)
    if event.source is None or not event.metric.startswith(_SCORE) or score not in policy.judge.values():
        return Step(state, outcome="no_judge")
    known = (state.judged if state else None) or Judged(application=event.application, score=score, slice=event.slice)
    offsets = event.offset_values()
    new = offsets > known.reached
    if not new.any():
        return Step(state, outcome="duplicate")
    start, width = _pane(min(event.occurred_at, now), policy)
    sums = JudgedTotals(*known.panes.get(start, (0, 0, 0))) + JudgedTotals.of(1.0 - event.loss_values()[new])
    oldest = max(start, *known.panes, 0) - policy.keep_days * 86_400_000_000
    panes = {each: kept for each, kept in known.panes.items() if each >= oldest} | {start: (sums.n, sums.total, sums.squares)}
    following = known.model_copy(update={"reached": int(offsets[-1]), "panes": panes})
    before, after = (sum(n for n, _, _ in each.panes.values()) // TOLD_EVERY for each in (known, following))
    wanted = before != after and event.slice.partition("=")[0] in (_ALL, *policy.slices)
    dimensions = [name for name, judge in sorted(policy.judge.items()) if judge == score and wanted]
    named = [Series(event.application, name, event.slice, governed.rubric.id, governed.rubric.version) for name in dimensions]
    return Step(EstimateState(judged=following), outcome="summed", touched=tuple(_name(series, (start, start + width)) for series in named))


def _replace(known: TaskQuality, following: TaskQuality, outcome: str, context: Context) -> Step[EstimateState]:
    """Work out what follows for the estimates, once both halves are known."""
    trace = following.trace
    if trace is None:
        return Step(EstimateState(task=following), outcome=outcome)
    governed = context.governance.policy(trace.policy_id, trace.policy_version)
    if governed is None:
        return Step(EstimateState(task=following), outcome="no_policy")
    start, width = _pane(following.at, governed.policy.estimates)
    slices = (_ALL, *(f"{name}={trace.slices[name]}" for name in governed.policy.estimates.slices if name in trace.slices))
    update = {"pane": (start, start + width), "slices": slices, "values": dict(_values(following, trace, governed))}
    following = following.model_copy(update=update)
    gaps: tuple[DriftObservations, ...] = ()
    if following.values and not known.gap_told and following.n_labels >= governed.policy.sampling.labels_needed:
        following = following.model_copy(update={"gap_told": True})
        gaps = tuple(judge_gaps(trace, following.values, governed.policy))
    named = [
        Series(trace.application, dimension, each, trace.rubric_id, trace.rubric_version)
        for dimension in sorted({*known.values, *following.values})
        for each in slices
    ]
    return Step(EstimateState(task=following), gaps, outcome=outcome, touched=tuple(_name(series, following.pane) for series in named))


def _values(task: TaskQuality, trace: ReviewedTrace, governed: InForce) -> Iterator[tuple[str, float]]:
    """Yield the quality of what was served, by dimension: 1 is the best of the scale."""
    for name, candidate, mean in task.means:
        dimension = governed.rubric.dimension(name)
        if dimension is not None and candidate == trace.served:
            yield name, min(max(1.0 - dimension.scale.loss(mean), 0.0), 1.0)


def _pane(at: datetime, policy: Estimates) -> tuple[int, int]:
    """Return start and width of the pane of a moment, microseconds."""
    width = max(round(policy.pane_hours * 3_600_000_000), 1)
    return (at - _EPOCH) // _MICROSECOND // width * width, width


def _name(series: Series, pane: tuple[int, int]) -> str:
    return json.dumps([*series, *pane])


class _Member(NamedTuple):
    """What a task gives to a series."""

    value: float
    trace: ReviewedTrace

    def unit(self, judge: str | None) -> LabelledUnit:
        """Return it as estimates take it."""
        return LabelledUnit(self.value, self.trace.sampling_prob, None if judge is None else self.trace.scores.get(judge), self.trace.cluster)


class _Window(NamedTuple):
    """Sums over a window of a series: from `start` to before `end`, with what a judge said."""

    start: int
    end: int
    judge: str | None
    sums: LabelledSums


class EstimatesView(View):
    """The tasks of every series, and what judges said of all traces."""

    def __init__(self) -> None:
        self._members: dict[Series, dict[int, dict[str, _Member]]] = {}
        self._windows: dict[Series, dict[int | None, _Window]] = {}
        self._judged: dict[tuple[str, str, str], dict[int, JudgedTotals]] = {}
        self._oldest: dict[str, list[tuple[datetime, str]]] = {}
        self._reached: dict[str, datetime] = {}
        self._dated: dict[str, datetime] = {}
        self._expired: list[str] = []

    def fold(self, key: str, old: EstimateState | None, new: EstimateState | None) -> None:
        """Replace what a task, or a judge in one partition, gave."""
        for state, sign in ((old, -1), (new, 1)):
            if state is not None and state.judged is not None:
                sums = self._judged.setdefault((state.judged.application, state.judged.score, state.judged.slice), {})
                for start, pane in state.judged.panes.items():
                    totals = JudgedTotals(*pane)
                    sums[start] = sums.get(start, JudgedTotals()) + totals if sign > 0 else sums.get(start, JudgedTotals()) - totals
            if state is not None and state.task is not None:
                self._set(key, state.task, sign)
        if new is None:
            self._dated.pop(key, None)
        elif new.task is not None:
            self._date(key, new.task.application, new.task.at)

    def _set(self, key: str, task: TaskQuality, sign: int) -> None:
        if task.trace is None:
            return
        for dimension, value in task.values.items():
            for each in task.slices:
                series = Series(task.trace.application, dimension, each, task.trace.rubric_id, task.trace.rubric_version)
                panes, member = self._members.setdefault(series, {}), _Member(value, task.trace)
                if sign > 0:
                    panes.setdefault(task.pane[0], {})[key] = member
                else:
                    del panes[task.pane[0]][key]
                    if not panes[task.pane[0]]:
                        del panes[task.pane[0]]
                        self._windows.get(series, {}).pop(task.pane[0], None)
                for window in self._windows.get(series, {}).values():
                    if window.start <= task.pane[0] < window.end:
                        window.sums.add(member.unit(window.judge), sign)

    def _date(self, key: str, application: str, at: datetime) -> None:
        self._reached[application] = max(at, self._reached.get(application, at))
        if self._dated.get(key) != at:
            self._dated[key] = at
            heapq.heappush(self._oldest.setdefault(application, []), (at, key))

    def summarise(self, touched: Collection[str], *, now: datetime, context: Context) -> tuple[Event, ...]:
        """Return the estimates of the touched panes, and of their series over the newest panes. The id of an estimate is a hash of what it says."""
        found: list[Event] = []
        series_of: dict[Series, int] = {}
        for name in touched:
            *parts, start, end = json.loads(name)
            series = Series(*parts)
            series_of[series] = max(start, series_of.get(series, start))
            governed = context.governance.in_force(series.application, _moment(start))
            if governed is not None:
                found.append(self._estimate(series, WindowKind.PANE, (start, end), governed, now))
        for series, start in series_of.items():
            newest = self._newest(series, start, context)
            governed = context.governance.in_force(series.application, _moment(newest))
            if governed is not None:
                width = _pane(_moment(newest), governed.policy.estimates)[1]
                window = newest + width - width * governed.policy.estimates.window_panes, newest + width
                found.append(self._estimate(series, WindowKind.ROLLING, window, governed, now))
                self._expire(series.application, governed.policy.estimates.keep_days)
        return tuple(found)

    def _newest(self, series: Series, touched: int, context: Context) -> int:
        """Return the start of the newest pane that holds a labelled trace, or one that the judge scored; without any, of the one that was touched."""
        starts = list(self._members.get(series, ()))
        governed = context.governance.in_force(series.application, _moment(max(starts, default=touched)))
        judge = None if governed is None else governed.policy.estimates.judge.get(series.dimension)
        starts += [start for start, sums in self._judged.get((series.application, judge or "", series.slice), {}).items() if sums.n]
        return max(starts, default=touched)

    def _estimate(self, series: Series, kind: WindowKind, window: tuple[int, int], governed: InForce, now: datetime) -> QualityEstimate:
        judge = governed.policy.estimates.judge.get(series.dimension)
        panes = self._members.get(series, {})
        sums = self._sums(series, None if kind is WindowKind.ROLLING else window[0], window, judge)
        units: list[LabelledUnit] = []
        if judge is not None:
            members = sorted((key, member) for start, of in panes.items() if window[0] <= start < window[1] for key, member in of.items())
            units = [member.unit(judge) for _, member in members]
        scores = self._judged.get((series.application, judge or "", series.slice), {})
        judged = sum((totals for start, totals in scores.items() if window[0] <= start < window[1]), JudgedTotals())
        content: dict[str, Any] = {
            **series._asdict(),
            "series_id": derive_id("estimate", *map(str, series)),
            "window_kind": kind,
            "window_start": _moment(window[0]),
            "window_end": _moment(window[1]),
            **quality_fields(units, judged, judge, sums=sums),
        }
        identity = derive_id("quality-estimate", json.dumps(content, default=str, sort_keys=True))
        return QualityEstimate(event_id=identity, occurred_at=now, **content)

    def _sums(self, series: Series, name: int | None, window: tuple[int, int], judge: str | None) -> LabelledSums:
        """Return the sums over a pane, named by its start, or over the newest window (None); made anew when that has moved on, or the judge is another."""
        windows = self._windows.setdefault(series, {})
        known = windows.get(name)
        if known is None or (known.start, known.end, known.judge) != (*window, judge):
            panes = self._members.get(series, {})
            if name is not None and name not in panes:
                return LabelledSums()
            units = (member.unit(judge) for start, members in panes.items() if window[0] <= start < window[1] for member in members.values())
            known = windows[name] = _Window(*window, judge, LabelledSums(units))
        return known.sums

    def _expire(self, application: str, keep_days: float) -> None:
        """Find the tasks that are older than the application's newest by more than `keep_days`."""
        oldest, reached = self._oldest.get(application, []), self._reached.get(application)
        while oldest and reached is not None and oldest[0][0] + timedelta(days=keep_days) < reached:
            at, key = heapq.heappop(oldest)
            if self._dated.get(key) == at:
                self._expired.append(key)

    def expired(self) -> Collection[str]:
        """Return the keys of tasks that have become too old since the last call."""
        keys, self._expired = self._expired, []
        return keys


def _moment(microseconds: int) -> datetime:
    return _EPOCH + max(microseconds, 0) * _MICROSECOND


def _key(event: DriftObservations | ReviewedTrace | ItemTruth) -> str:
    return derive_id("judged", event.series_id, event.source or "") if isinstance(event, DriftObservations) else event.task_id


PROCESSOR = Processor(
    name="estimates",
    inputs=(REVIEWED_TRACES, TRUTHS, DRIFT_OBSERVATIONS),
    step=step,
    outcomes=OUTCOMES,
    key=_key,
    state_type=EstimateState,
    view=EstimatesView,
    whole=True,
)
