"""What analysts compute in SQL is what the library computes: views over the tables of a real ClickHouse engine, fed by the processor."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.factories import example
from tests.integration.analyst_house import filled, governed
from trueloop import topics
from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine
from trueloop.adapters.clickhouse.guard import check
from trueloop.agreement import Evidence, Moments, Replicates, evidence_of, gwet_ac1, krippendorff_alpha, observed_agreement
from trueloop.agreement.pattern import pattern_of
from trueloop.events import AgreementUnits, ReviewTask
from trueloop.events.agreement import WindowKind
from trueloop.events.agreement_units import UnitKind
from trueloop.processors.agreement import PROCESSOR
from trueloop.testing import Clock, ProcessorDriver

MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC)
TASKS = 90
LEVELS = {"tone": "ordinal", "kind": "nominal", "degrees": "interval", "minutes": "ratio"}
DEGENERATE = {"same": {3: 2}, "lone": {2: 1}}
"""Dimensions on which all ratings are equal, and on which every unit has one rating."""
DIMENSIONS = LEVELS | dict.fromkeys(DEGENERATE, "ordinal")
SCALES = [{"name": name, "description": "x", "scale": {"min": 0, "max": 5, "level": level}} for name, level in DIMENSIONS.items()]
WEIGHTS = {"ordinal": "ordinal", "nominal": None, "interval": "quadratic", "ratio": "ratio"}
Rated = dict[str, dict[str, list[dict[int, int]]]]


def rate(chance: random.Random) -> dict[str, list[dict[int, int]]]:
    """Ratings of the one or two candidates of a task on every dimension, by one to four raters who agree more or less."""
    found: dict[str, list[dict[int, int]]] = {}
    for dimension in LEVELS:
        for _ in range(1 + (chance.random() < 0.3)):
            truth, counts = chance.randrange(6), {}
            for _ in range(chance.choice((1, 2, 3, 3, 4))):
                value = truth if chance.random() < 0.6 else chance.randrange(6)
                counts[value] = counts.get(value, 0) + 1
            found.setdefault(dimension, []).append(counts)
    return found


def units(task: int, dimension: str, counted: list[dict[int, int]], revision: int) -> AgreementUnits:
    at = MIDNIGHT + timedelta(minutes=20 * task)
    return example(
        AgreementUnits,
        event_id=f"{task}-{dimension}-{revision}",
        series_id=f"series-{dimension}",
        dimension=dimension,
        slice="all",
        kind=UnitKind.RATING,
        task_id=f"task-{task}",
        task_at=at,
        revision=revision,
        units=[{"unit_id": f"{task}-{n}", "values": sorted(c), "counts": [c[v] for v in sorted(c)]} for n, c in enumerate(counted)],
    )


@pytest.fixture(scope="module")
def rated() -> Rated:
    chance = random.Random(11)
    return {f"task-{number}": rate(chance) for number in range(TASKS)}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, rated: Rated) -> Iterator[EmbeddedEngine]:
    """Tables as the sink fills them: every task was rated, then rated otherwise, which the views must see through."""
    drive = ProcessorDriver(PROCESSOR, governed(SCALES, MIDNIGHT), Clock(MIDNIGHT + timedelta(days=5)))
    chance, sent = random.Random(12), []
    with drive.batch():
        for revision, wrong in ((1, True), (2, False)):
            for number in chance.sample(range(TASKS), TASKS):
                for dimension, counted in (rate(chance) if wrong else rated[f"task-{number}"]).items():
                    sent.append(units(number, dimension, counted, revision))
                    drive.send(sent[-1])
        for dimension, counts in DEGENERATE.items():
            for number in range(TASKS):
                sent.append(units(number, dimension, [counts], 1))
                drive.send(sent[-1])
    tasks = [example(ReviewTask, event_id=f"e{n}", task_id=f"task-{n}", slices={"locale": "de" if n % 3 else "fr"}) for n in range(TASKS)]
    with filled(tmp_path_factory.mktemp("clickhouse"), {topics.AGREEMENT_UNITS: sent, topics.AGREEMENT: drive.out, topics.REVIEW_QUEUE: tasks}) as engine:
        yield engine


def batch(rated: Rated, dimension: str, tasks: Sequence[int]) -> Evidence:
    level = LEVELS[dimension]
    clusters = [(f"task-{n}", tuple((pattern_of(counts), 1) for counts in rated[f"task-{n}"][dimension])) for n in tasks]
    return evidence_of(clusters, Evidence(moments=Moments(WEIGHTS[level]), replicates=Replicates(level)))


def row(engine: EmbeddedEngine, sql: str, columns: str) -> dict[str, Any]:
    (found,) = engine.rows(f"SELECT {columns} FROM {sql}")
    return dict(zip(columns.split(", "), found, strict=True))


@pytest.mark.parametrize("dimension", LEVELS)
@pytest.mark.parametrize(
    ("since", "until", "name", "tasks"),
    [
        ("2026-11-02", "2026-11-09", "all", range(TASKS)),
        ("2026-11-02 06:00:00", "2026-11-02 20:00:00", "all", range(18, 60)),
        ("2026-11-02", "2026-11-09", "locale=de", [n for n in range(TASKS) if n % 3]),
        ("2026-11-02", "2026-11-02 04:00:00", "all", range(12)),
    ],
)
def test_alpha_and_its_interval_over_any_period_and_slice(
    engine: EmbeddedEngine, rated: Rated, dimension: str, since: str, until: str, name: str, tasks: Sequence[int]
) -> None:
    wanted = krippendorff_alpha(batch(rated, dimension, tasks), level=LEVELS[dimension])
    view = f"v_agreement_alpha(since = '{since}', until = '{until}', slice = '{name}', level = '{LEVELS[dimension]}') WHERE dimension = '{dimension}'"
    found = row(engine, view, "n_units, n_labels, n_tasks, alpha, alpha_low, alpha_high, std_error")
    assert (int(found["n_units"]), int(found["n_labels"]), int(found["n_tasks"])) == (wanted.n_units, wanted.n_labels, wanted.n_clusters)
    assert found["alpha"] == pytest.approx(wanted.value, abs=1e-9)
    assert found["std_error"] == pytest.approx(wanted.std_error, abs=1e-9)
    if wanted.interval is None:
        assert (len(tasks), found["alpha_low"], found["alpha_high"]) == (12, None, None)
    else:
        assert (found["alpha_low"], found["alpha_high"]) == pytest.approx(wanted.interval, abs=1e-9)


@pytest.mark.parametrize("dimension", LEVELS)
@pytest.mark.parametrize(
    ("since", "until", "tasks"), [("2026-11-02", "2026-11-09", range(TASKS)), ("2026-11-02 06:00:00", "2026-11-02 20:00:00", range(18, 60))]
)
def test_statistics_of_panes_merge_into_any_period(engine: EmbeddedEngine, rated: Rated, dimension: str, since: str, until: str, tasks: Sequence[int]) -> None:
    evidence = batch(rated, dimension, tasks)
    found = row(
        engine,
        f"v_agreement_period(since = '{since}', until = '{until}') WHERE dimension = '{dimension}'",
        "n_units, n_labels, n_tasks, complete, p_o, p_o_low, p_o_high, alpha, ac1, ac1_low, ac1_high",
    )
    alpha = krippendorff_alpha(evidence, level=LEVELS[dimension])
    assert (int(found["n_units"]), int(found["n_labels"]), int(found["n_tasks"])) == (alpha.n_units, alpha.n_labels, alpha.n_clusters)
    assert found["complete"]
    assert found["alpha"] == pytest.approx(alpha.value, abs=1e-9)
    for name, estimate in (("p_o", observed_agreement(evidence)), ("ac1", gwet_ac1(evidence, categories=range(6)))):
        assert (found[name], found[f"{name}_low"], found[f"{name}_high"]) == pytest.approx((estimate.value, *estimate.interval), abs=1e-9), name


def test_no_evidence_is_null_or_no_row_and_never_zero(engine: EmbeddedEngine) -> None:
    whole = "since = '2026-11-02', until = '2026-11-09'"
    alpha = f"v_agreement_alpha({whole}, slice = 'all', level = 'ordinal') WHERE dimension"
    assert row(engine, f"{alpha} = 'same'", "n_units, alpha, alpha_low, alpha_high, std_error") == {
        "n_units": TASKS, "alpha": None, "alpha_low": None, "alpha_high": None, "std_error": None,
    }  # fmt: skip
    assert engine.rows(f"SELECT * FROM {alpha} = 'lone'") == []
    columns = "n_units, p_o, p_o_low, alpha, ac1, ac1_low"
    same = row(engine, f"v_agreement_period({whole}) WHERE dimension = 'same'", columns)
    assert same == {"n_units": TASKS, "p_o": 1, "p_o_low": None, "alpha": None, "ac1": 1, "ac1_low": None}
    lone = row(engine, f"v_agreement_period({whole}) WHERE dimension = 'lone'", columns)
    assert lone == {"n_units": 0, "p_o": None, "p_o_low": None, "alpha": None, "ac1": None, "ac1_low": None}
    assert engine.rows("SELECT * FROM v_agreement_alpha(since = '2020-01-01', until = '2020-02-01', slice = 'all', level = 'nominal')") == []
    assert engine.rows("SELECT * FROM v_agreement_period(since = '2020-01-01', until = '2020-02-01')") == []


def test_the_newest_estimates_are_those_of_the_processor(engine: EmbeddedEngine, rated: Rated) -> None:
    evidence = batch(rated, "tone", range(TASKS - 72, TASKS))  # a window of 24 hours, three tasks in each
    alpha = krippendorff_alpha(evidence, level="ordinal")
    found = row(engine, "v_agreement WHERE dimension = 'tone'", "n_units, alpha, alpha_low, alpha_high, level")
    assert (int(found["n_units"]), found["level"]) == (alpha.n_units, "ORDINAL")
    assert (found["alpha"], found["alpha_low"], found["alpha_high"]) == pytest.approx((alpha.value, *alpha.interval), abs=1e-15)
    assert engine.rows("SELECT count(), uniqExact(window_start) FROM v_agreement_history WHERE dimension = 'tone'") == [[30, 30]]
    assert engine.rows("SELECT DISTINCT window_kind FROM agreement ORDER BY 1") == [[kind.value] for kind in (WindowKind.PANE, WindowKind.ROLLING)]


def test_units_are_those_that_stand(engine: EmbeddedEngine, rated: Rated) -> None:
    rows = engine.rows("SELECT task_id, given, raters FROM v_agreement_units WHERE dimension = 'tone' ORDER BY task_id, unit_id")
    wanted = [[task, sorted(c), [c[v] for v in sorted(c)]] for task, counted in sorted(rated.items()) for c in counted["tone"]]
    assert [[task, list(map(int, given)), list(map(int, raters))] for task, given, raters in rows] == wanted


def test_analysts_may_ask_with_parameters(engine: EmbeddedEngine) -> None:
    """The read-only endpoint lets these views through."""
    with engine.reader() as reader:
        sql = "SELECT count() FROM v_agreement_alpha(since = '2026-11-02', until = '2026-11-09', slice = 'all', level = 'ordinal')"
        check(reader, sql)
        assert reader.query(sql, "TSV", {}).bytes() == b"5\n"


def test_a_level_that_is_none_is_refused(engine: EmbeddedEngine) -> None:
    with pytest.raises(Exception, match="level is none of nominal, ordinal, interval, ratio"):
        engine.rows("SELECT * FROM v_agreement_alpha(since = '2026-11-02', until = '2026-11-09', slice = 'all', level = 'ordinary')")


def test_views_are_installed_for_operators() -> None:
    folder = Path(__file__).parents[2] / "ops" / "clickhouse" / "views"
    assert {path.stem for path in folder.glob("v_agreement*.sql")} == {
        "v_agreement", "v_agreement_alpha", "v_agreement_history", "v_agreement_period", "v_agreement_statistics", "v_agreement_units",
    }  # fmt: skip
