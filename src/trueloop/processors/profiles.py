"""Profiles: traces in; out come the losses of errors, refusals and limits, and the values of a share of the traces. Keeps no state.

Whole batches are screened by columns, and nothing is read whole. It stands beside sampling and not in it, so that what describes the traffic
never holds up what decides on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from pydantic import BaseModel

from trueloop.columns.walk import Doubles, Flags, Ints
from trueloop.drift.observations import Losses, observations
from trueloop.drift.random_features import directions
from trueloop.drift.series import DriftSeries, drift_series
from trueloop.drift.values import EMBEDDING, NUMBERS, Values, values_told
from trueloop.events import Event, Trace
from trueloop.processors.processor import Context, Processor, Screen, Screened, Source, Step
from trueloop.rubrics.policy import Drift, Limit
from trueloop.sampling.draws import Hashes, draws, hashes
from trueloop.sampling.profile_rows import FIELDS, ProfileRows, joined, rows_of, rows_of_events
from trueloop.sampling.rows import EPOCH, TraceRows
from trueloop.topics import TRACES

OUTCOMES = frozenset({"described", "not_described", "no_policy", "no_consent"})
OPENING = 300
"""Characters of an answer in which a refusal is looked for: who refuses says so at once, and a phrase later on is something else."""
MOST_VALUES = 2000
"""Items in an event of values: that many embeddings are 1.6 MB, and an event may have 2."""
ERROR, REFUSAL = "error", "refusal"
_SALT = "drift profiles"


def step(_state: None, event: Trace, *, source: Source, now: datetime, final: bool, context: Context) -> Step[BaseModel]:
    """Tell what one trace adds to the series. Depends on trace and policy only."""
    found = screen(rows_of_events([event], [0]), context=context, source=source.partition_name, offsets=np.array([source.offset]))
    return Step(out=tuple(found.out), outcome=next(iter(found.outcomes)))


def finish(_state: None, event: Trace, **_options: object) -> Step[BaseModel]:
    """Refuse: nothing is picked to be read whole."""
    raise ValueError(f"trace {event.event_id!r} was picked; profiles are complete after screening")


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where the rows were read, and the hashes of their trace ids."""

    source: str
    offsets: Ints
    hashes: Hashes


