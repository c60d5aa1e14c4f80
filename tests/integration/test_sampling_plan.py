"""`trueloop sampling plan` over a real ClickHouse engine: what it counts, what it plans, what it writes; and the views of appeals."""

import json
import random
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.factories import example
from tests.integration.analyst_house import table_of
from tests.integration.test_clickhouse_endpoint import free_port
from tests.processors.scenario import RUBRIC, label, ratings, task, trace
from trueloop import cli, topics
from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine
from trueloop.adapters.clickhouse.endpoint import serving
from trueloop.adapters.clickhouse.sampling_evidence import past_days
from trueloop.adapters.clickhouse.schema import ensure_schema
from trueloop.config import ClickHouseSettings, Settings
from trueloop.events import Appeal, Consent, Event, ItemTruth, SamplingReason, SliceDisagreement, Trace
from trueloop.rubrics import Policy
from trueloop.rubrics.documents import parse_document
from trueloop.rubrics.publication import rubric_event
from trueloop.sampling.inclusion import inclusions
from trueloop.sampling.rows import rows_of_events

NOW = datetime.now(UTC)
TRACES = 2000
POLICY = """
id = "support"
version = 4
application = "support"
rubric = { id = "support", version = 1 }

[sampling]
rate = 0.05
labels_needed = 2

[[sampling.strata]]
slice = "locale"
value = "de'\\\\"
rate = 0.5

[[sampling.strata]]
slice = "locale"
value = "never"
rate = 0.25

[sampling.uncertainty]
mean = 0.9
uniform_share = 0.4
entropy = ["judge"]

[sampling.anomalies]
rate = 0.9
latency_ms = 900
prompt_tokens = 95
completion_tokens = 98
empty_answer = true
failed = true
scores = { judge = 0.02, tone = 0.01 }
common = { plan = ["free", "paid"] }

[[gate.dimensions]]
dimension = "accuracy"
evaluator = "check:support"
"""


def some_traces() -> list[Trace]:
    """Traces of two days, with every edge case among them."""
    chance = random.Random(5)
    return [
        trace(
            number,
            occurred_at=NOW - timedelta(days=2) + timedelta(seconds=80 * number),
            slices=chance.choice([{"locale": "de'\\"}, {"locale": "fr", "plan": "free"}, {"plan": "odd"}, {"plan": "paid", "locale": ""}, {}]),
            latency_ms=chance.choice([None, chance.uniform(0, 1000)]),
            prompt_tokens=chance.choice([None, chance.randrange(100)]),
            completion_tokens=chance.choice([None, chance.randrange(100)]),
            scores=chance.choice([{}, {"judge": chance.random()}, {"judge": chance.random(), "tone": chance.random()}]),
            consent=chance.choice([Consent.REVIEW, Consent.TRAINING, Consent.TRAINING, Consent.NONE]),
            error=chance.choice([None] * 9 + ["Timeout"]),
        )
        for number in range(TRACES)
    ]


