"""What the report tells in tables, the same for a terminal and for the page."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from trueloop.report.measures import WIN_RATE, Row
from trueloop.report.wording import count, estimate, moment, number, reason, shown

GOOD, DOUBTFUL, BAD = "good", "doubtful", "bad"
TONES = {
    "OK": GOOD, "ACTIVE": GOOD, "PASS": GOOD, "WARNING": DOUBTFUL, "WATCH": DOUBTFUL, "ONBOARDING": DOUBTFUL, "INCONCLUSIVE": DOUBTFUL, "NO_DATA": DOUBTFUL,
    "OVERDUE": DOUBTFUL, "ALARM": BAD, "QUARANTINED": BAD, "BLOCK": BAD,
}  # fmt: skip
"""How a state is coloured. It is always written, too: nobody has to see colours."""
_CHOSEN = {"p_o": "observed agreement", "alpha": "Krippendorff's alpha", "ac1": "Gwet's AC1", "span_f1": "span F1", "shown_first": "preferred the first shown"}
_ACCURACIES = {"gold_accuracy": "right on gold items", "reliability": "reliability", "dawid_skene_accuracy": "Dawid-Skene"}
_ID = 12


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text. `numeric` names the columns that are set flush right; `empty` is said when there are no rows."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    empty: str
    numeric: frozenset[str] = frozenset()


def series_name(row: Row, *, several_rubrics: bool = False) -> str:
    """Return how a series of agreement is called.

    >>> series_name({"dimension": "tone", "slice": "locale=de", "rubric_id": "support", "rubric_version": 2})
    'tone, locale=de'
    """
    name = f"{row['dimension']}, {row['slice']}"
    return shown(f"{name}, {row['rubric_id']} v{row['rubric_version']}" if several_rubrics else name)


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    """Return rows by key, in the order of their first row."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def series_of(row: Row) -> tuple[Any, ...]:
    """Return what tells one series of agreement from another."""
    return row["dimension"], row["slice"], row["rubric_id"], row["rubric_version"]


def agreement(rows: Sequence[Row]) -> Table:
    """Return the newest agreement of each series."""
    present = [name for name in _CHOSEN if any(row["statistic"] == name for row in rows)]
    rubrics = len({(row["rubric_id"], row["rubric_version"]) for row in rows}) > 1
    lines = []
    for found in grouped(rows, series_of).values():
        by_name = {row["statistic"]: row for row in found}
        first = found[0]
        cells = (estimate(by_name[name]) if name in by_name else "–" for name in present)
        lines.append((series_name(first, several_rubrics=rubrics), first["level"].lower(), count(by_name["p_o"]["n"]), count(first["n_tasks"]), *cells))
    columns = ("series", "level", "units", "tasks", *(_CHOSEN[name] for name in present))
    return Table("Agreement", columns, lines, "no evidence (no agreement was estimated in this time)", frozenset({"units", "tasks"}))


def reviewers(rows: Sequence[Row]) -> Table:
    """Return what is known of each reviewer."""
    lines = []
    for found in grouped(rows, lambda row: (row["reviewer_id"], row["dimension"])).values():
        first, by_name = found[0], {row["statistic"]: row for row in found}
        kind = "reliability" if "reliability" in by_name else "gold_accuracy"
        cells = (estimate(by_name[name]) if name in by_name else "–" for name in _ACCURACIES)
        lines.append((shown(first["reviewer_id"]), shown(first["dimension"] or "gold items"), first["status"], count(by_name[kind]["n"]), *cells))
    lines.sort(key=lambda line: line[0])
    columns = ("reviewer", "dimension", "status", "judgements", *_ACCURACIES.values())
    return Table("Reviewers", columns, lines, "no evidence (no reviewer was told of in this time)", frozenset({"judgements"}))


def drift(rows: Sequence[Row]) -> Table:
    """Return where each detector stands."""
    lines = []
    for row in rows:
        statistic = f"no evidence ({reason(row['reason'])})" if row["value"] is None else f"{row['value']:.2f}"
        lines.append((
            shown(row["metric"]), shown(row["slice"]), row["state"], statistic, number(row["threshold"]), number(row["reference_mean"]),
            count(row["n_reference"]), number(row["current_mean"]), count(row["n"]), count(None if row["arl_target"] is None else round(row["arl_target"])),
        ))  # fmt: skip
    columns = ("metric", "slice", "state", "log e", "alarm at", "mean loss before", "losses", "mean loss now", "losses now", "one false alarm in")
    return Table("Drift", columns, lines, "no evidence (no series was watched in this time)", frozenset(columns[3:]))