def screen(rows: ProfileRows, *, context: Context, source: str, offsets: Ints) -> Screened:
    """Tell the losses and the values of a batch, one event per series.

    Args:
        rows: The traces.
        context: What is in force.
        source: The partition that they were read from.
        offsets: The offset of each place of the batch.
    """
    found, traces = Screened(), rows.traces
    origin = _Origin(source, offsets, hashes(traces.trace_ids))
    for application, name in enumerate(traces.applications.names):
        members = traces.applications.codes == application
        versions = context.governance.versions(name.decode())
        if not versions:
            found.count("no_policy", int(members.sum()))
            continue
        found.count("no_consent", int((members & ~traces.consented).sum()))
        members = members & traces.consented
        since = np.array([(version.since - EPOCH) // timedelta(microseconds=1) for version in versions])
        in_force = np.maximum(np.searchsorted(since, traces.occurred_at, side="right") - 1, 0)
        told = _Told(name.decode(), rows, origin)
        for number, governed in enumerate(versions):
            group = members & (in_force == number)
            if group.any():
                described = told.take(group, governed.policy.drift)
                found.count("described", described)
                found.count("not_described", int(group.sum()) - described)
        found.out += told.events()
    return found


class _Told:
    """What a batch tells of one application: per series, which rows it has and their numbers. A series is the same for all versions of a policy."""

    def __init__(self, application: str, rows: ProfileRows, origin: _Origin) -> None:
        self._application, self._rows, self._origin = application, rows, origin
        self._members: dict[DriftSeries, Flags] = {}
        self._columns: dict[str, Doubles] = {}

    def take(self, group: Flags, drift: Drift) -> int:
        """Take in the rows that one version of the policy governs; return how many of them are described."""
        for metric, losses in self._losses(group, drift):
            self._add(metric, losses, group & ~np.isnan(losses), drift)
        chosen = group & (draws(self._origin.hashes, _SALT) < drift.profiles.share)
        if chosen.any():
            numbers = self._rows.numbers | {"completion_chars": self._rows.characters(chosen)}
            for metric in NUMBERS:
                self._add(metric, numbers[metric], chosen & ~np.isnan(numbers[metric]), drift)
            there = np.array([embedding is not None for embedding in self._rows.embeddings])
            self._add(EMBEDDING, np.zeros(len(there)), chosen & there, drift)
        return int(chosen.sum())

    def _losses(self, group: Flags, drift: Drift) -> Iterator[tuple[str, Doubles]]:
        """Yield each loss that the policy asks for, NaN where a trace has none. A request that failed has no answer that could refuse."""
        traces = self._rows.traces
        yield ERROR, traces.failed.astype(np.float64)
        if drift.refusals:
            yield REFUSAL, self._refusals(group & ~traces.failed, [phrase.casefold() for phrase in drift.refusals])
        for limit in drift.limits:
            yield limit.name, self._beyond(group, limit)

    def _refusals(self, group: Flags, phrases: list[str]) -> Doubles:
        losses = np.full(len(group), np.nan)
        for row in np.flatnonzero(group).tolist():
            opening = self._rows.opening(row, OPENING)
            losses[row] = any(phrase in opening for phrase in phrases)
        return losses

    def _beyond(self, group: Flags, limit: Limit) -> Doubles:
        numbers = self._rows.characters(group) if limit.metric == "completion_chars" else self._rows.numbers[limit.metric]
        beyond = numbers > limit.above if limit.above is not None else numbers < (limit.below or 0.0)
        return np.where(np.isnan(numbers), np.nan, beyond.astype(np.float64))

    def _add(self, metric: str, column: Doubles, members: Flags, drift: Drift) -> None:
        """Note which rows each series of a metric has."""
        if not members.any():
            return
        known = self._columns.get(metric)
        self._columns[metric] = column if known is None else np.where(members, column, known)
        for series, rows in _sliced(self._rows.traces, self._application, metric, members, drift):
            self._members[series] = rows | self._members.get(series, False)

    def events(self) -> Iterator[Event]:
        """Yield an event per series."""
        names = [name.decode() for name in self._rows.traces.checkpoints.names]
        for series in sorted(self._members, key=lambda each: each.series_id):
            chosen = np.flatnonzero(self._members[series])
            newest = EPOCH + timedelta(microseconds=int(self._rows.traces.occurred_at[chosen].max()))
            if series.metric in NUMBERS or series.metric == EMBEDDING:
                for first in range(0, len(chosen), MOST_VALUES):
                    yield values_told(series, self._application, newest, self._values(series.metric, chosen[first : first + MOST_VALUES]), names)
            else:
                yield observations(series, self._application, newest, self._observed(series.metric, chosen), names)

    def _observed(self, metric: str, chosen: Ints) -> Losses:
        trace_ids, origin = self._rows.traces.trace_ids, self._origin
        return Losses(
            losses=self._columns[metric][chosen],
            marks=origin.hashes[chosen].astype(np.int64),
            checkpoints=self._checkpoints(chosen),
            trace_id=lambda place: trace_ids[chosen.item(place)].decode(),
            source=origin.source,
            offsets=origin.offsets[self._rows.places[chosen]],
        )

    def _values(self, metric: str, chosen: Ints) -> Values:
        column = self._columns[metric]
        values = directions(self._rows.matrix(chosen.tolist()))[0].astype(np.int16) if metric == EMBEDDING else column[chosen]
        offsets = self._origin.offsets[self._rows.places[chosen]]
        return Values(values, self._origin.hashes[chosen].astype(np.int64), self._checkpoints(chosen), self._origin.source, offsets)

    def _checkpoints(self, chosen: Ints) -> Ints:
        checkpoints = self._rows.traces.checkpoints
        unknown = np.array([not name for name in checkpoints.names])
        codes = checkpoints.codes[chosen]
        return np.where(unknown[codes], -1, codes)


def _sliced(traces: TraceRows, application: str, metric: str, members: Flags, drift: Drift) -> Iterator[tuple[DriftSeries, Flags]]:
    """Yield the series that rows belong to, with the rows of each: 'all', and one per value of each slice that the policy wants."""
    yield next(drift_series(application, metric, {}, ())), members
    for wanted in drift.slices:
        values = [slices.get(wanted) for slices in traces.slice_values]
        for value in sorted({value for value in values if value is not None}):
            rows = members & np.array([each == value for each in values])[traces.slices.codes]
            if rows.any():
                *_, series = drift_series(application, metric, {wanted: value}, (wanted,))
                yield series, rows


SCREEN = Screen(fields=FIELDS, rows=rows_of, rows_of_events=rows_of_events, joined=joined, run=screen, finish=finish)
PROCESSOR = Processor(name="profiles", inputs=(TRACES,), step=step, outcomes=OUTCOMES, screen=SCREEN)
