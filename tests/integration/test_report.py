"""`trueloop report` and `trueloop.notebook` over a real ClickHouse engine: right numbers, reasons where there are none, and hostile names that stay text."""

import math
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.factories import bare, example
from tests.integration.analyst_house import asked, filled, governed
from tests.integration.billing_policy import APPLICATION
from trueloop import cli, notebook, topics
from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine
from trueloop.agreement import Evidence, Moments, Replicates, evidence_of, gwet_ac1, krippendorff_alpha, observed_agreement
from trueloop.agreement.pattern import pattern_of
from trueloop.config import Settings
from trueloop.drift.detector import NAME
from trueloop.errors import UnavailableError
from trueloop.events import (
    AgreementEstimate,
    AgreementUnits,
    DriftSignal,
    EstimateMethod,
    GateDecision,
    NoEstimate,
    QualityEstimate,
    ReviewerQuality,
)  # fmt: skip
from trueloop.events.agreement import WindowKind
from trueloop.events.agreement_units import UnitKind
from trueloop.events.drift import DriftState
from trueloop.processors.agreement import PROCESSOR
from trueloop.report import tables
from trueloop.report.page import page
from trueloop.report.reading import MOST_POINTS, Reader
from trueloop.report.scope import Scope
from trueloop.testing import Clock, ProcessorDriver

START = datetime(2026, 11, 2, tzinfo=UTC)
NOW = START + timedelta(days=9)
TASKS, EVERY = 240, timedelta(minutes=40)
DIMENSIONS = [{"name": name, "description": "x", "scale": {"min": 0, "max": 5}} for name in ("tone", "lone")]
HOSTILE = "<script>alert(1)</script>"
HOSTILE_DIMENSION = '"><img src=x onerror=alert(2)>'
ESCAPES = "eve\x1b[2J\u202e[red]"


def rated() -> list[Counter[int]]:
    """Ratings of each task by three raters, who agree less and less."""
    chance = random.Random(5)
    found = []
    for number in range(TASKS):
        truth = chance.randrange(6)
        found.append(Counter(truth if chance.random() < 0.95 - 0.4 * number / TASKS else chance.randrange(6) for _ in range(3)))
    return found


def units(number: int, dimension: str, counts: Counter[int], **changes: object) -> AgreementUnits:
    unit = {"unit_id": f"{number}", "values": sorted(counts), "counts": [counts[value] for value in sorted(counts)]}
    values = {
        "event_id": f"{number}-{dimension}",
        "series_id": f"series-{dimension}",
        "dimension": dimension,
        "slice": "all",
        "kind": UnitKind.RATING,
        "task_id": f"task-{number}",
        "task_at": START + number * EVERY,
        "revision": 1,
        "units": [unit],
    }
    return example(AgreementUnits, **(values | changes))


def agreement_estimates() -> list[AgreementEstimate]:
    drive = ProcessorDriver(PROCESSOR, governed(DIMENSIONS, START), Clock(NOW))
    with drive.batch():
        for number, counts in enumerate(rated()):
            drive.send(units(number, "tone", counts))
            if number < 30:
                drive.send(units(number, "lone", Counter([3])))
        drive.send(units(900, "tone", Counter([1, 1]), task_at=NOW + timedelta(days=20)))  # a producer whose clock is wrong
    hostile = bare(AgreementEstimate, application=HOSTILE, dimension=HOSTILE_DIMENSION, slice=f"a={HOSTILE}", series_id="h", window_kind=WindowKind.ROLLING)
    panes = [hostile.model_copy(update={"event_id": f"h{n}", "window_kind": kind}) for n, kind in enumerate((WindowKind.ROLLING, WindowKind.PANE))]
    return [*drive.out_of(topics.AGREEMENT), *panes]


def drift_signals() -> list[DriftSignal]:
    states = [(DriftState.NO_DATA, None)] + [(DriftState.OK, 1.0 + n / 10) for n in range(60)] + [(DriftState.WARNING, 8.5), (DriftState.ALARM, 10.1)]
    return [
        example(
            DriftSignal, event_id=f"d{n}", application=APPLICATION, series_id="s", metric="dimension:tone", slice="all", detector=NAME, state=state,
            log_e_value=value, value=None, band_low=None, band_high=None, undefined=None, threshold=9.9,
            arl_target=10_000, n_current=50 * n, current_mean=0.3, occurred_at=START + timedelta(hours=n),
        )
        for n, (state, value) in enumerate(states)
    ]  # fmt: skip


