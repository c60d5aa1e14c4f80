"""The report as one HTML page: no script, nothing loaded from elsewhere, and every text from the log escaped."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape

from trueloop.report import tables
from trueloop.report.charts import Bar, Line, Point, forest, over_time
from trueloop.report.measures import Row
from trueloop.report.reading import Evidence
from trueloop.report.scope import Scope
from trueloop.report.style import STYLE
from trueloop.report.tables import TONES, Table, grouped, series_name, series_of
from trueloop.report.wording import estimate, moment, reason, shown

MOST_CHARTS, MOST_BARS = 36, 40
"""Charts of one kind, and rows of a chart; what is left out is said."""
_LINES = {"p_o": ("one", "observed agreement"), "alpha": ("two", "Krippendorff's alpha"), "ac1": ("three", "Gwet's AC1")}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(evidence: Evidence, scope: Scope, now: datetime) -> str:
    """Return the page."""
    applications = evidence.applications()
    body = "".join(part for application in applications for part in _application(application, evidence.of(application)))
    asked = [
        "all applications" if scope.application is None else f"application {scope.application}",
        "all slices" if scope.slice is None else f"slice {scope.slice}",
        "all time" if scope.since is None else f"since {moment(scope.since)}",
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>Trueloop report</title><style>{STYLE}</style></head><body>'
        f"<h1>Trueloop report</h1><p>{escape(shown(', '.join(asked)))}; made {moment(now)} UTC. All times are UTC.</p>"
        f"{body or '<p>no evidence (nothing lies in ClickHouse for this)</p>'}"
        "<footer>Intervals are two-sided, 95 %, those of agreement with tasks as what was sampled. Bounds of gates are one-sided, at the policy's "
        "confidence. What the evidence does not define is left out with its reason; it is never shown as 0.</footer></body></html>\n"
    )


def _application(name: str, evidence: Evidence) -> Iterator[str]:
    yield f"<h2>{escape(shown(name))}</h2>"
    yield _table(tables.agreement(evidence.agreement), "How far reviewers agree, over the newest window of each series.")
    yield from _charts(list(_agreement_charts(evidence.agreement_over_time)), _legend())
    yield _table(tables.reviewers(evidence.reviewers), "How often each reviewer is right: on gold items, and by a posterior that forgets, per dimension.")
    yield from _forests(_reviewer_bars(evidence.reviewers))
    yield _table(tables.estimates(evidence.estimates), _QUALITY)
    yield from _forests(_quality_bars(evidence.estimates))
    yield _table(tables.drift(evidence.drift), _DRIFT)
    yield from _charts(list(_drift_charts(evidence.drift_over_time)), "")
    yield _table(tables.distributions(evidence.distributions), "How latency, lengths and topics differ from the reference. They warn, and never page.")
    yield _table(tables.gates(evidence.gates), "Each candidate against the floor and against what served, on held-out prompts.")
    yield from _forests(_gate_bars(evidence.gates))
    for table in (tables.queue(evidence.queue), tables.pairs(evidence.pairs), tables.datasets(evidence.datasets), tables.releases(evidence.releases)):
        yield _table(table, "")


_QUALITY = (
    "How good what is served is, over the newest window, from labels weighted by how probable it was to ask for them; with a judge's scores on all "
    "traces where they earned it."
)
_DRIFT = (
    "The logarithm of each series' e-detector, and where it alarms. How often it alarms although nothing changed is declared: in the last column, "
    "once in so many losses."
)


def _table(table: Table, says: str) -> str:
    title = f"<h3>{escape(table.title)}</h3>" + (f"<p>{escape(says)}</p>" if says else "")
    if not table.rows:
        return f'{title}<p class="none">{escape(table.empty)}</p>'
    numeric = [column in table.numeric for column in table.columns]
    head = "".join(('<th class="number">' if right else "<th>") + f"{escape(column)}</th>" for column, right in zip(table.columns, numeric, strict=True))
    rows = "".join("<tr>" + "".join(_cell(cell, right=right) for cell, right in zip(row, numeric, strict=True)) + "</tr>" for row in table.rows)
    return f'{title}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cell(text: str, *, right: bool) -> str:
    classes = ["number"] if right else ["estimate"] if "[" in text else []
    if text in TONES:
        classes += ["state", TONES[text]]
    if _MOMENT.fullmatch(text):
        classes.append("moment")
    if text.startswith("no evidence"):
        classes.append("none")
    named = f' class="{" ".join(classes)}"' if classes else ""
    return f"<td{named}>{escape(text)}</td>"


def _charts(charts: Sequence[tuple[str, str]], legend: str) -> Iterator[str]:
    if charts:
        figures = "".join(f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>" for title, svg in charts[:MOST_CHARTS])
        left_out = len(charts) - MOST_CHARTS
        more = f"<p>{left_out} more series are in the table only; name a slice or an application to see them.</p>" if left_out > 0 else ""
        yield f'{legend}<div class="charts">{figures}</div>{more}'


def _legend() -> str:
    names = "".join(f'<span><i class="{style}"></i>{escape(name)}</span>' for style, name in _LINES.values())
    return f'<div class="legend">{names}<span>✕ no evidence</span><span>over time alpha is told without its interval</span></div>'


def _agreement_charts(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    rubrics = len({(row["rubric_id"], row["rubric_version"]) for row in rows}) > 1
    for found in grouped(rows, series_of).values():
        name = series_name(found[0], several_rubrics=rubrics)
        lines = [
            Line(title, style, [_point(row, title) for row in found if row["statistic"] == statistic])
            for statistic, (style, title) in _LINES.items()
        ]  # fmt: skip
        yield name, over_time(f"agreement over time: {name}", lines, bounds=(0.0, 1.0))


def _point(row: Row, title: str) -> Point:
    middle = row["window_start"] + (row["window_end"] - row["window_start"]) / 2
    says = f"{moment(row['window_start'])} to {moment(row['window_end'])}: {title} {estimate(row)}, {row['n']:,} units"
    return Point(middle, row["value"], row["low"], row["high"], says)


def _drift_charts(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for (metric, slice_name), found in grouped(rows, lambda row: (row["metric"], row["slice"])).items():
        points = []
        for row in found:
            value = f"no evidence ({reason(row['reason'])})" if row["value"] is None else f"log e {row['value']:.2f}"
            says = f"{moment(row['occurred_at'])}: {row['state']}, {value} after {row['n']:,} losses"
            points.append(Point(row["occurred_at"], row["value"], None, None, says, TONES.get(row["state"], "")))
        title = shown(f"{metric}, {slice_name}: {found[-1]['state']}")
        thresholds = [row["threshold"] for row in found if row["threshold"] is not None]
        threshold = thresholds[-1] if thresholds else None
        yield title, over_time(f"drift: {title}", [Line("log e", "one", points)], bounds=(0.0, 1.0), threshold=threshold)


def _forests(bars_of: dict[str, list[Bar]]) -> Iterator[str]:
    for title, bars in bars_of.items():
        shown_bars = bars if len(bars) <= MOST_BARS else sorted(bars, key=_lowest_first)[:MOST_BARS]
        caption = title if len(bars) <= MOST_BARS else f"{title} (the {MOST_BARS} lowest of {len(bars)})"
        yield f'<figure class="wide"><figcaption>{escape(caption)}</figcaption>{forest(title, shown_bars)}</figure>'


def _lowest_first(bar: Bar) -> tuple[bool, float]:
    return bar.value is None, bar.value or 0.0


def _reviewer_bars(rows: Sequence[Row]) -> dict[str, list[Bar]]:
    found: dict[str, list[Bar]] = {}
    for row in sorted(rows, key=lambda row: (row["dimension"] or "", row["reviewer_id"])):
        if row["statistic"] == "dawid_skene_accuracy" or (row["statistic"] == "gold_accuracy" and row["value"] is None):
            continue
        title = "right on gold items" if row["statistic"] == "gold_accuracy" else f"reliability: {shown(row['dimension'])}"
        bar = Bar(shown(row["reviewer_id"]), row["value"], row["low"], row["high"], f"{estimate(row)}, n {row['n']:,}", TONES.get(row["status"], ""))
        found.setdefault(title, []).append(bar)
    return found


def _quality_bars(rows: Sequence[Row]) -> dict[str, list[Bar]]:
    found: dict[str, list[Bar]] = {}
    for row in rows:
        if row["statistic"] == "quality":
            bar = Bar(shown(row["slice"]), row["value"], row["low"], row["high"], f"{estimate(row)}, {row['n']:,} labelled")
            found.setdefault(f"quality: {shown(row['dimension'])}, {shown(row['rubric_id'])} v{row['rubric_version']}", []).append(bar)
    return found


def _gate_bars(rows: Sequence[Row]) -> dict[str, list[Bar]]:
    found: dict[str, list[Bar]] = {}
    for row in rows:
        if row["statistic"] == "candidate" and row["dimension"]:
            title = f"candidate {shown(row['candidate'])[:12]}, {moment(row['occurred_at'])}: {row['decision']} (dashed: the floor)"
            label = shown(f"{row['dimension']}, {row['slice']}, {row['evaluator']}")
            bar = Bar(label, row["value"], row["low"], row["high"], estimate(row), TONES.get(row["verdict"], ""), row["least"])
            found.setdefault(title, []).append(bar)
    return dict(list(found.items())[:MOST_CHARTS])
