"""The sink on a real broker, a real registry and a real ClickHouse engine: every event a row, once, whatever happens."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from tests.factories import START, distinct, example, examples
from tests.integration.test_clickhouse_endpoint import free_port
from trueloop import topics
from trueloop.adapters.clickhouse.client import connect as connect_clickhouse
from trueloop.adapters.clickhouse.columns import arrow_column, columns_of
from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine
from trueloop.adapters.clickhouse.schema import ensure_schema
from trueloop.adapters.clickhouse.server_engine import ServerEngine
from trueloop.adapters.clickhouse.sink import Sink
from trueloop.adapters.dead_letters import DeadLetter
from trueloop.adapters.kafka import Publisher, client_config, physical_name, producer_config, read_to_end
from trueloop.adapters.kafka_admin import ensure_topics
from trueloop.adapters.registry import connect as connect_registry
from trueloop.codec import Codec
from trueloop.config import ClickHouseSettings, KafkaSettings, RegistrySettings, Settings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.errors import UnavailableError
from trueloop.events import (
    DatasetVersion,
    DriftObservation,
    Event,
    Label,
    PreferencePair,
    Release,
    ReviewerQuality,
    ReviewTask,
    Trace,
    TrainingRequest,
    TrainingResult,
)
from trueloop.events.training_result import JobStatus
from trueloop.rejection import RejectReason

ROOT = Path(__file__).parents[2]
ABSENT: dict[str, Any] = {"embedding": [], "rewrite": {"candidate_id": None, "completion": None}}
"""How null is stored where ClickHouse has no null."""
WORKER = "from trueloop.config import load_settings; from trueloop.streams.sink import run; run(load_settings())"


def until(condition: Callable[[], bool], what: str, deadline_s: float = 40.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.03)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRuntime]:
    runtime = EmbeddedRuntime(tmp_path_factory.mktemp("sink"))
    runtime.start()
    try:
        runtime.wait_ready()
        yield runtime
    finally:
        runtime.stop()


class House:
    """Topics, a ClickHouse directory and an address of one test, and the sink process that it starts and kills."""

    def __init__(self, runtime: EmbeddedRuntime, tmp_path: Path) -> None:
        self.settings = Settings(
            state_dir=tmp_path,
            kafka=KafkaSettings(bootstrap_servers=runtime.endpoints.kafka, topic_prefix=f"{tmp_path.name}."),
            registry=RegistrySettings(url=runtime.endpoints.registry),
            clickhouse=ClickHouseSettings(url=f"http://127.0.0.1:{free_port()}", embedded=True),
        )
        self.kafka = self.settings.kafka
        self.codec: Codec = connect_registry(self.settings.registry)
        self.publisher = Publisher(self.kafka, self.codec)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = tmp_path / "sink.log"
        self._client: Any = None
        self.create_topics()

    def create_topics(self) -> None:
        ensure_topics(self.kafka, topics.physical())

    def open_engine(self) -> EmbeddedEngine:
        engine = EmbeddedEngine(self.settings.state_dir / "clickhouse", "trueloop")
        ensure_schema(engine)
        return engine

    def spawn(self) -> subprocess.Popen[bytes]:
        ready = self.settings.state_dir / "ready"
        ready.unlink(missing_ok=True)
        environment = os.environ | {
            "TRUELOOP_STATE_DIR": str(self.settings.state_dir),
            "TRUELOOP_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "TRUELOOP_KAFKA__TOPIC_PREFIX": self.kafka.topic_prefix,
            "TRUELOOP_REGISTRY__URL": self.settings.registry.url,
            "TRUELOOP_CLICKHOUSE__URL": self.settings.clickhouse.url,
            "TRUELOOP_CLICKHOUSE__EMBEDDED": "true",
            "TRUELOOP_READY_FILE": str(ready),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-c", WORKER], cwd=ROOT, env=environment, stderr=log)
        return self.process

    def start(self) -> None:
        process = self.spawn()
        until(lambda: (self.settings.state_dir / "ready").exists() or process.poll() is not None, "the sink is ready")
        assert process.poll() is None, self.log.read_text()

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        if self._client is None:
            self._client = connect_clickhouse(self.settings.clickhouse)
        return [tuple(row) for row in self._client.query(sql).result_rows]

    def one(self, sql: str) -> Any:
        return self.query(sql)[0][0]

    def send_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: Any = None, partition: int = 0) -> None:
        producer = Producer(producer_config(self.kafka))
        producer.produce(physical_name(self.kafka, topic), value, key, partition, headers=list(headers or ()))
        assert producer.flush(10) == 0


@pytest.fixture
def house(runtime: EmbeddedRuntime, tmp_path: Path) -> Iterator[House]:
    house = House(runtime, tmp_path)
    yield house
    if house.process is not None and house.process.poll() is None:
        house.process.kill()
        house.process.wait(20)


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
    wanted = {topic: examples(topic.event) for topic in topics.ALL}
    house.publisher.publish(event for events in wanted.values() for event in events)
    house.start()
    counts = "+".join(f"(SELECT count() FROM {topic.table})" for topic in topics.ALL)
    until(lambda: house.one(f"SELECT {counts}") == 2 * len(topics.ALL), "all events are rows", 15)
    for topic, events in wanted.items():
        names = list(topic.event.model_fields)
        columns = ", ".join(f"`{name}`" for name in names)
        rows = house.query(f"SELECT {columns}, _topic, _partition, _offset, _timestamp FROM {topic.table} ORDER BY event_id")
        for row, event in zip(rows, events, strict=True):
            found = dict(zip(names, row[:-4], strict=True))
            for name, value in plain(event.model_dump()).items():
                assert found[name] == (ABSENT.get(name) if value is None else value), f"{topic.name}.{name}"
            assert row[-4] == topic.name
            assert row[-2] >= 0
            assert abs(row[-1] - datetime.now(UTC)) < timedelta(minutes=5)
    assert house.one("SELECT count() FROM dead_letters") == 0


def test_kill_nine_doubles_nothing_and_loses_nothing(house: House):
    per_round, kill_after = 3000, (0, 1, 900, 2500)  # rows of the round that are in when the sink is killed
    engine = house.open_engine()
    for table in ("drift_observations", "traces"):  # so that a merge cannot hide a row that is there twice
        engine.execute(f"ALTER TABLE {table} MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1")
    engine.close()
    failed: list[BaseException] = []

    def produce(number: int) -> None:
        try:
            for index in range(0, per_round, 250):
                house.publisher.publish([*distinct(DriftObservation, 250, f"d{number}-{index}"), *distinct(Trace, 10, f"t{number}-{index}")])
        except BaseException as error:
            failed.append(error)

    for number, rows in enumerate(kill_after):
        house.start()
        before = house.one("SELECT count() FROM drift_observations")
        producing = threading.Thread(target=produce, args=(number,))
        producing.start()
        until(lambda wanted=before + rows: house.one("SELECT count() FROM drift_observations") >= wanted, f"{rows} rows of round {number} are in")
        assert house.end(signal.SIGKILL) == -signal.SIGKILL
        producing.join()
        assert not failed
    house.start()
    total, traces = per_round * len(kill_after), per_round // 25 * len(kill_after)
    until(lambda: house.one("SELECT uniqExact(event_id) FROM drift_observations") == total, "all rows are in")
    until(lambda: house.one("SELECT uniqExact(event_id) FROM traces") == traces, "all traces are in")
    assert house.query("SELECT count(), uniqExact(_partition, _offset) FROM drift_observations") == [(total, total)]
    assert house.query("SELECT count(), uniqExact(_partition, _offset) FROM traces") == [(traces, traces)]
    assert house.one("SELECT count() FROM system.parts WHERE table = 'drift_observations' AND active") > len(kill_after), (
        "the batches were too few to test this"
    )


def test_sigterm_writes_what_is_held_and_ends_well(house: House):
    house.start()
    house.publisher.publish(distinct(Trace, 500))
    assert house.end(signal.SIGTERM) == 0
    engine = house.open_engine()
    before = engine.rows("SELECT count() FROM traces")[0][0]
    engine.close()
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


def test_a_topic_that_was_made_anew_stops_the_sink(house: House):
    house.start()
    house.publisher.publish(distinct(Trace, 20))
    until(lambda: house.one("SELECT count() FROM traces") == 20, "all rows are in")
    assert house.end(signal.SIGTERM) == 0
    admin = AdminClient(client_config(house.kafka))
    name = physical_name(house.kafka, "traces")
    admin.delete_topics([name])[name].result(10)
    until(lambda: name not in admin.list_topics(timeout=5).topics, "the topic is gone")
    house.create_topics()
    assert house.spawn().wait(30) != 0
    assert "the topic was made anew" in house.log.read_text()


class Unwilling:
    """An engine that fails at its first inserts, as one that is away or full does."""

    def __init__(self, engine: EmbeddedEngine, failures: int) -> None:
        self.engine = engine
        self.failures = failures

    def insert(self, table: str, data: Any, token: str) -> None:
        if self.failures:
            self.failures -= 1
            raise UnavailableError("ClickHouse does not answer")
        self.engine.insert(table, data, token)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


def test_while_clickhouse_is_away_nothing_is_lost(house: House):
    engine = house.open_engine()
    assigned = threading.Event()
    sink = Sink(house.kafka, house.codec, Unwilling(engine, 3), alone=True, on_assigned=assigned.set)
    working = threading.Thread(target=sink.run)
    working.start()
    try:
        assert assigned.wait(20)
        for index in range(5):
            house.publisher.publish(distinct(Trace, 200, f"n{index}"))
        until(lambda: engine.rows("SELECT count() FROM traces")[0][0] >= 1000, "all rows are in")
        assert engine.rows("SELECT count(), uniqExact(event_id) FROM traces") == [[1000, 1000]]
        assert sink.counters["retries"] >= 3
    finally:
        sink.stop()
        working.join()
        engine.close()


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
        engine.execute("INSERT INTO _schema (hash) VALUES ('of an older version')")
        assert ensure_schema(engine)
        assert not ensure_schema(engine)
        assert engine.rows("SELECT event_id, reason FROM erasures") == [["e", ""]]
        assert "sum_products Float64" in engine.rows("SELECT type FROM system.columns WHERE table = 'evaluations' AND name = 'scores'")[0][0]
    finally:
        engine.close()


def test_an_insert_is_one_part_and_the_same_token_does_nothing(tmp_path: Path):
    records = [event.model_dump() for event in distinct(Trace, 12_000)]
    arrays = {column.name: arrow_column(column, [record[column.name] for record in records]) for column in columns_of(topics.TRACES)}
    engine = EmbeddedEngine(tmp_path / "clickhouse", "trueloop")
    try:
        ensure_schema(engine)
        engine.execute("SYSTEM STOP MERGES")
        for _ in range(2):
            engine.insert("traces", pa.table(arrays), "traces:0:0-11999")
        # Several parts would mean that a crash can leave a part of the batch.
        assert engine.rows("SELECT rows FROM system.parts WHERE table = 'traces'") == [[12_000]]
    finally:
        engine.close()
