"""The page of the report from measures alone: what is left out is said, and odd numbers still make a chart."""

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from trueloop.report import measures
from trueloop.report.charts import Bar, Line, Point, forest, over_time
from trueloop.report.page import MOST_BARS, MOST_CHARTS, page
from trueloop.report.reading import Evidence
from trueloop.report.scope import Scope, parse_since
from trueloop.report.tables import agreement, gates

NOW = datetime(2026, 11, 2, tzinfo=UTC)


def evidence(**sections):
    return Evidence(**({name: [] for name in Evidence.__dataclass_fields__} | sections))


def rating(dimension, statistic="p_o", value=0.5, reason=None, **changes):
    return {
        "application": "a", "dimension": dimension, "slice": "all", "rubric_id": "r", "rubric_version": 1, "kind": "RATING", "level": "ORDINAL",
        "window_start": NOW, "window_end": NOW + timedelta(hours=1), "n_labels": 9, "n_tasks": 3, "statistic": statistic, "value": value, "low": None,
        "high": None, "n": 3, "reason": reason,
    } | changes  # fmt: skip


def test_nothing_at_all_is_no_evidence():
    assert "no evidence (nothing lies in ClickHouse for this)" in page(evidence(), Scope("a", "all", NOW), NOW)


def test_what_charts_leave_out_is_said():
    rows = [rating(f"d{n}") for n in range(MOST_CHARTS + 5)]
    text = page(evidence(agreement_over_time=rows), Scope(), NOW)
    assert text.count("<figure>") == MOST_CHARTS
    assert "5 more series are in the table only" in text
    people = [
        {"application": "a", "reviewer_id": f"r{n:03}", "status": "ACTIVE", "dimension": "tone", "statistic": "reliability"}
        | {"value": n / 100 if n else None, "low": None, "high": None, "n": 9, "reason": None if n else "NO_JUDGEMENTS"}
        for n in range(60)
    ]
    chart = page(evidence(reviewers=people), Scope(), NOW).split("<figure")[1].split("</figure>")[0]
    assert f"the {MOST_BARS} lowest of 60" in chart
    assert "r001" in chart
    assert "r059" not in chart


def test_versions_of_a_rubric_are_told_apart():
    table = agreement([rating("tone"), rating("tone", rubric_version=2)])
    assert [row[0] for row in table.rows] == ["tone, all, r v1", "tone, all, r v2"]


@pytest.mark.parametrize(
    "points",
    [
        [(0, None)],
        [(0, 0.5)],
        [(0, 0.5), (0, 0.5)],
        [(0, 0.0), (90, 1.0)],
        [(0, -3e-9), (1, 1e6)],
        [(0, None), (500_000, 0.25), (900_000, None)],
    ],
)
def test_odd_numbers_make_a_chart_inside_its_frame(points):
    line = Line("x", "one", [Point(NOW + timedelta(minutes=at), value, value, value, f"<{value}>") for at, value in points])
    chart = ElementTree.fromstring(over_time('a "title" & <more>', [line], bounds=(0.0, 1.0), threshold=2.0))
    assert chart.get("aria-label") == 'a "title" & <more>'
    for circle in chart.findall(".//circle"):
        assert 40 <= float(circle.get("cx")) <= 370
        assert 10 <= float(circle.get("cy")) <= 184
    assert len(chart.findall(".//circle")) == sum(value is not None for _, value in points)
    bars = [Bar(f"<b>{n}", value, value, value, "says & <i>", mark=0.9) for n, (_, value) in enumerate(points)]
    rows = ElementTree.fromstring(forest("t", bars))
    assert [text.text for text in rows.findall(".//text[@class='label']")] == [f"<b>{n}" for n in range(len(points))]


def test_a_gap_in_the_evidence_is_a_gap_in_the_line():
    values = [0.1, 0.2, None, 0.4, 0.5]
    line = Line("x", "one", [Point(NOW + timedelta(hours=n), value, None, None, "") for n, value in enumerate(values)])
    chart = ElementTree.fromstring(over_time("t", [line], bounds=(0.0, 1.0)))
    assert len(chart.findall(".//polyline")) == 2
    assert len(chart.findall(".//path[@class='none']")) == 1


@pytest.mark.parametrize(("text", "hours"), [("90m", 1.5), ("2w", 336), ("2026-11-01T12:00:00+02:00", 14), ("2026-11-01", 24)])
def test_since_is_a_time_ago_or_a_date(text, hours):
    assert NOW - parse_since(text, NOW) == timedelta(hours=hours)


def test_two_evaluators_of_a_dimension_are_two_rows() -> None:
    given = dict.fromkeys(("application", "candidate", "baseline", "decision", "dimension", "slice", "verdict"), "x")
    given |= {"confidence": 0.95, "labels_needed": 0, "reasons": ["MEETS_ALL"], "decision_reasons": [], "occurred_at": datetime(2026, 3, 1, tzinfo=UTC)}
    given |= {"floor": 0.9, "max_regression": 0.02, "n": 100, "candidate_mean": 0.95, "difference": 0.0}
    given |= {f"{name}_{end}": 0.5 for name in ("candidate", "difference") for end in ("low", "high")}
    rows = [row for name in ("check:a", "judge:b") for row in measures.gate(given | {"evaluator": name})]
    assert [line[5] for line in gates(rows).rows] == ["check:a", "judge:b"]


def test_people_have_a_win_rate_and_no_difference() -> None:
    given = dict.fromkeys(("application", "candidate", "baseline", "decision", "dimension", "slice", "verdict"), "x")
    given |= {"confidence": 0.95, "labels_needed": 0, "reasons": ["MEETS_ALL"], "decision_reasons": [], "occurred_at": datetime(2026, 3, 1, tzinfo=UTC)}
    given |= {"floor": 0.4, "max_regression": 0.1, "n": 100, "candidate_mean": 0.55, "candidate_low": 0.41, "candidate_high": 0.69, "evaluator": "people"}
    rows = list(measures.gate(given | dict.fromkeys(("difference", "difference_low", "difference_high"))))
    assert [(row["statistic"], row["value"], row["least"], row["reason"]) for row in rows] == [
        ("candidate", 0.55, 0.4, None),
        ("difference", None, None, "WIN_RATE"),
    ]
    assert gates(rows).rows[0][7:11] == ("0.550 [0.410, 0.690]", "0.400", "–", "–")