def distribution_signals() -> list[DriftSignal]:
    """One that warns, and one that cannot be told yet."""
    common = {"application": APPLICATION, "series_id": "l", "metric": "latency_ms", "slice": "all", "occurred_at": NOW, "log_e_value": None, "threshold": None}
    common |= {"arl_target": None, "n_reference": 500, "n_current": 500}
    warned = {"detector": "wasserstein-distance", "state": DriftState.WARNING, "value": 0.4321, "band_low": None, "band_high": 0.1, "undefined": None}
    unknown = {
        "detector": "population-stability-index",
        "state": DriftState.NO_DATA,
        "value": None,
        "band_low": None,
        "band_high": None,
        "undefined": "TOO_FEW",
    }
    return [example(DriftSignal, event_id=f"l{n}", **common, **each) for n, each in enumerate((warned, unknown))]


def quality_estimates() -> list[QualityEstimate]:
    common = {"application": APPLICATION, "dimension": "tone", "window_kind": WindowKind.ROLLING, "window_end": NOW, "n_labelled": 300, "n_judged": 9000}
    told = {"slice": "all", "value": 0.765, "low": 0.731, "high": 0.798, "hajek": 0.771, "hajek_low": 0.71, "hajek_high": 0.82, "undefined": None}
    return [
        example(QualityEstimate, event_id="q1", series_id="q1", **common, **told, method=EstimateMethod.PREDICTION_POWERED, fallback=None),
        bare(QualityEstimate, event_id="q2", series_id="q2", **(common | {"n_labelled": 0}), slice="locale=de", undefined=NoEstimate.NO_LABELS),
    ]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    reviewers = [
        example(ReviewerQuality, event_id="r1", application=APPLICATION, reviewer_id="ada", occurred_at=NOW),
        bare(ReviewerQuality, event_id="r2", application=APPLICATION, reviewer_id=ESCAPES, n_gold=0, gold_correct=0.0, occurred_at=NOW),
    ]
    gate = example(GateDecision, event_id="g", application=APPLICATION, occurred_at=NOW)
    told = {
        topics.AGREEMENT: agreement_estimates(), topics.DRIFT: drift_signals() + distribution_signals(), topics.ESTIMATES: quality_estimates(), 
        topics.REVIEWERS: reviewers, topics.GATES: [gate],
    }  # fmt: skip
    with filled(tmp_path_factory.mktemp("clickhouse"), told) as engine:
        yield engine


@pytest.fixture(scope="module")
def settings(engine: EmbeddedEngine) -> Iterator[Settings]:
    with asked(engine) as settings:
        yield settings


def evidence(tasks: list[int]) -> Evidence:
    ratings = rated()
    clusters = [(f"task-{n}", ((pattern_of(ratings[n]), 1),)) for n in tasks]
    return evidence_of(clusters, Evidence(moments=Moments("ordinal"), replicates=Replicates("ordinal")))


def test_agreement_is_that_of_the_library(settings: Settings) -> None:
    rows = {row["statistic"]: row for row in Reader(settings, Scope(APPLICATION)).agreement() if row["dimension"] == "tone"}
    end = START + timedelta(days=6, hours=16)  # the window is a day, and the task of the wrong clock moves nothing
    inside = evidence([n for n in range(TASKS) if end - timedelta(days=1) <= START + n * EVERY])
    for name, wanted in {
        "p_o": observed_agreement(inside),
        "alpha": krippendorff_alpha(inside, level="ordinal"),
        "ac1": gwet_ac1(inside, categories=range(6)),
    }.items():
        assert (rows[name]["value"], rows[name]["low"], rows[name]["high"]) == pytest.approx((wanted.value, *(wanted.interval or ())), abs=1e-9)
        assert (rows[name]["n"], rows[name]["reason"], rows[name]["window_end"]) == (36, None, end)


def test_a_long_time_is_told_in_few_points_that_are_those_of_the_library(settings: Settings) -> None:
    rows = [row for row in Reader(settings, Scope(APPLICATION)).agreement_over_time() if row["dimension"] == "tone"]
    points = {(row["window_start"], row["window_end"]) for row in rows}
    assert 4 <= len(points) <= 5  # 240 tasks and 30 on another dimension: 135 on average
    assert sum(row["n"] for row in rows if row["statistic"] == "p_o") == TASKS
    for start, end in sorted(points):
        inside = evidence([n for n in range(TASKS) if start <= START + n * EVERY < end])
        found = {row["statistic"]: row for row in rows if row["window_start"] == start}
        assert found["alpha"]["value"] == pytest.approx(krippendorff_alpha(inside, level="ordinal").value, abs=1e-9)
        assert found["ac1"]["value"] == pytest.approx(gwet_ac1(inside, categories=range(6)).value, abs=1e-9)
        assert (found["alpha"]["low"], found["alpha"]["reason"]) == (None, "NOT_ESTIMATED")
        assert found["ac1"]["low"] < found["ac1"]["value"] < found["ac1"]["high"]


