"""What a batch of traces tells the drift series of an application."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from trueloop.columns.walk import Doubles, Flags, Ints
from trueloop.drift.observations import Losses, observations
from trueloop.drift.series import DriftSeries, drift_series
from trueloop.events import DriftObservations
from trueloop.sampling.draws import Hashes
from trueloop.sampling.rows import EPOCH, TraceRows


class Origin(NamedTuple):
    """Where a batch was read, the offset of each of its places, and the hashes of its rows' trace ids."""

    source: str
    offsets: Ints
    hashes: Hashes


class Items(NamedTuple):
    """What is told of each row of a series: a hash of its trace's id, the place of its checkpoint (-1: unknown), its offset; and the newest one's time."""

    marks: Ints
    checkpoints: Ints
    offsets: Ints
    newest: datetime


class ObservedSeries:
    """Per series of an application, which rows of a batch it has. A series is the same for all versions of a policy, so each may add to it."""

    def __init__(self, application: str, traces: TraceRows, origin: Origin) -> None:
        self._application, self._traces, self._source = application, traces, origin.source
        names, codes = traces.checkpoints.names, traces.checkpoints.codes
        unknown = np.array([not name for name in names], np.bool_)
        # Gathered once for all series.
        self._marks = origin.hashes.view(np.int64)
        self._offsets = origin.offsets[traces.places]
        self._checkpoints = np.where(unknown[codes], -1, codes)
        self.checkpoint_names = [name.decode() for name in names]
        self._members: dict[DriftSeries, Flags] = {}
        self._columns: dict[str, Doubles] = {}
        self._sliced: dict[str, list[tuple[str, Flags]]] = {}

    def add(self, metric: str, column: Doubles, members: Flags, wanted: Sequence[str]) -> None:
        """Note which rows the series of a metric have: that of all traces, and one per value of each wanted slice."""
        if not members.any():
            return
        known = self._columns.get(metric)
        self._columns[metric] = column if known is None else np.where(members, column, known)
        self._note(metric, {}, members)
        for name in wanted:
            for value, having in self._values_of(name):
                rows = members & having
                if rows.any():
                    self._note(metric, {name: value}, rows)

    def _note(self, metric: str, slices: dict[str, str], rows: Flags) -> None:
        *_, series = drift_series(self._application, metric, slices, tuple(slices))
        known = self._members.get(series)
        self._members[series] = rows if known is None else rows | known

    def _values_of(self, name: str) -> list[tuple[str, Flags]]:
        """Return the values of a slice, in their order, and which rows have each."""
        found = self._sliced.get(name)
        if found is None:
            values, codes = [slices.get(name) for slices in self._traces.slice_values], self._traces.slices.codes
            known = sorted({value for value in values if value is not None})
            found = self._sliced[name] = [(value, np.array([each == value for each in values])[codes]) for value in known]
        return found

    def __iter__(self) -> Iterator[tuple[DriftSeries, Ints]]:
        """Yield the series in the order of their ids, with the places of their rows."""
        for series in sorted(self._members, key=lambda each: each.series_id):
            yield series, np.flatnonzero(self._members[series])

    def items(self, rows: Ints) -> Items:
        """Return what is told of some rows, at least one."""
        newest = EPOCH + timedelta(microseconds=int(self._traces.occurred_at.take(rows).max()))
        return Items(self._marks.take(rows), self._checkpoints.take(rows), self._offsets.take(rows), newest)

    def told(self, series: DriftSeries, rows: Ints) -> DriftObservations:
        """Return the event that tells a series of its losses."""
        items, trace_ids = self.items(rows), self._traces.trace_ids
        losses = Losses(
            losses=self._columns[series.metric].take(rows),
            marks=items.marks,
            checkpoints=items.checkpoints,
            trace_id=lambda place: trace_ids[rows.item(place)].decode(),
            source=self._source,
            offsets=items.offsets,
        )
        return observations(series, self._application, items.newest, losses, self.checkpoint_names)

    def column(self, metric: str) -> Doubles:
        """Return a metric's number of each row; only those that were added mean anything."""
        return self._columns[metric]