def events() -> dict[topics.Topic, Sequence[Event]]:
    """Two hundred tasks with two labels each of 30 s (one of them left open over night); answers to 'de' are good or bad, the others good."""
    found = some_traces()
    readable = [each for each in found if each.consent is not Consent.NONE and each.error is None]
    tasks, labels = [], []
    for number, each in enumerate(readable[:200]):
        tasks.append(task(number, ("a",), trace_id=each.trace_id, occurred_at=each.occurred_at, sampling_prob=0.5))
        value = number % 2 if "de'\\" in each.slices.values() else 1
        for reviewer in ("r1", "r2"):
            seconds = 1e6 if (number, reviewer) == (0, "r1") else 30.0
            labels.append(label(reviewer, number, at=each.occurred_at, seconds_spent=seconds, ratings=ratings({"a": {"accuracy": value, "safety": 1}})))
    appealed = {"reasons": [SamplingReason.APPEAL], "stratum": "appeal", "sampling_prob": 1.0}
    tasks += [task(900 + n, ("a",), trace_id=readable[n].trace_id, occurred_at=NOW - timedelta(days=1), **appealed) for n in range(4)]
    settling = appealed | {"reasons": [SamplingReason.ADJUDICATION], "stratum": "adjudication", "adjudicates": "task-0"}
    tasks.append(task(950, ("a",), trace_id=readable[0].trace_id, occurred_at=NOW - timedelta(days=1), **settling))
    labels.append(label("r4", 900, at=NOW, ratings=ratings({"a": {"accuracy": 0}})))
    labels.append(label("r4", 950, at=NOW, seconds_spent=30.0, ratings=ratings({"a": {"accuracy": 0}})))
    labels += [label(reviewer, 900, at=NOW, ratings=ratings({"a": {"accuracy": 0}})) for reviewer in ("r1", "r3")]
    appeals = [
        Appeal(event_id=f"a{n}", occurred_at=NOW, application="support", trace_id=trace_id)
        for n, trace_id in enumerate([readable[0].trace_id, readable[0].trace_id, "gone"])
    ]
    told = {"application": "support", "rubric_id": "support", "rubric_version": 1, "dimension": "accuracy", "slice": "locale=de'\\"}
    disagreements = [
        example(SliceDisagreement, event_id=str(n), disagreement_id=str(n), disagreement=value, starts_at=NOW - timedelta(hours=hours), **told)
        for n, (value, hours) in enumerate([(0.1, 30), (0.95, 20), (0.2, -1)])
    ]
    return {
        topics.TRACES: found,
        topics.REVIEW_QUEUE: tasks,
        topics.LABELS: labels,
        topics.APPEALS: appeals,
        topics.TRUTHS: [example(ItemTruth)],
        topics.SLICE_DISAGREEMENTS: disagreements,
        topics.RUBRICS: [rubric_event(RUBRIC, NOW)],
    }


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(tmp_path_factory.mktemp("clickhouse"), "trueloop")
    try:
        ensure_schema(engine)
        for topic, sent in events().items():
            data: pa.Table = table_of(topic, sent)
            engine.insert(topic.table, data, f"token-{topic.name}")
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="module")
def settings(engine: EmbeddedEngine) -> Iterator[Settings]:
    found = Settings(clickhouse=ClickHouseSettings(url=f"http://127.0.0.1:{free_port()}", embedded=True))
    with serving(engine, found.clickhouse):
        yield found


def policy() -> Policy:
    return parse_document(Policy, POLICY, "policy.toml")


def test_strata_are_counted_in_sql_as_they_are_sampled(settings: Settings) -> None:
    found = past_days(settings, policy(), NOW, 7)
    readable = [each for each in some_traces() if each.consent is not Consent.NONE and (each.error is None or each.completion_tokens != 0)]
    rows = inclusions(policy().sampling, rows_of_events(readable, range(len(readable))))
    expected = Counter(rows.names[place] for place in rows.strata.tolist())
    assert len(expected) == 9, "every edge case, the slice that there is, and the rest"
    assert {name: round(each.traffic * found.days) for name, each in found.evidence.items()} == expected
    assert found.days == pytest.approx(2, abs=0.01)
    assert found.appeals == pytest.approx(2, abs=0.01)


def test_time_losses_and_uncertainty_are_those_of_the_labels_and_scores(settings: Settings) -> None:
    found = past_days(settings, policy(), NOW, 7).evidence
    assert sum(each.labels for each in found.values()) == 400
    assert sum(each.labels * (each.seconds or 0) for each in found.values()) == pytest.approx(399 * 30 + 1800)
    german = found["locale=de'\\"].losses
    assert german["accuracy"].spread == pytest.approx(0.5, abs=0.1)
    assert (german["safety"].spread, found["all"].losses["accuracy"].spread) == (0.0, 0.0)
    assert german["accuracy"].weight == 2 * german["accuracy"].n, "each stands for as many as its probability says"
    for name in ("all", "locale=de'\\"):
        assert found[name].mean_uncertainty == pytest.approx(0.73, abs=0.05), "the mean entropy of uniform scores is 1 / (2 ln 2), 0.721; few are below 0.02"


