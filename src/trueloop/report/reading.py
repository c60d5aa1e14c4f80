"""Measures from ClickHouse: only views are read, over the interface that `trueloop sql` uses."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from trueloop.adapters.clickhouse.client import query
from trueloop.adapters.clickhouse.engine import ClickHouseError
from trueloop.config import Settings
from trueloop.drift.detector import NAME as DETECTOR
from trueloop.errors import UnavailableError
from trueloop.report import measures
from trueloop.report.measures import Row
from trueloop.report.scope import Scope, sql_time

MOST_POINTS, LEAST_POINTS, TASKS_PER_POINT = 48, 4, 30
"""Points of a series over time: no more than a chart can show, and so few that most have the evidence for an interval."""
_UNKNOWN_TABLE, _UNKNOWN_DATABASE = 60, 81
_ORDER = "application, dimension, slice = 'all' DESC, slice, rubric_id, rubric_version"


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a report tells, as rows of measures."""

    agreement: list[Row]
    agreement_over_time: list[Row]
    reviewers: list[Row]
    estimates: list[Row]
    drift: list[Row]
    drift_over_time: list[Row]
    distributions: list[Row]
    gates: list[Row]
    pairs: list[Row]
    datasets: list[Row]
    queue: list[Row]
    releases: list[Row]

    def applications(self) -> list[str]:
        """Return the applications that there is evidence of, in alphabetical order."""
        return sorted({row["application"] for section in fields(self) for row in getattr(self, section.name)})

    def of(self, application: str) -> "Evidence":
        """Return the evidence of one application."""
        chosen = ([row for row in getattr(self, section.name) if row["application"] == application] for section in fields(self))
        return Evidence(*chosen)


