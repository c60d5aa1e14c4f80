"""What goes wrong around the sink: each record is a row once all the same. The long forms are in tests/faults."""

import signal
import threading
from pathlib import Path
from typing import Any

import clickhouse_connect
import psutil
import pytest
from confluent_kafka.admin import AdminClient

from tests.factories import distinct, example
from tests.integration.sink_house import SMALL_BATCHES, House, stop_merges, stop_merges_for_good, until
from trueloop import topics
from trueloop.adapters.clickhouse.engine import ClickHouseError, Engine
from trueloop.adapters.clickhouse.schema import ensure_schema
from trueloop.adapters.clickhouse.server_engine import ServerEngine
from trueloop.adapters.clickhouse.sink import Sink
from trueloop.adapters.kafka import client_config, physical_name
from trueloop.adapters.registry import ConfluentRegistry
from trueloop.codec import Codec
from trueloop.errors import UnavailableError
from trueloop.events import Label, Trace

AWAY = UnavailableError("ClickHouse does not answer")
READ_ONLY = ClickHouseError("Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)")


class Unwilling:
    """An engine that fails at its first inserts: before the rows are in, or after, when nobody learns that they are."""

    def __init__(self, engine: Engine, failures: int, error: Exception, *, after: bool = False) -> None:
        self.engine = engine
        self.failures = failures
        self.error = error
        self.after = after

    def insert(self, table: str, data: Any, token: str) -> None:
        failing = self.failures > 0
        self.failures -= failing
        if self.after or not failing:
            self.engine.insert(table, data, token)
        if failing:
            raise self.error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


@pytest.mark.parametrize(("error", "after"), [(AWAY, False), (READ_ONLY, False), (AWAY, True)], ids=["away", "read-only", "outcome unknown"])
def test_while_clickhouse_fails_nothing_is_lost_or_doubled(house: House, error: Exception, after: bool):
    with house.engine() as engine:
        stop_merges(engine)
        engine.execute("CREATE TABLE counted (n Int64) ENGINE = SummingMergeTree ORDER BY tuple() SETTINGS non_replicated_deduplication_window = 100")
        engine.execute("CREATE MATERIALIZED VIEW counting TO counted AS SELECT toInt64(count()) AS n FROM traces")
        with house.sinking(Unwilling(engine, 3, error, after=after)) as sink:
            for index in range(5):
                house.publisher.publish(distinct(Trace, 200, f"n{index}"))
            until(lambda: sink.counters["rows"] >= 1000, "all rows are in")
            assert sink.counters["retries"] >= 3
        assert engine.rows("SELECT count(), uniqExact(event_id), uniqExact(_partition, _offset) FROM traces") == [[1000, 1000, 1000]]
        assert engine.rows("SELECT sum(n) FROM counted") == [[1000]], "the materialised view counted a batch twice or not at all"


@pytest.mark.parametrize(
    ("setting", "number", "name"),
    [("min_free_disk_bytes_to_perform_insert", 2**60, "NOT_ENOUGH_SPACE"), ("parts_to_throw_insert", 1, "TOO_MANY_PARTS")],
)
def test_a_full_disk_or_a_table_of_too_many_parts_loses_nothing(house: House, setting: str, number: int, name: str, caplog: pytest.LogCaptureFixture):
    with house.engine() as engine:
        stop_merges(engine)
        with house.sinking(engine) as sink:
            house.publisher.publish(distinct(Trace, 100, "before"))
            until(lambda: sink.counters["rows"] == 100, "the first rows are in")
            engine.execute(f"ALTER TABLE traces MODIFY SETTING {setting} = {number}")
            house.publisher.publish(distinct(Trace, 100, "while"))
            until(lambda: sink.counters["retries"] >= 2, "ClickHouse refuses")
            assert engine.rows("SELECT count() FROM traces") == [[100]]
            assert name in caplog.text
            engine.execute(f"ALTER TABLE traces RESET SETTING {setting}")
            until(lambda: sink.counters["rows"] == 200, "the others are in")
        assert engine.rows("SELECT count(), uniqExact(event_id) FROM traces") == [[200, 200]]


