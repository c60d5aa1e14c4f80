"""The sink on a real broker, a real registry and a real ClickHouse engine: every event a row, once; what views and inserts promise."""

import signal
import threading
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.factories import START, distinct, example, examples
from tests.integration.sink_house import House, stop_merges, until
from trueloop import topics
from trueloop.adapters.clickhouse import ddl
from trueloop.adapters.clickhouse.columns import arrow_column, columns_of
from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine
from trueloop.adapters.clickhouse.engine import ClickHouseError
from trueloop.adapters.clickhouse.positions import stored_positions
from trueloop.adapters.clickhouse.schema import ensure_schema
from trueloop.adapters.clickhouse.server_engine import ServerEngine
from trueloop.adapters.clickhouse.sink import Sink
from trueloop.adapters.dead_letters import DeadLetter
from trueloop.adapters.kafka import read_to_end
from trueloop.events import DatasetVersion, Event, Label, PreferencePair, Release, ReviewerQuality, ReviewTask, Trace, TrainingRequest, TrainingResult
from trueloop.events.training_result import JobStatus
from trueloop.rejection import RejectReason

ABSENT: dict[str, Any] = {
    "embedding": [],
    "rewrite": {"candidate_id": None, "completion": None},
    "trial": dict.fromkeys(("trial_id", "evaluation_id", "senior")),
}
"""How null is stored where ClickHouse has no null."""