def test_no_evidence_has_its_reason_and_is_never_zero(settings: Settings) -> None:
    rows = {row["statistic"]: row for row in Reader(settings, Scope(APPLICATION)).agreement() if row["dimension"] == "lone"}
    assert {(row["value"], row["n"], row["reason"]) for row in rows.values()} == {(None, 0, "NO_PAIRABLE_UNITS")}
    gold = [row for row in Reader(settings, Scope(APPLICATION)).reviewers() if row["statistic"] == "gold_accuracy"]
    assert {(row["value"], row["reason"]) for row in gold if row["reviewer_id"] == ESCAPES} == {(None, "NO_GOLD_ITEMS")}


def test_quality_and_distributions_are_told_with_what_they_stand_on(settings: Settings) -> None:
    found = Reader(settings, Scope(APPLICATION)).evidence()
    rows = {row[0].partition(", ")[2].partition(",")[0]: row for row in tables.estimates(found.estimates).rows}
    assert rows["all"][1:3] == ("0.765 [0.731, 0.798]", "0.771 [0.710, 0.820]")
    assert rows["all"][4].startswith("prediction powered")
    assert rows["locale=de"][1] == "no evidence (no labels)"
    told = {row[3]: row[2:] for row in tables.distributions(found.distributions).rows}
    assert told["wasserstein-distance"] == ("WARNING", "wasserstein-distance", "0.432", "above 0.100", "500", "500")
    assert told["population-stability-index"][2:4] == ("no evidence (too few)", "–")
    assert {row["metric"] for row in found.drift} == {"dimension:tone"}
    frame = notebook.estimates(APPLICATION, settings=settings)
    assert frame[frame.statistic == "quality"].set_index("slice").value.round(3).to_dict() == pytest.approx({"all": 0.765, "locale=de": math.nan}, nan_ok=True)
    assert set(notebook.distributions(APPLICATION, settings=settings).statistic) == {"wasserstein-distance", "population-stability-index"}
    text = page(found, Scope(APPLICATION), NOW)
    assert "<figcaption>quality: tone," in text
    assert "0.432" in text


def test_the_scope_is_kept(settings: Settings) -> None:
    assert Reader(settings, Scope("nobody")).evidence().applications() == []
    assert Reader(settings, Scope(slice="locale=de")).agreement() == []
    assert Reader(settings, Scope(APPLICATION, since=NOW + timedelta(days=1))).agreement_over_time() == []
    assert Reader(settings, Scope()).evidence().applications() == [HOSTILE, APPLICATION]