class Reader:
    """Reads one scope. Raises UnavailableError when no ClickHouse answers or the sink has not made its views yet."""

    def __init__(self, settings: Settings, scope: Scope) -> None:
        self._settings = settings
        self._scope = scope

    def evidence(self) -> Evidence:
        """Return all that a report tells."""
        return Evidence(*(getattr(self, section.name)() for section in fields(Evidence)))

    def agreement(self) -> list[Row]:
        """Return the coefficients of each series over its rolling window."""
        rows = self._of("v_agreement", "window_end", sliced=True, order=_ORDER)
        return [found for row in rows for found in measures.agreement(row)]

    def agreement_over_time(self) -> list[Row]:
        """Return the coefficients of each series over time: per pane, or per as many panes as have the evidence for an interval on average.

        Alpha has no interval there. Panes that a changed policy has cut so that they reach over the ends of a point are left out.
        """
        condition, parameters = self._scope.where("window_start", sliced=True)
        begun = f"{condition} AND window_start <= now()"  # a task may be dated in the future; it would stretch the axis
        columns = (
            "application, groupUniqArray(window_start) AS starts, max(dateDiff('second', window_start, window_end)) AS size, "
            "sum(n_tasks) / uniqExact(series_id) AS tasks"
        )
        spans = self._rows(_select("v_agreement_history", begun, columns, "GROUP BY application ORDER BY application"), parameters)
        found: list[Row] = []
        for span in spans:
            application = {"application": span["application"]}
            most = int(min(MOST_POINTS, max(LEAST_POINTS, span["tasks"] / TASKS_PER_POINT)))
            if len(span["starts"]) <= most:
                sql = _select("v_agreement_history", f"{begun} AND application = {{one:String}}", tail=f"ORDER BY {_ORDER}, window_start")
                rows = self._rows(sql, parameters | {"one": span["application"]})
            else:
                rows = [row for start, end in _points(span["starts"], timedelta(seconds=span["size"]), most) for row in self._period(application, start, end)]
            found += [each for row in rows for each in measures.agreement(row)]
        return found

    def reviewers(self) -> list[Row]:
        """Return each reviewer's accuracy on gold items, and their reliability per dimension."""
        order = "application, reviewer_id"
        found = [measures.gold(row) for row in self._of("v_reviewers", "occurred_at", order=order)]
        active = {(row["application"], row["reviewer_id"]) for row in found}
        rows = self._of("v_reviewer_dimensions", None, order=f"{order}, dimension")
        return found + [each for row in rows if (row["application"], row["reviewer_id"]) in active for each in measures.reliability(row)]

    def estimates(self) -> list[Row]:
        """Return the quality of each series over its rolling window, and what it stands on."""
        return [found for row in self._of("v_estimates", "window_end", sliced=True, order=_ORDER) for found in measures.quality(row)]

    def drift(self) -> list[Row]:
        """Return where the detector of each series stands."""
        return [measures.drift(row) for row in self._newest_drift("=")]

    def distributions(self) -> list[Row]:
        """Return how each distribution that is described differs from its reference."""
        return [measures.distribution(row) for row in self._newest_drift("!=")]

    def _newest_drift(self, which: str) -> list[Row]:
        """Return the newest words of the detector ('='), or of the statistics beside it ('!=')."""
        condition, parameters = self._scope.where("occurred_at", sliced=True)
        chosen = f"{condition} AND detector {which} {{detector:String}}"
        order = "ORDER BY application, metric, slice = 'all' DESC, slice, detector"
        return self._rows(_select("v_drift", chosen, tail=order), parameters | {"detector": DETECTOR})

    def drift_over_time(self) -> list[Row]:
        """Return the statistic of each series over time: the newest `MOST_POINTS` words of its detector, oldest first."""
        condition, parameters = self._scope.where("occurred_at", sliced=True)
        of_detector = f"{condition} AND detector = {{detector:String}}"
        newest = _select("v_drift_history", of_detector, tail=f"ORDER BY occurred_at DESC, n_current DESC LIMIT {MOST_POINTS} BY application, series_id")
        order = "ORDER BY application, metric, slice = 'all' DESC, slice, occurred_at, n_current"
        return [measures.drift(row) for row in self._rows(_select(f"({newest})", "true", tail=order), parameters | {"detector": DETECTOR})]

    def gates(self) -> list[Row]:
        """Return scores and differences of each candidate, the newest first."""
        rows = self._of("v_gates", "occurred_at", sliced=True, order="occurred_at DESC, candidate, dimension, slice = 'all' DESC, slice, evaluator")
        return [found for row in rows for found in measures.gate(row)]

    def pairs(self) -> list[Row]:
        """Return how many preference pairs there are, by where they come from."""
        condition, parameters = self._scope.where("occurred_at")
        columns = "application, source, split, count() AS pairs, countIf(trainable) AS trainable, avg(margin) AS mean_margin, avg(p_correct) AS mean_p_correct"
        by = "application, source, split"
        return self._rows(_select("v_pairs", condition, columns, f"GROUP BY {by} ORDER BY {by}"), parameters)

    def datasets(self) -> list[Row]:
        """Return the versions of datasets, the newest first."""
        return self._of("v_dataset_versions", "occurred_at", order="occurred_at DESC, name, version DESC")

    def queue(self) -> list[Row]:
        """Return how many tasks wait for reviewers, by status."""
        condition, parameters = self._scope.where("occurred_at")
        columns = "application, status, count() AS tasks, sum(labels_received) AS labels, sum(labels_needed) AS labels_needed"
        by = "application, status"
        return self._rows(_select("v_review_queue", condition, columns, f"GROUP BY {by} ORDER BY {by}"), parameters)

    def releases(self) -> list[Row]:
        """Return which checkpoints served, the newest first."""
        return self._of("v_releases", None, order="since DESC")

    def _period(self, application: Mapping[str, str], start: datetime, end: datetime) -> list[Row]:
        condition, parameters = Scope(application["application"], self._scope.slice).where(sliced=True)
        stretch = f"since = '{sql_time(start)}', until = '{sql_time(end)}'"
        rows = self._rows(_select(f"v_agreement_period({stretch})", condition, tail=f"ORDER BY {_ORDER}"), parameters)
        for row in rows:
            row |= {"window_start": start, "window_end": end, "undefined": _of_period(row, "alpha"), "ac1_undefined": _of_period(row, "ac1")}
        return rows

    def _of(self, view: str, since: str | None, *, order: str, sliced: bool = False) -> list[Row]:
        condition, parameters = self._scope.where(since, sliced=sliced)
        return self._rows(_select(view, condition, tail=f"ORDER BY {order}"), parameters)

    def _rows(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        try:
            answer = query(self._settings, sql, parameters)
        except ClickHouseError as error:
            if error.code in (_UNKNOWN_TABLE, _UNKNOWN_DATABASE):
                raise UnavailableError(
                    "ClickHouse has not all of our views; the sink makes them when it starts: trueloop worker sink, or trueloop up"
                ) from None
            raise
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def _select(source: str, condition: str, columns: str = "*", tail: str = "") -> str:
    """Return a query of fixed text: what comes from outside stands in its parameters."""
    return f"SELECT {columns} FROM {source} WHERE {condition} {tail}"  # noqa: S608


def _points(starts: Iterable[datetime], size: timedelta, most: int) -> Iterator[tuple[datetime, datetime]]:
    """Yield stretches of whole panes, aligned to the epoch, that hold evidence: `most` of them, and one more where they do not begin with the first."""
    ordered = sorted(starts)
    width = size * ceil((ordered[-1] - ordered[0] + size) / size / most)
    epoch = datetime(1970, 1, 1, tzinfo=ordered[0].tzinfo)
    for number in sorted({(start - epoch) // width for start in ordered}):
        yield epoch + number * width, epoch + (number + 1) * width


def _of_period(row: Row, name: str) -> str | None:
    """Return why a coefficient of `v_agreement_period` or its interval is missing."""
    if row[name] is not None:
        return None if row.get(f"{name}_low") is not None else "NOT_ESTIMATED" if name == "alpha" else "TOO_FEW_UNITS"
    return "NOT_ESTIMATED" if not row["complete"] else "NO_VARIATION" if row["n_units"] else "NO_PAIRABLE_UNITS"