def test_memory_stays_bounded_while_clickhouse_is_away(house: House):
    """And while it is slow: either way the sink stops reading, and Kafka keeps the rest."""
    large = example(Trace, completion="x" * 1_000_000, embedding=None)
    count, mib = 400, 1024**2
    process = psutil.Process()
    with house.engine() as engine:
        blocked = Unwilling(engine, 10**9, AWAY)
        with house.sinking(blocked) as sink:
            before = process.memory_info().rss
            house.publish_from_outside(large, count)
            until(lambda: sink.counters["retries"] >= 3, "ClickHouse refuses")
            grown = (process.memory_info().rss - before) / mib
            assert grown < count * 0.6, f"{grown:.0f} MiB more for {count} MiB on the topic"
            blocked.failures = 0
            until(lambda: sink.counters["rows"] == count, "all rows are in")
        assert engine.rows("SELECT count(), uniqExact(event_id) FROM traces FINAL") == [[count, count]]


def test_kill_nine_doubles_nothing_and_loses_nothing(house: House):
    per_round, kill_after = 1500, (0, 1, 800)  # rows of the round that are in when the sink is killed
    with house.engine() as engine:
        stop_merges_for_good(engine, "labels", "traces")
    failed: list[BaseException] = []

    def produce(number: int) -> None:
        try:
            for index in range(0, per_round, 250):
                house.publisher.publish([*distinct(Label, 250, f"d{number}-{index}"), *distinct(Trace, 10, f"t{number}-{index}")])
        except BaseException as error:
            failed.append(error)

    for number, rows in enumerate(kill_after):
        house.start(SMALL_BATCHES)
        before = house.one("SELECT count() FROM labels")
        producing = threading.Thread(target=produce, args=(number,))
        producing.start()
        until(lambda wanted=before + rows: house.one("SELECT count() FROM labels") >= wanted, f"{rows} rows of round {number} are in")
        assert house.end(signal.SIGKILL) == -signal.SIGKILL
        producing.join()
        assert not failed
    house.start(SMALL_BATCHES)
    total, traces = per_round * len(kill_after), per_round // 25 * len(kill_after)
    until(lambda: house.one("SELECT uniqExact(event_id) FROM labels") == total, "all rows are in")
    until(lambda: house.one("SELECT uniqExact(event_id) FROM traces") == traces, "all traces are in")
    assert house.query("SELECT count(), uniqExact(_partition, _offset) FROM labels") == [(total, total)]
    assert house.query("SELECT count(), uniqExact(_partition, _offset) FROM traces") == [(traces, traces)]
    parts = house.one("SELECT count() FROM system.parts WHERE table = 'labels' AND active")
    assert parts > 4 * len(kill_after), "the batches were too few to test this"


DYING = """
import os, signal
from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine as engine
insert, inserted = engine.insert, []
def dying(self, table, data, token):
    if table == 'traces':
        inserted.append(table)
    at_last = len(inserted) == 3
    if at_last and {before}: os.kill(os.getpid(), signal.SIGKILL)
    insert(self, table, data, token)
    if at_last: os.kill(os.getpid(), signal.SIGKILL)
engine.insert = dying
"""


@pytest.mark.parametrize("before", [True, False], ids=["before the insert", "between insert and commit"])
def test_killed_at_the_worst_moment(house: House, before: bool):
    with house.engine() as engine:
        stop_merges_for_good(engine, "traces")
    house.spawn(DYING.format(before=before) + SMALL_BATCHES)
    house.publisher.publish(distinct(Trace, 1000))
    house.send_raw("traces", b"k", b"not an event")
    assert house.process is not None
    assert house.process.wait(40) == -signal.SIGKILL, house.log.read_text()
    house.start()
    until(lambda: house.one("SELECT uniqExact(event_id) FROM traces") == 1000, "all rows are in")
    until(lambda: house.one("SELECT count() FROM v_dead_letters") == 1, "the bad record is told of")
    assert house.query("SELECT count(), uniqExact(_partition, _offset) FROM traces") == [(1000, 1000)]


class Flaky(ConfluentRegistry):
    """A registry that does not answer at first."""

    failures = 2

    def schema(self, schema_id: int) -> str:
        if self.failures:
            self.failures -= 1
            raise UnavailableError("the registry does not answer")
        return super().schema(schema_id)