class Tags(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        if tag not in ("meta", "img", "input", "br", "path", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "line", "circle", "polyline"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_needs_nothing_and_runs_nothing_of_a_stranger(settings: Settings) -> None:
    scope = Scope(slice=None)
    text = page(Reader(settings, scope).evidence(), scope, NOW)
    tags = Tags(text)
    assert tags.open == []
    assert tags.tags.keys().isdisjoint({"script", "img", "link", "iframe", "object"})
    assert not {name for name in tags.attributes if name.startswith("on")} | {"src", "href"} & tags.attributes.keys()
    assert "url(" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert HOSTILE in tags.text
    assert "\x1b" not in text
    assert "no evidence (no pairable units)" in tags.text
    charts = [ElementTree.fromstring(f"<svg{rest.split('</svg>')[0]}</svg>") for rest in text.split("<svg")[1:]]
    assert len(charts) >= 4
    assert all(chart.get("aria-label") for chart in charts)


def test_charts_show_points_intervals_thresholds_and_what_is_missing(settings: Settings) -> None:
    scope = Scope(APPLICATION)
    text = page(Reader(settings, scope).evidence(), scope, NOW)
    charts = {chart.get("aria-label"): chart for chart in (ElementTree.fromstring(f"<svg{rest.split('</svg>')[0]}</svg>") for rest in text.split("<svg")[1:])}
    tone, lone, drift = (charts[name] for name in ("agreement over time: tone, all", "agreement over time: lone, all", "drift: dimension:tone, all: ALARM"))
    assert 3 * 4 <= len(tone.findall(".//circle")) <= 3 * 5
    assert len(tone.findall(".//path[@class='interval']")) == len(tone.findall(".//circle")) * 2 / 3  # alpha has none over time
    assert not lone.findall(".//circle")
    assert len(lone.findall(".//path[@class='none']")) >= 3
    assert len(drift.findall(".//line[@class='threshold']")) == 1
    assert [group.get("class") for group in drift.findall(".//g[@class]")].count("bad") == 1
    assert len(drift.findall(".//circle")) == MOST_POINTS
    for chart in charts.values():
        _, _, width, height = map(float, (chart.get("viewBox") or "").split())
        for circle in chart.findall(".//circle"):
            assert 0 <= float(circle.get("cx", -1)) <= width
            assert 0 <= float(circle.get("cy", -1)) <= height


def test_the_command_prints_tables_and_writes_the_page(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUELOOP_CLICKHOUSE__URL", settings.clickhouse.url)
    assert cli.run(["report", "--since", "2026-01-01"]) == cli.OK
    printed = capsys.readouterr().out
    assert HOSTILE in printed
    assert "\x1b" not in printed
    assert "eve\ufffd[2J\ufffd[red]" in printed
    assert "no evidence (no pairable units)" in printed
    assert cli.run(["report", "--since", "2026-01-01", "--html", "report.html"]) == cli.OK
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert cli.run(["report", "--html", "no/such/report.html"]) == cli.USAGE
    assert cli.run(["report", "--since", "yesterday"]) == cli.USAGE
    assert cli.run(["report", "--application", "nobody"]) == cli.OK
    assert "no evidence since" in capsys.readouterr().out


def test_without_clickhouse_it_says_so(settings: Settings) -> None:
    dead = settings.model_copy(update={"clickhouse": settings.clickhouse.model_copy(update={"url": "http://127.0.0.1:1"})})
    with pytest.raises(UnavailableError, match="no ClickHouse answers"):
        Reader(dead, Scope()).agreement()


def test_without_our_views_it_says_who_makes_them(settings: Settings) -> None:
    bare_database = settings.model_copy(update={"clickhouse": settings.clickhouse.model_copy(update={"database": "elsewhere"})})
    with pytest.raises(UnavailableError, match="the sink makes them"):
        Reader(bare_database, Scope()).agreement()


def test_a_notebook_gets_frames_whose_missing_numbers_have_reasons(settings: Settings) -> None:
    alpha = notebook.agreement(APPLICATION, statistic="alpha", settings=settings).set_index("dimension")
    assert list(alpha.index) == ["lone", "tone"]
    assert (alpha.loc["lone", "reason"], int(alpha.loc["lone", "n"]), alpha["value"].isna().tolist()) == ("NO_PAIRABLE_UNITS", 0, [True, False])
    assert alpha.loc["tone", "low"] < alpha.loc["tone", "value"] < alpha.loc["tone", "high"]
    course = notebook.agreement(APPLICATION, dimension="tone", statistic="ac1", over_time=True, settings=settings)
    assert int(course["n"].sum()) == TASKS
    watched = notebook.drift(APPLICATION, settings=settings)
    assert watched[["state", "value", "threshold"]].to_numpy().tolist() == [["ALARM", 10.1, 9.9]]
    assert len(notebook.drift(APPLICATION, over_time=True, settings=settings)) == MOST_POINTS
    decided = notebook.gates(APPLICATION, settings=settings)
    assert set(decided["statistic"]) == {"candidate", "difference"}
    people = notebook.reviewers(APPLICATION, settings=settings)
    assert people[people["value"].isna()]["reason"].notna().all()
    assert int(notebook.sql("SELECT 1 + {n:UInt8} AS two", {"n": 1}, settings=settings)["two"].iloc[0]) == 2


def test_empty_frames_have_the_columns_of_full_ones(settings: Settings) -> None:
    for ask in (notebook.agreement, notebook.drift, notebook.gates, notebook.reviewers):
        empty, full = ask("nobody", settings=settings), ask(APPLICATION, settings=settings)
        assert (len(empty), list(empty.columns)) == (0, list(full.columns))
        assert {"statistic", "value", "n", "reason"} <= set(full.columns)
        assert empty["value"].dtype == full["value"].dtype == "float64"
        assert empty["n"].dtype == full["n"].dtype == "Int64"