def distributions(rows: Sequence[Row]) -> Table:
    """Return how each distribution differs from its reference."""
    lines = []
    for row in rows:
        value = f"no evidence ({reason(row['reason'])})" if row["value"] is None else number(row["value"])
        limit = f"below {number(row['limit_low'])}" if row["limit_low"] is not None else f"above {number(row['limit_high'])}"
        limit = limit if row["limit_low"] is not None or row["limit_high"] is not None else "–"
        lines.append((shown(row["metric"]), shown(row["slice"]), row["state"], row["statistic"], value, limit, count(row["n_reference"]), count(row["n"])))
    columns = ("metric", "slice", "state", "statistic", "value", "warns", "traces before", "traces now")
    return Table("Distributions", columns, lines, "no evidence (no distribution was compared in this time)", frozenset(columns[4:]))


def estimates(rows: Sequence[Row]) -> Table:
    """Return how good what is served is."""
    rubrics = len({(row["rubric_id"], row["rubric_version"]) for row in rows}) > 1
    lines = []
    for found in grouped(rows, series_of).values():
        by_name, first = {row["statistic"]: row for row in found}, found[0]
        cells = (estimate(by_name[name]) if name in by_name else "–" for name in ("quality", "hajek", "correlation"))
        why = reason(first["method"]) + (f" ({reason(first['fallback'])})" if first["fallback"] else "")
        name = series_name(first, several_rubrics=rubrics)
        lines.append((name, *cells, why, shown(first["judge"] or "–"), count(by_name["quality"]["n"]), count(first["n_judged"])))
    columns = ("series", "quality", "by labels only", "judge's correlation", "method", "judge", "labelled", "judged")
    return Table("Quality", columns, lines, "no evidence (no quality was estimated in this time)", frozenset({"labelled", "judged"}))


def gates(rows: Sequence[Row]) -> Table:
    """Return the decision on each candidate, per dimension, slice and evaluator."""
    lines = []
    for found in grouped(rows, lambda row: (row["candidate"], row["dimension"], row["slice"], row["evaluator"])).values():
        first, by_name = found[0], {row["statistic"]: row for row in found}
        score, difference = by_name["candidate"], by_name["difference"]
        lines.append((
            moment(first["occurred_at"]), shown(first["candidate"])[:_ID], first["decision"],
            *(shown(first[key] or "–") for key in ("dimension", "slice", "evaluator")),
            first["verdict"], estimate(score), number(score["least"]), "–" if difference["reason"] == WIN_RATE else estimate(difference),
            number(difference["least"]), count(first["n"]),
            count(first["labels_needed"]), reason(first["reasons"]),
        ))  # fmt: skip
    columns = (
        "decided", "candidate", "decision", "dimension", "slice", "scored by", "verdict", "score", "floor", "difference", "at least", "items",
        "items needed", "why",
    )  # fmt: skip
    return Table("Gates", columns, lines, "no evidence (no candidate was judged in this time)", frozenset({"floor", "at least", "items", "items needed"}))


def pairs(rows: Sequence[Row]) -> Table:
    """Return how many preference pairs there are."""
    lines = [
        (row["source"], row["split"], count(row["pairs"]), count(row["trainable"]), number(row["mean_margin"]), number(row["mean_p_correct"])) for row in rows
    ]
    columns = ("source", "split", "pairs", "trainable", "mean margin", "mean chance to be right")
    return Table("Preference pairs", columns, lines, "no pairs in this time", frozenset(columns[2:]))


def datasets(rows: Sequence[Row]) -> Table:
    """Return the versions of datasets."""
    lines = [
        (moment(row["occurred_at"]), shown(row["name"]), f"v{row['version']}", count(row["n_items"]), count(row["n_new"]), shown(row["content_hash"])[:_ID])
        for row in rows
    ]
    columns = ("frozen", "dataset", "version", "items", "of them new", "content")
    return Table("Datasets", columns, lines, "no dataset was frozen in this time", frozenset({"items", "of them new"}))


def queue(rows: Sequence[Row]) -> Table:
    """Return what waits for reviewers."""
    lines = [(row["status"], count(row["tasks"]), count(row["labels"]), count(row["labels_needed"])) for row in rows]
    columns = ("status", "tasks", "labels", "labels needed")
    return Table("Review queue", columns, lines, "no task was queued in this time", frozenset(columns[1:]))


def releases(rows: Sequence[Row]) -> Table:
    """Return which checkpoints served."""
    lines = [
        (moment(row["since"]), shown(row["checkpoint"])[:_ID], reason(row["reason"]), "serves" if row["serving"] else f"until {moment(row['until'])}")
        for row in rows
    ]
    return Table("Releases", ("since", "checkpoint", "why", "until"), lines, "nothing was released")