def plain(value: Any) -> Any:
    """Return a value of an event as it reads from a table."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return np.frombuffer(value, "<f4").tolist()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def test_every_event_reads_back_equal(house: House):
    sent = {topic: examples(topic.event) for topic in topics.ALL}
    house.publisher.publish(event for events in sent.values() for event in events)
    house.start()
    counts = "+".join(f"(SELECT count() FROM {topic.table})" for topic in topics.ALL)
    until(lambda: house.one(f"SELECT {counts}") == 2 * len(topics.ALL), "all events are rows", 15)
    for topic, events in sent.items():
        names = list(topic.event.model_fields)
        raw = {column.name for column in columns_of(topic) if column.avro == "bytes"}
        columns = ", ".join(f"hex(`{name}`)" if name in raw else f"`{name}`" for name in names)
        rows = house.query(f"SELECT {columns}, _topic, _partition, _offset, _timestamp FROM {topic.table} ORDER BY event_id")
        for row, event in zip(rows, events, strict=True):
            found = dict(zip(names, row[:-4], strict=True))
            for name, value in event.model_dump().items():
                wanted = value.hex().upper() if name in raw else plain(value)
                assert found[name] == (ABSENT.get(name) if wanted is None else wanted), f"{topic.name}.{name}"
            assert row[-4] == topic.name
            assert row[-2] >= 0
            assert abs(row[-1] - datetime.now(UTC)) < timedelta(minutes=5)
    assert house.one("SELECT count() FROM dead_letters") == 0


def test_sigterm_writes_what_is_held_and_ends_well(house: House):
    house.start()
    house.publisher.publish(distinct(Trace, 500))
    assert house.end(signal.SIGTERM) == 0
    with house.engine() as engine:
        before = engine.rows("SELECT count() FROM traces")[0][0]
    house.start()
    until(lambda: house.one("SELECT count() FROM traces") == 500, "all rows are in")
    assert house.query("SELECT uniqExact(event_id) FROM traces") == [(500,)]
    assert 0 <= before <= 500


def test_poison_pills_become_dead_letters_once_and_stop_nothing(house: House):
    good = house.codec.encode(topics.TRACES, example(Trace))
    pills = [b"", b"\x01\x00\x00\x00\x01x", b"\x00\xff\xff\xff\xffx", good[:-3], good + b"x"]
    house.send_raw("traces", b"k", good)
    for pill in pills:
        house.send_raw("traces", b"k", pill)
    house.send_raw("traces", b"k", None)
    house.send_raw("reviewers", b"reviewer-9", None)  # a deletion, not a mistake
    house.send_raw("appeals.dead-letters", b"k", b"not a dead letter", [("error-class", b"NONSENSE")])
    processor = DeadLetter("traces", 0, 1, b"k", pills[0], RejectReason.TRUNCATED, "0 bytes", "sampling", START)
    record = processor.record()
    house.send_raw("traces.dead-letters", record[0], record[1], record[2])
    house.start()
    until(lambda: house.one("SELECT count() FROM v_dead_letters WHERE has(consumers, 'sink')") == 6, "all pills are told of")
    until(lambda: house.one("SELECT count() FROM v_dead_letters") == 7, "the malformed dead letter is told of")
    rows = house.query("SELECT offset, error_class, consumers, payload_bytes FROM v_dead_letters WHERE topic = 'traces' ORDER BY offset")
    assert [row[0] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row[1] for row in rows] == ["TRUNCATED", "WRONG_MAGIC", "UNKNOWN_SCHEMA", "TRUNCATED", "SCHEMA_MISMATCH", "TRUNCATED"]
    assert list(rows[0][2]) == ["sampling", "sink"]
    assert rows[1][3] == len(pills[1])
    assert house.query("SELECT topic, offset, error_class FROM v_dead_letters WHERE topic != 'traces'") == [("appeals", None, "UNKNOWN")]
    assert house.one("SELECT count() FROM traces") == 1
    assert house.end(signal.SIGTERM) == 0
    letters = sum(1 for _ in read_to_end(house.kafka, "traces.dead-letters"))
    house.start()
    house.send_raw("traces", b"k2", house.codec.encode(topics.TRACES, example(Trace, event_id="later")))
    until(lambda: house.one("SELECT count() FROM traces") == 2, "the sink goes on")
    assert sum(1 for _ in read_to_end(house.kafka, "traces.dead-letters")) == letters, "a pill at the end of a partition is refused again at each start"


def test_an_event_that_comes_again_elsewhere_is_one_row(house: House):
    """A producer that heard no answer sends again, a worker that was killed repeats its outputs: the same event at other offsets."""
    sent = {topic: list(distinct(topic.event, 40)) for topic in topics.ALL}
    once = [event for events in sent.values() for event in events]
    with house.engine() as engine:
        with house.sinking(engine) as sink:
            house.publisher.publish([*once, *once[::-1], *once])
            # A producer of another kind may choose another partition.
            house.send_all_raw(
                (topic.name, topic.key(event).encode(), house.codec.encode(topic, event), topic.partitions - 1)
                for topic, events in sent.items()
                for event in events[:5]
            )
            until(lambda: sink.counters["rows"] == 3 * len(once) + 5 * len(sent), "all are read")
        assert not engine.rows("SELECT * FROM dead_letters")
        for topic, events in sent.items():
            order = ddl.order_by(topic)
            rows, ids, keys = engine.rows(f"SELECT count(), uniqExact(event_id), uniqExact({', '.join(order)}) FROM {topic.table} FINAL")[0]
            assert rows == keys, topic.name
            assert rows == (len(events) if order == ddl.IDENTITY else len({topic.key(event) for event in events})), topic.name
            assert ids == rows, topic.name
        views = {"v_labels": 40, "v_reviewers": 40, "v_dataset_versions": 40, "v_releases": 40}
        assert {view: engine.rows(f"SELECT count() FROM {view}")[0][0] for view in views} == views
        for topic in topics.ALL:  # rows that went because their event came again in another partition do not make the sink read again
            engine.execute(f"OPTIMIZE TABLE {topic.table} FINAL")
        read = stored_positions(engine)
        assert sum(read.values()) == 3 * len(once) + 5 * len(sent)


def test_views_are_exact_in_the_face_of_duplicates_and_new_versions(house: House):
    def label(number: int, reviewer: str, **changes: Any) -> Label:
        return example(Label, **{"event_id": f"l{number}", "reviewer_id": reviewer, "supersedes": None, "retracts": None, **changes})

    task = example(ReviewTask, due_at=START + timedelta(days=36500))
    once: list[Event] = [
        task,
        example(ReviewTask, event_id="late", task_id="task-2", due_at=START - timedelta(days=1)),
        label(1, "anna"),
        label(2, "anna", supersedes="l1"),
        label(3, "ben"),
        label(4, "ben", retracts="l3"),
        label(5, "cleo"),
        label(6, "mallory", retracts="l5"),  # of another reviewer: it takes nothing back
        example(PreferencePair, event_id="p1", pair_id="a", withdrawn=False, margin=0.25),
        example(PreferencePair, event_id="p2", pair_id="a", withdrawn=False, margin=0.75),
        example(PreferencePair, event_id="p3", pair_id="b", withdrawn=False),
        example(PreferencePair, event_id="p4", pair_id="b", withdrawn=True),
        example(ReviewerQuality, event_id="q1", n_labels=1),
        example(ReviewerQuality, event_id="q2", n_labels=2),
        example(DatasetVersion),
        example(Release, event_id="r1", checkpoint="old"),
        example(Release, event_id="r2", checkpoint="new"),
        example(TrainingRequest),
        example(TrainingRequest, event_id="j2", job_id="job-2"),
        example(TrainingResult, event_id="t1", status=JobStatus.SUCCEEDED),
        example(TrainingResult, event_id="t2", status=JobStatus.PROGRESS),
    ]
    house.start()
    rejected = label(7, "dora")
    house.publisher.publish([*once, rejected])
    house.publisher.publish([*once, rejected, example(Trace, event_id="last")])  # everything again, after other events
    until(lambda: house.one("SELECT count() FROM traces") == 1, "all rows are in")
    until(lambda: house.one("SELECT max(_offset) FROM labels") >= 13, "all labels are in")
    for message in read_to_end(house.kafka, "labels"):
        if house.codec.decode(topics.LABELS, message.value()).event_id == rejected.event_id:
            letter = DeadLetter("labels", message.partition(), message.offset(), b"task-1", b"x", RejectReason.OFF_SCALE, "value 9", "collection", START)
            house.send_raw("labels.dead-letters", *letter.record())
    until(lambda: house.one("SELECT count() FROM v_dead_letters") == 2, "the dead letters are in")
    assert house.query("SELECT label_id FROM v_labels WHERE counts ORDER BY label_id") == [("l2",), ("l5",)]
    queue = house.query("SELECT task_id, status, labels_received, labels_needed FROM v_review_queue ORDER BY task_id")
    assert queue == [("task-1", "OPEN", 2, 3), ("task-2", "OVERDUE", 0, 3)]
    assert house.query("SELECT pair_id, margin FROM v_pairs") == [("a", 0.75)]
    assert house.query("SELECT n_labels, gold_accuracy FROM v_reviewers") == [(2, 0.9)]
    assert house.query("SELECT name, version, n_items FROM v_dataset_versions") == [("billing-support/pairs", 4, 640)]
    assert house.query("SELECT checkpoint, serving FROM v_releases ORDER BY since, event_id") == [("old", 0), ("new", 1)]
    assert house.query("SELECT job_id, status FROM v_training ORDER BY job_id") == [("job-1", "SUCCEEDED"), ("job-2", "REQUESTED")]


def test_series_views_show_the_newest_and_gates_one_row_per_dimension(house: House):
    from trueloop.events import AgreementEstimate, DriftSignal, GateDecision

    house.start()
    house.publisher.publish(
        [
            example(AgreementEstimate, event_id="a1", p_o=0.5),
            example(AgreementEstimate, event_id="a2", p_o=None),
            example(AgreementEstimate, event_id="a3", series_id="other", p_o=0.75),
            example(DriftSignal, event_id="d1", n_current=1),
            example(DriftSignal, event_id="d2", n_current=2),
            example(GateDecision, event_id="g1", labels_needed=1),
            example(GateDecision, event_id="g2", labels_needed=2),
            example(GateDecision, event_id="g3", candidate="failed", dimensions=[]),
        ]
    )
    until(lambda: house.one("SELECT count() FROM gates") + house.one("SELECT count() FROM drift") + house.one("SELECT count() FROM agreement") == 8, "in")
    assert house.query("SELECT series_id, p_o FROM v_agreement ORDER BY series_id") == [("other", 0.75), ("series-1", None)]
    assert house.query("SELECT n_current FROM v_drift") == [(2,)]
    gates = house.query("SELECT candidate, dimension, slice, verdict, candidate_mean, floor, labels_needed, decision_labels_needed FROM v_gates ORDER BY 1, 2")
    assert gates == [
        ("checkpoint-9", "accuracy", "locale=de", "INCONCLUSIVE", None, None, None, 2),
        ("checkpoint-9", "tone", "all", "INCONCLUSIVE", 0.95, 0.9, 130, 2),
        ("failed", "", "", "INCONCLUSIVE", None, None, None, 130),
    ]


def test_sinks_of_a_group_share_the_partitions_of_a_server(house: House, tmp_path: Path):
    import clickhouse_connect

    server = ServerEngine(clickhouse_connect.get_client(dsn=f"chdb://{tmp_path / 'server'}"), "trueloop")
    assert ensure_schema(server)
    assert not ensure_schema(server)
    house.publisher.publish(distinct(Trace, 300, "before"))
    sinks = [Sink(house.kafka, house.codec, server, alone=False, on_assigned=lambda: None) for _ in range(2)]
    threads = [threading.Thread(target=sink.run) for sink in sinks]
    try:
        threads[0].start()
        until(lambda: sinks[0].counters["rows"] == 300, "the first sink has written what was there")
        threads[1].start()
        until(lambda: len(sinks[1].assigned) > 0 and len(sinks[0].assigned) > 0, "both have partitions")
        house.publisher.publish(distinct(Trace, 300, "after"))
        until(lambda: server.rows("SELECT count() FROM traces")[0][0] >= 600, "all rows are in")
        assert server.rows("SELECT count(), uniqExact(event_id), uniqExact(_partition, _offset) FROM traces") == [[600, 600, 600]]
    finally:
        for sink in sinks:
            sink.stop()
        for thread in threads:
            thread.join()
        server.close()


def test_an_older_schema_gets_its_new_columns_and_keeps_its_rows(tmp_path: Path):
    engine = EmbeddedEngine(tmp_path / "clickhouse", "trueloop")
    try:
        assert ensure_schema(engine)
        engine.execute("INSERT INTO erasures (event_id, application, subject_id) VALUES ('e', 'a', 's')")
        engine.execute("ALTER TABLE erasures DROP COLUMN reason")
        engine.execute("ALTER TABLE evaluations MODIFY COLUMN scores Array(Tuple(dimension LowCardinality(String), n Int64))")
        engine.execute("ALTER TABLE traces MODIFY SETTING min_bytes_for_wide_part = 10485760")
        engine.execute("INSERT INTO _schema (hash) VALUES ('of an older version')")
        assert ensure_schema(engine)
        assert not ensure_schema(engine)
        assert engine.rows("SELECT event_id, reason FROM erasures") == [["e", ""]]
        assert "min_bytes_for_wide_part = 134217728" in engine.rows("SELECT engine_full FROM system.tables WHERE name = 'traces'")[0][0]
        assert "sum_products Float64" in engine.rows("SELECT type FROM system.columns WHERE table = 'evaluations' AND name = 'scores'")[0][0]
    finally:
        engine.close()


def test_an_insert_is_one_part_and_the_same_token_does_nothing(tmp_path: Path):
    engine = EmbeddedEngine(tmp_path / "clickhouse", "trueloop")
    try:
        ensure_schema(engine)
        stop_merges(engine)
        # Of two chunks, as when some records of a batch were read singly.
        rows = pa.concat_tables([trace_rows(distinct(Trace, 9_000, "a")), trace_rows(distinct(Trace, 3_000, "b"))])
        for _ in range(2):
            engine.insert("traces", rows, "traces:0:0-11999")
        # Several parts would mean that a crash can leave a part of the batch.
        assert engine.rows("SELECT rows FROM system.parts WHERE table = 'traces'") == [[12_000]]
    finally:
        engine.close()


def test_a_materialised_view_counts_each_batch_once_also_when_it_failed_at_first(tmp_path: Path):
    """There is none among our own tables; this is what whoever adds one can rely on, if its table remembers tokens too."""
    engine = EmbeddedEngine(tmp_path / "clickhouse", "trueloop")
    try:
        ensure_schema(engine)
        engine.execute(
            "CREATE TABLE per_model (model String, n Int64) ENGINE = SummingMergeTree ORDER BY model SETTINGS non_replicated_deduplication_window = 100"
        )
        engine.execute("CREATE MATERIALIZED VIEW to_per_model TO per_model AS SELECT model, toInt64(count()) AS n FROM traces GROUP BY model")
        for name in ("a", "b"):
            for _ in range(3):  # whoever does not learn whether an insert went through tries it again
                engine.insert("traces", trace_rows(distinct(Trace, 100, name)), name)
        assert engine.rows("SELECT count() FROM traces") == [[200]]
        assert engine.rows("SELECT sum(n) FROM per_model") == [[200]]
        engine.execute("ALTER TABLE per_model ADD CONSTRAINT full CHECK n < 0")
        late = trace_rows(distinct(Trace, 100, "late"))
        with pytest.raises(ClickHouseError, match="VIOLATED_CONSTRAINT"):
            engine.insert("traces", late, "late")
        engine.execute("ALTER TABLE per_model DROP CONSTRAINT full")
        for _ in range(2):
            engine.insert("traces", late, "late")
        assert engine.rows("SELECT count() FROM traces") == [[300]]
        assert engine.rows("SELECT sum(n) FROM per_model") == [[300]]
    finally:
        engine.close()


def trace_rows(traces: list[Trace]) -> pa.Table:
    records = [trace.model_dump() for trace in traces]
    return pa.table({column.name: arrow_column(column, [record[column.name] for record in records]) for column in columns_of(topics.TRACES)})
