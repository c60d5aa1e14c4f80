"""From a release back to the traces, and from a trace on to its releases, over the tables of a real ClickHouse engine."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from tests.factories import example
from trueloop import cli, topics
from trueloop.adapters.clickhouse.columns import arrow_column, columns_of
from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine
from trueloop.adapters.clickhouse.guard import check
from trueloop.adapters.clickhouse.lineage import Ask, Found, Thing, Walk, find
from trueloop.adapters.clickhouse.schema import ensure_schema
from trueloop.errors import ConfigurationError
from trueloop.events import (
    DatasetKind,
    DatasetVersion,
    DriftSignal,
    Evaluation,
    Event,
    GateDecision,
    JobStatus,
    Label,
    PreferencePair,
    Release,
    ReleaseReason,
    ReviewTask,
    Trace,
    TrainingRequest,
    TrainingResult,
)
from trueloop.topics import Topic, topic_of

RUBRIC = {"rubric_id": "billing", "rubric_version": 2}


def insert(engine: EmbeddedEngine, topic: Topic, events: Sequence[Event]) -> None:
    records = [event.model_dump() for event in events]
    count = len(records)
    stamp = pa.array([event.occurred_at for event in events], pa.timestamp("ms", tz="UTC"))
    origin = {"_topic": pa.array([topic.name] * count), "_partition": pa.array([0] * count, pa.int32()), "_offset": pa.array(range(count), pa.int64())}
    columns = {column.name: arrow_column(column, [record[column.name] for record in records]) for column in columns_of(topic)}
    engine.insert(topic.table, pa.table(columns | origin | {"_timestamp": stamp}), f"{topic.name} {count}")


def rolled_back() -> list[Event]:
    """A dataset of another application, whose second pair was rolled back."""
    common: dict[str, Any] = {"rubric_id": "other", "rubric_version": 1, "application": "other", "trace_id": "other-trace", "task_id": "other-task"}
    pairs = [
        example(PreferencePair, event_id=f"o{number}", pair_id=f"other-{number}", label_ids=["label"], withdrawn=False, revises=None, **common)
        for number in range(3)
    ]
    data = {
        "end_offset": 10,
        "excluded": [{"start_offset": 8, "end_offset": 9}],
        "parent": None,
        "application": "other",
        "rubric_id": "other",
        "rubric_version": 1,
    }
    version = example(DatasetVersion, event_id="o-d", kind=DatasetKind.PAIRS, name="other/pairs", version=1, **data)
    trained = {"application": "other", "job_id": "job-o", "dataset": "other/pairs", "dataset_version": 1, "base_checkpoint": "checkpoint-o0"}
    return [*pairs, version, example(TrainingResult, event_id="o-s", status=JobStatus.SUCCEEDED, checkpoint="checkpoint-o", **trained)]


def loop() -> list[Event]:
    """Two jobs, each of whose checkpoints was released; the second was taken back after an alarm."""
    events: list[Event] = []
    for number in range(6):
        trace, subject = f"trace-{number}", f"subject-{number % 3}"
        events.append(example(Trace, event_id=f"t{number}", trace_id=trace, subject_id=subject, checkpoint="checkpoint-0"))
        events.append(
            example(ReviewTask, event_id=f"q{number}", task_id=f"task-{number}", trace_id=trace, adjudicates="task-3" if number == 4 else None, **RUBRIC)
        )
        labels = [f"label-{number}-{reviewer}" for reviewer in "ab"]
        events += [example(Label, event_id=label, task_id=f"task-{number}", reviewer_id=f"reviewer-{label[-1]}{number % 2}", **RUBRIC) for label in labels]
        common: dict[str, Any] = {"pair_id": f"pair-{number}", "task_id": f"task-{number}", "trace_id": trace, "label_ids": labels, **RUBRIC}
        events.append(example(PreferencePair, event_id=f"p{number}", withdrawn=False, revises=None, **common))
    # Taken back after the first dataset was frozen, before the second.
    events.append(example(PreferencePair, event_id="p1-back", pair_id="pair-1", task_id="task-1", trace_id="trace-1", withdrawn=True, label_ids=[], **RUBRIC))
    for version, end in ((1, 3), (2, 7)):
        dataset = {"name": "billing/pairs", "version": version, "parent": version - 1 or None, "end_offset": end, **RUBRIC}
        events.append(example(DatasetVersion, event_id=f"d{version}", kind=DatasetKind.PAIRS, **dataset))
        made, base = f"checkpoint-{version}", f"checkpoint-{version - 1}"
        trained = {"job_id": f"job-{version}", "dataset": "billing/pairs", "dataset_version": version, "base_checkpoint": base}
        events.append(example(TrainingRequest, event_id=f"r{version}", **trained, **RUBRIC))
        events.append(example(TrainingResult, event_id=f"s{version}", status=JobStatus.SUCCEEDED, checkpoint=made, **trained))
        events.append(example(Evaluation, event_id=f"evaluation-{version}", candidate=made, baseline=base))
        events.append(example(GateDecision, event_id=f"gate-{version}", evaluation_id=f"evaluation-{version}", candidate=made))
        causes = {"gate_id": f"gate-{version}", "causes": [f"gate-{version}"]}
        events.append(example(Release, event_id=f"release-{version}", checkpoint=made, **causes))
    events += rolled_back()
    events.append(example(DriftSignal, event_id="alarm-2", checkpoint="checkpoint-2", evidence_trace_ids=["trace-5"]))
    back = {"reason": ReleaseReason.ROLLBACK, "gate_id": None, "causes": ["alarm-2", "release-2", "gate-2"]}
    return [*events, example(Release, event_id="rollback-2", checkpoint="checkpoint-1", **back)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    found = EmbeddedEngine(tmp_path_factory.mktemp("explain") / "clickhouse", "trueloop")
    ensure_schema(found)
    events = loop()
    for topic in topics.ALL:
        if mine := [event for event in events if topic_of(event) is topic]:
            insert(found, topic, mine)
    yield found
    found.close()


@pytest.fixture
def ask(engine: EmbeddedEngine) -> Ask:
    def answer(sql: str, parameters: Mapping[str, str]) -> list[list[Any]]:
        with engine.reader() as reader:
            check(reader, sql)  # what the endpoint lets through
            return [json.loads(line) for line in reader.query(sql, "JSONCompactEachRow", dict(parameters)).bytes().splitlines()]

    return answer


def names(found: Found) -> set[str]:
    return {found.thing.id}.union(*(names(each) for each in found.below))


def chain(found: Found) -> list[str]:
    """Follow the first branch of each thing."""
    return [f"{found.thing.kind} {found.thing.id}", *(chain(found.below[0]) if found.below else [])]


def test_a_release_is_walked_back_to_the_trace_and_what_answered_it(ask: Ask) -> None:
    tree = Walk(ask, width=10).came_from(find(ask, "release-1"))
    kinds = [line.split()[0] for line in chain(tree)]
    assert kinds == ["release", "gate", "evaluation", "checkpoint", "job", "dataset", "pair", "label", "task", "trace", "checkpoint"]
    assert {"pair-0", "pair-1", "pair-2", "label-1-b", "trace-2", "checkpoint-0"} <= names(tree)
    assert not {"pair-3", "job-2", "release-2"} & names(tree)


def test_a_dataset_holds_its_pairs_as_they_stood_when_it_was_frozen(ask: Ask) -> None:
    second = Walk(ask, width=10).came_from(find(ask, "billing/pairs@2"))
    assert {each.thing.id for each in second.below if each.thing.kind == "pair"} == {f"pair-{number}" for number in (0, 2, 3, 4, 5)}


def test_a_trace_is_walked_on_to_every_release_and_the_rollback(ask: Ask) -> None:
    tree = Walk(ask, width=10).came_of(find(ask, "trace-0"))
    assert {"task-0", "label-0-a", "pair-0", "billing/pairs@1", "billing/pairs@2", "checkpoint-2", "gate-2", "release-2", "rollback-2"} <= names(tree)
    assert "release-1" not in names(Walk(ask, width=10).came_of(find(ask, "trace-5")))


@pytest.mark.parametrize(
    ("named", "before", "after"),
    [
        ("trace-0", {"checkpoint-0"}, {"task-0", "label-0-a", "pair-0", "billing/pairs@1", "job-1", "checkpoint-1", "gate-1", "release-1"}),
        ("label-0-a", {"task-0", "trace-0"}, {"pair-0", "billing/pairs@1", "checkpoint-1", "gate-1", "release-1"}),
        ("pair-0", {"label-0-a", "label-0-b", "task-0", "trace-0"}, {"billing/pairs@1", "billing/pairs@2", "checkpoint-1", "release-1"}),
        ("billing/pairs@1", {"pair-0", "label-0-a", "trace-0"}, {"job-1", "checkpoint-1", "gate-1", "release-1"}),
        ("checkpoint-1", {"job-1", "billing/pairs@1", "pair-0", "trace-0"}, {"evaluation-1", "gate-1", "release-1", "job-2"}),
        ("gate-1", {"evaluation-1", "checkpoint-1", "billing/pairs@1", "trace-0"}, {"release-1"}),
        ("release-2", {"gate-2", "checkpoint-2", "billing/pairs@2", "trace-3"}, {"rollback-2"}),
    ],
)
def test_from_each_kind_of_thing_both_ways(ask: Ask, named: str, before: set[str], after: set[str]) -> None:
    thing = find(ask, named)
    assert before <= names(Walk(ask, width=10).came_from(thing))
    assert after <= names(Walk(ask, width=10).came_of(thing))


def test_an_adjudication_is_joined_to_what_it_settles(ask: Ask) -> None:
    from_it, of_it = Walk(ask, width=10).came_from(find(ask, "task-4")), Walk(ask, width=10).came_of(find(ask, "task-3"))
    assert [(each.role, each.thing.id) for each in from_it.below] == [("", "trace-4"), ("settles", "task-3")]
    assert ("settled by", "task-4") in [(each.role, each.thing.id) for each in of_it.below]


def test_a_rollback_names_its_alarm_and_what_it_takes_back(ask: Ask) -> None:
    tree = Walk(ask).came_from(find(ask, "rollback-2"))
    assert [(each.role, each.thing.kind, each.thing.id) for each in tree.below] == [("", "alarm", "alarm-2"), ("takes back", "release", "release-2")]
    assert "trace-5" in names(tree)


def test_a_walk_says_what_it_leaves_out_and_tells_nothing_twice(ask: Ask) -> None:
    tree = Walk(ask, width=2).came_from(find(ask, "billing/pairs@2"))
    assert tree.left_out == {"pair": 3}
    (first, second) = tree.below[0].below
    assert (first.below[0].repeated, second.below[0].repeated) == (False, True)
    short = Walk(ask, depth=1).came_from(find(ask, "gate-1"))
    assert [(each.thing.id, each.cut, each.below) for each in short.below] == [("evaluation-1", True, [])]


def test_things_are_found_by_the_beginning_of_their_id(ask: Ask) -> None:
    assert find(ask, "rollback") == Thing("release", "rollback-2", "rollback of checkpoint-1")
    assert find(ask, "checkpoint-2").kind == "checkpoint"
    with pytest.raises(ConfigurationError, match="may be trace trace-0, trace trace-1"):
        find(ask, "trace-")
    with pytest.raises(ConfigurationError, match="nothing in ClickHouse has an id"):
        find(ask, "gate")  # too short to be a beginning
    with pytest.raises(ConfigurationError, match="expected one of trace, task"):
        find(ask, "gate-1", "door")
    with pytest.raises(ConfigurationError, match="nothing in ClickHouse"):
        find(ask, "' OR 1 = 1 --")


def test_which_checkpoints_saw_a_reviewer_a_subject_a_rubric(engine: EmbeddedEngine) -> None:
    def saw(condition: str) -> list[str]:
        return [row[0] for row in engine.rows(f"SELECT DISTINCT checkpoint FROM v_checkpoint_sources WHERE {condition} ORDER BY checkpoint")]

    assert saw("reviewer_id = 'reviewer-a0'") == ["checkpoint-1", "checkpoint-2"]
    assert saw("subject_id = 'subject-2' AND via = checkpoint") == ["checkpoint-1", "checkpoint-2"]
    assert saw("trace_id = 'trace-5'") == ["checkpoint-2"]
    # Withdrawn before the second dataset, but the second checkpoint was trained on from the first.
    assert engine.rows("SELECT DISTINCT checkpoint, via FROM v_checkpoint_sources WHERE trace_id = 'trace-1' ORDER BY ALL") == [
        ["checkpoint-1", "checkpoint-1"],
        ["checkpoint-2", "checkpoint-1"],
    ]
    assert saw("rubric_id = 'billing' AND rubric_version = 2") == ["checkpoint-1", "checkpoint-2"]
    assert saw("rubric_version = 3") == []


def test_the_command_shows_both_trees(ask: Ask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("trueloop.adapters.clickhouse.client.query", lambda _, sql, parameters: SimpleNamespace(rows=ask(sql, parameters)))
    assert cli.run(["explain", "release-2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("release release-2: gate_pass of checkpoint-2\n\ncame from\n  gate gate-2: ")
    assert "\n    evaluation evaluation-2: " in out
    assert "\ncame of it\n  taken back by release rollback-2: rollback of checkpoint-1\n" in out
    assert cli.run(["explain", "billing/pairs@1", "--json", "--width", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["left_out"], found["came_from"][0]["kind"]) == ("dataset", {"pair": 2}, "pair")
    assert found["came_of_it"][0]["id"] == "job-1"
    assert cli.run(["explain", "unheard-of"]) == cli.USAGE


def test_what_was_rolled_back_is_no_part_of_a_dataset_and_no_checkpoint_saw_it(ask: Ask) -> None:
    found = Walk(ask, 1, 10).came_from(find(ask, "other/pairs@1", None))
    assert names(found) >= {"other-0", "other-2"}
    assert "other-1" not in names(found)
    assert ask("SELECT DISTINCT pair_id FROM v_checkpoint_sources WHERE checkpoint = 'checkpoint-o' ORDER BY pair_id", {}) == [["other-0"], ["other-2"]]
    used = {number: names(Walk(ask, 1, 10).came_of(find(ask, f"other-{number}", None))) for number in range(3)}
    assert ["other/pairs@1" in used[number] for number in range(3)] == [True, False, True]
