"""Profiles: traces in; out come the losses of errors, refusals and limits, and the values of a share of the traces. Keeps no state.

Whole batches are screened by columns, and nothing is read whole. It stands beside sampling and not in it, so that what describes the traffic
never holds up what decides on it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
from pydantic import BaseModel

from trueloop.columns.walk import Doubles, Flags, Ints
from trueloop.drift.random_features import directions
from trueloop.drift.values import EMBEDDING, NUMBERS, Values, values_told
from trueloop.events import Event, Trace
from trueloop.processors.processor import Context, Processor, Screen, Screened, Source, Step
from trueloop.rubrics.policy import Drift, Limit
from trueloop.sampling.draws import draws, hashes
from trueloop.sampling.observed_series import ObservedSeries, Origin
from trueloop.sampling.profile_rows import FIELDS, ProfileRows, joined, rows_of, rows_of_events
from trueloop.sampling.rows import EPOCH
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


def screen(rows: ProfileRows, *, context: Context, source: str, offsets: Ints) -> Screened:
    """Tell the losses and the values of a batch, one event per series.

    Args:
        rows: The traces.
        context: What is in force.
        source: The partition that they were read from.
        offsets: The offset of each place of the batch.
    """
    found, traces = Screened(), rows.traces
    origin = Origin(source, offsets, hashes(traces.trace_ids))
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
    """What a batch tells of one application: the series, which rows each has and their numbers."""

    def __init__(self, application: str, rows: ProfileRows, origin: Origin) -> None:
        self._application, self._rows, self._origin = application, rows, origin
        self._series = ObservedSeries(application, rows.traces, origin)

    def take(self, group: Flags, drift: Drift) -> int:
        """Take in the rows that one version of the policy governs; return how many of them are described."""
        for metric, losses in self._losses(group, drift):
            self._series.add(metric, losses, group & ~np.isnan(losses), drift.slices)
        chosen = group & (draws(self._origin.hashes, _SALT) < drift.profiles.share)
        if chosen.any():
            numbers = self._rows.numbers | {"completion_chars": self._rows.characters(chosen)}
            for metric in NUMBERS:
                self._series.add(metric, numbers[metric], chosen & ~np.isnan(numbers[metric]), drift.slices)
            there = np.array([embedding is not None for embedding in self._rows.embeddings])
            self._series.add(EMBEDDING, np.zeros(len(there)), chosen & there, drift.slices)
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

    def events(self) -> Iterator[Event]:
        """Yield an event per series."""
        for series, rows in self._series:
            if series.metric in NUMBERS or series.metric == EMBEDDING:
                newest = self._series.items(rows).newest
                for first in range(0, len(rows), MOST_VALUES):
                    values = self._values(series.metric, rows[first : first + MOST_VALUES])
                    yield values_told(series, self._application, newest, values, self._series.checkpoint_names)
            else:
                yield self._series.told(series, rows)

    def _values(self, metric: str, rows: Ints) -> Values:
        values = directions(self._rows.matrix(rows.tolist()))[0].astype(np.int16) if metric == EMBEDDING else self._series.column(metric)[rows]
        items = self._series.items(rows)
        return Values(values, items.marks, items.checkpoints, self._origin.source, items.offsets)


SCREEN = Screen(fields=FIELDS, rows=rows_of, rows_of_events=rows_of_events, joined=joined, run=screen, finish=finish)
PROCESSOR = Processor(name="profiles", inputs=(TRACES,), step=step, outcomes=OUTCOMES, screen=SCREEN)