def test_the_mean_uncertainty_is_that_of_reviewers_too(settings: Settings) -> None:
    followed = parse_document(Policy, POLICY.replace('entropy = ["judge"]', 'entropy = ["judge"]\nreviewers = ["accuracy"]'), "policy.toml")
    assert followed.sampling.uncertainty is not None
    assert followed.sampling.uncertainty.reviewers == ("accuracy",)
    before, found = (past_days(settings, each, NOW, 7).evidence for each in (policy(), followed))
    assert found["locale=de'\\"].mean_uncertainty == pytest.approx(0.97, abs=0.02), "0.95, or the entropy where that is more"
    assert found["all"].mean_uncertainty == before["all"].mean_uncertainty


@pytest.fixture
def command(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUELOOP_CLICKHOUSE__URL", settings.clickhouse.url)
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return path


def test_the_plan_is_the_next_version_of_the_policy_and_keeps_the_budget(command: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = command.with_name("next.toml")
    assert cli.run(["sampling", "plan", str(command), "--minutes-per-day", "100", "--output", str(output), "--json"]) == cli.OK
    report = json.loads(capsys.readouterr().out)
    planned: dict[str, Any] = {each["name"]: each for each in report["strata"]}
    spent = sum(each["minutes"] for each in planned.values()) + report["appeal_minutes_per_day"]
    assert 99 < spent <= 100
    german, rest = planned["locale=de'\\"], planned["all"]
    assert german["rate"] > 3 * rest["rate"], "its answers differ most, so there the minutes tell most"
    assert planned["locale=never"]["rate"] == 0.25
    assert planned["locale=never"]["assumed"] == ["traffic"]
    following = parse_document(Policy, output.read_text(), "next.toml")
    assert (following.version, following.sampling.rate, following.sampling.strata[0].rate) == (5, rest["rate"], german["rate"])
    assert following.sampling.uncertainty is not None
    assert following.sampling.uncertainty.mean == pytest.approx(0.73, abs=0.05)
    assert following.sampling.anomalies is not None
    assert {f"anomaly:{case}": rate for case, rate in following.sampling.anomalies.rates.items()} == {
        name: each["rate"] for name, each in planned.items() if name.startswith("anomaly:")
    }
    assert following.model_copy(update={"version": 4, "sampling": policy().sampling}) == policy()


def test_the_table_goes_to_standard_error_and_the_policy_to_standard_output(command: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sampling", "plan", str(command), "--minutes-per-day", "100"]) == cli.OK
    printed = capsys.readouterr()
    assert tomllib.loads(printed.out)["version"] == 5
    assert "TRACES/DAY" in printed.err
    assert "more for appeals" in printed.err


def test_without_traces_nothing_is_planned_and_it_says_so(command: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.write_text(POLICY.replace('application = "support"', 'application = "unheard-of"'))
    assert cli.run(["sampling", "plan", str(command), "--minutes-per-day", "100"]) == cli.FAILED
    printed = capsys.readouterr()
    assert not printed.out
    assert "no trace of 'unheard-of'" in printed.err


def test_an_appeal_is_shown_with_the_labels_of_those_who_were_not_involved(engine: EmbeddedEngine) -> None:
    found = {row[0]: row[1:] for row in engine.rows("SELECT trace_id, appeals, status, labels_received, labels_uninvolved FROM v_user_appeals")}
    first = next(each.trace_id for each in some_traces() if each.consent is not Consent.NONE and each.error is None)
    assert [int(value) if str(value).isdigit() else value for value in found.pop(first)] == [2, "DONE", 3, 1]
    assert [row[1] for row in found.values()] == ["NOT_REVIEWED"]
    assert engine.rows("SELECT count() FROM v_review_queue WHERE NOT in_population") in ([[5]], [["5"]])
    assert engine.rows("SELECT task_id, adjudicates FROM v_review_queue WHERE adjudicates IS NOT NULL") == [["task-950", "task-0"]]


def test_what_an_adjudicator_decided_stands_beside_the_truth(engine: EmbeddedEngine) -> None:
    found = engine.rows("SELECT dimension, value, decided, decided_by, adjudicate FROM v_truths ORDER BY dimension, candidate_id")
    assert [[row[0], str(row[1]), str(row[2]), row[3]] for row in found] == [
        ["overall", "0", "None", ["reviewer-2"]], ["tone", "4", "4", ["reviewer-2"]], ["tone", "None", "None", ["reviewer-2"]],
    ]  # fmt: skip