def test_while_the_registry_is_away_no_record_is_called_bad(house: House):
    with house.engine() as engine, house.sinking(engine, codec=Codec(Flaky(house.settings.registry))) as sink:
        house.publisher.publish(distinct(Trace, 100))
        until(lambda: sink.counters["rows"] == 100, "all rows are in")
        assert sink.counters["retries"] == 2
        assert sink.counters["rejected"] == 0


def test_bad_records_in_the_middle_of_a_large_batch(house: House):
    """Read together or singly: the bad ones become dead letters, each with its reason, and every neighbour a row."""
    good = [house.codec.encode(topics.TRACES, trace) for trace in distinct(Trace, 300)]
    header = good[0][:5]
    pills = {
        40: b"",
        80: good[0][:-40],
        120: good[0] + b"\x00",
        160: header + b"\xff" * 60,
        200: b"\x01" + good[0][1:],
        240: b"\x00\x00\x0f\xff\xff" + good[0][5:],
    }
    sent = list(good)
    for place, pill in sorted(pills.items()):
        sent.insert(place, pill)
    bad_text = good[0].replace(b"billing-support", b"billing\xffsupport")
    assert bad_text != good[0]
    house.send_all_raw(("traces", b"k", value, 0) for value in [*sent, bad_text])
    with house.engine() as engine, house.sinking(engine) as sink:
        until(lambda: sink.counters["rows"] >= 300 + 7, "rows and dead letters are in")
        assert engine.rows("SELECT count(), uniqExact(event_id) FROM traces") == [[300, 300]]
        found = dict(engine.rows("SELECT offset, error_class FROM v_dead_letters WHERE topic = 'traces'"))
    mismatch = "SCHEMA_MISMATCH"
    assert found == {40: "TRUNCATED", 80: "TRUNCATED", 120: mismatch, 160: "TRUNCATED", 200: "WRONG_MAGIC", 240: "UNKNOWN_SCHEMA", 306: mismatch}


def test_without_its_dead_letter_topic_the_sink_waits(house: House):
    admin = AdminClient(client_config(house.kafka))
    name = physical_name(house.kafka, "traces.dead-letters")
    with house.engine() as engine, house.sinking(engine) as sink:
        admin.delete_topics([name])[name].result(10)
        until(lambda: name not in admin.list_topics(timeout=5).topics, "the topic is gone")
        house.send_raw("traces", b"k", b"not an event")
        house.publisher.publish(distinct(Trace, 50))
        until(lambda: sink.counters["retries"] >= 1, "the dead letter cannot be sent")
        assert engine.rows("SELECT count() FROM traces") == [[0]]
        house.create_topics()
        until(lambda: sink.counters["rejected"] == 1, "the dead letter is sent")
        until(lambda: engine.rows("SELECT count(), uniqExact(event_id) FROM traces") == [[50, 50]], "all rows are in")


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


def test_a_rebalance_while_outcomes_are_unknown_doubles_nothing(house: House, tmp_path: Path):
    server = ServerEngine(clickhouse_connect.get_client(dsn=f"chdb://{tmp_path / 'server'}"), "trueloop")
    ensure_schema(server)
    server.execute("SYSTEM STOP MERGES")
    unsure = Unwilling(server, 10**9, AWAY, after=True)
    sinks = [Sink(house.kafka, house.codec, engine, alone=False, on_assigned=lambda: None) for engine in (unsure, server)]
    threads = [threading.Thread(target=sink.run) for sink in sinks]
    house.publisher.publish(distinct(Trace, 300, "before"))
    try:
        threads[0].start()
        until(lambda: sinks[0].counters["retries"] >= 2, "the first sink does not know whether its rows are in")
        threads[1].start()
        until(lambda: len(sinks[1].assigned) > 0 and len(sinks[0].assigned) > 0, "both have partitions")
        unsure.failures = 0
        house.publisher.publish(distinct(Trace, 300, "after"))
        until(lambda: server.rows("SELECT uniqExact(event_id) FROM traces")[0][0] == 600, "all rows are in")
        assert server.rows("SELECT count(), uniqExact(_partition, _offset) FROM traces") == [[600, 600]]
    finally:
        for sink in sinks:
            sink.stop()
        for thread in threads:
            thread.join()
        server.close()
