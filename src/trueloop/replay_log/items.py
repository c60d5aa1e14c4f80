"""Losses and values in batches, compared item by item: every run cuts its batches elsewhere."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from trueloop.replay_log.comparison import EventComparison, Said, content_of
from trueloop.replay_log.difference import Compared, Difference, Kind, Place
from trueloop.sampling.draws import hashes

Rows = npt.NDArray[np.int64]
_OFFSET, _MARK, _LOSS, _CHECKPOINT, _PARTITION, _PLACE = range(6)
_SAYS = slice(_OFFSET, _CHECKPOINT + 1)
_NONE: Rows = np.zeros((0, 6), np.int64)


@dataclass(slots=True)
class _Series:
    """The items of one series from one partition of traces: a row of six numbers each, the last two of which tell where its event lies."""

    real: list[Rows] = field(default_factory=list)
    settled: list[Rows] = field(default_factory=list)
    in_flight: list[Rows] = field(default_factory=list)


class ItemComparison:
    """The items that stand in `drift-observations` or `drift-values`, by the offsets of the traces that they came from. Holds 48 bytes per item and
    side.

    Losses from labels come with no offsets, and one task at a time: those events are compared whole.
    """

    def __init__(self, name: str, *, is_before_cut: Callable[[str, int], bool] = lambda _source, _offset: False) -> None:
        """Compare the topic `name`. `is_before_cut(source, offset)` tells whether the trace there was not read again."""
        self._compared = Compared(name)
        self._whole = EventComparison(name)
        self._is_before_cut = is_before_cut
        self._series: dict[tuple[str, str, str], _Series] = {}
        self._checkpoints: dict[str, int] = {}

    def take_real(self, record: Mapping[str, Any], place: Place) -> None:
        """Take in a decoded record of the log."""
        if record["source"] is None:
            self._whole.take_real(_said(record, place))
            return
        self._compared.real += 1
        if not _is_consistent(record):
            identity = f"{record['application']}/{record['event_id']}"
            self._compared.differences.append(Difference(Kind.DIFFERENT, identity, record["series_id"], place, fields=("worst",)))
        self._of(record).real.append(self._rows(record, place))

    def take_rebuilt(self, record: Mapping[str, Any], place: Place, *, in_flight: bool) -> None:
        """Take in a decoded record of the rebuild."""
        if record["source"] is None:
            self._whole.take_rebuilt(_said(record, place), in_flight=in_flight)
            return
        self._compared.rebuilt += 1
        series = self._of(record)
        (series.in_flight if in_flight else series.settled).append(self._rows(record, place))

    def result(self) -> Compared:
        """Return what came of it; `identical`, `repeated` and `in_flight` count items."""
        compared, whole = self._compared, self._whole.result()
        for (series_id, _described, source), series in self._series.items():
            self._compare(series_id, source, series)
        compared.real += whole.real
        compared.rebuilt += whole.rebuilt
        compared.identical += whole.identical
        compared.repeated += whole.repeated
        compared.in_flight += whole.in_flight
        compared.differences += whole.differences
        return compared

    def _of(self, record: Mapping[str, Any]) -> _Series:
        described = f"{record['application']} {record['metric']} {record['slice']}"
        return self._series.setdefault((record["series_id"], described, record["source"]), _Series())

    def _rows(self, record: Mapping[str, Any], place: Place) -> Rows:
        marks = np.frombuffer(record["marks"], "<i8")
        rows = np.empty((len(marks), 6), np.int64)
        rows[:, _OFFSET] = np.frombuffer(record["offsets"], "<i8")
        rows[:, _MARK] = marks
        rows[:, _LOSS] = _numbers(record, len(marks))  # the bits of the numbers: they must be the same to the last
        codes = [self._checkpoints.setdefault(name, len(self._checkpoints)) for name in record["checkpoints"]]
        if record["checkpoint_of"]:
            rows[:, _CHECKPOINT] = np.array([*codes, -1], np.int64)[np.frombuffer(record["checkpoint_of"], "<i8")]
        else:
            rows[:, _CHECKPOINT] = codes[0] if codes else -1
        rows[:, _PARTITION], rows[:, _PLACE] = place.partition, place.offset
        return rows

    def _compare(self, series_id: str, source: str, series: _Series) -> None:
        compared = self._compared
        real, repeated = _distinct(series.real)
        settled, _ = _distinct(series.settled)
        in_flight, _ = _distinct(series.in_flight)
        missing, unexpected = _left(settled, real), _left(real, np.concatenate([settled, in_flight]))
        compared.repeated += repeated
        compared.identical += len(real) - len(unexpected)
        compared.in_flight += len(_left(in_flight, real))
        twins = {int(row[_OFFSET]): row for row in unexpected}
        for row in missing:
            twin = twins.pop(int(row[_OFFSET]), None)
            kind = Kind.MISSING if twin is None else Kind.DIFFERENT
            identity = f"{source}@{row[_OFFSET]}"
            compared.differences.append(Difference(kind, identity, series_id, None if twin is None else _place(twin), _place(row)))
        for offset, row in twins.items():
            if self._is_before_cut(source, offset):
                compared.before_cut += 1
            else:
                compared.differences.append(Difference(Kind.UNEXPECTED, f"{source}@{offset}", series_id, _place(row)))


def _numbers(record: Mapping[str, Any], items: int) -> Rows:
    """Return the bits of what is said of each item; of an embedding a hash of them."""
    data: bytes = record["losses"] if "losses" in record else record["values"]
    if len(data) == 8 * items:
        return np.frombuffer(data, "<i8")
    size = len(data) // items
    return hashes([data[start : start + size] for start in range(0, len(data), size)]).astype(np.int64)


def _said(record: Mapping[str, Any], place: Place) -> Said:
    return Said(f"{record['application']}/{record['event_id']}", record["series_id"], content_of(record), place)


def _is_consistent(record: Mapping[str, Any]) -> bool:
    """Return whether the worst items are traces of this batch. Which traces are the worst of a batch depends on where it was cut."""
    if "worst" not in record:
        return True
    places = [item["place"] for item in record["worst"]]
    marks = np.frombuffer(record["marks"], "<i8")
    if not places or max(places) >= len(marks):
        return not places
    return bool((marks[places] == hashes([item["trace_id"].encode() for item in record["worst"]]).astype(np.int64)).all())


def _distinct(parts: list[Rows]) -> tuple[Rows, int]:
    """Return the rows that say something new, and how many said something again."""
    rows = np.concatenate(parts) if parts else _NONE
    _, first = np.unique(rows[:, _SAYS], axis=0, return_index=True)
    return rows[np.sort(first)], len(rows) - len(first)


def _left(rows: Rows, others: Rows) -> Rows:
    """Return the rows that say what none of the others says."""
    if not len(rows) or not len(others):
        return rows
    return rows[~np.isin(_whole(rows), _whole(others))]


def _whole(rows: Rows) -> npt.NDArray[np.void]:
    said = np.ascontiguousarray(rows[:, _SAYS])
    return said.view(np.dtype((np.void, said.dtype.itemsize * said.shape[1])))[:, 0]


def _place(row: Rows) -> Place:
    return Place(int(row[_PARTITION]), int(row[_PLACE]))
