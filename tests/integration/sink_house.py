"""Where a test of the sink lives: topics and a ClickHouse directory of its own, and the sink, in a process or in a thread."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from tests.integration.test_clickhouse_endpoint import free_port
from trueloop import topics
from trueloop.adapters.clickhouse.client import connect as connect_clickhouse
from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine
from trueloop.adapters.clickhouse.schema import ensure_schema
from trueloop.adapters.clickhouse.sink import Sink
from trueloop.adapters.kafka import Publisher, physical_name, producer_config
from trueloop.adapters.kafka_admin import ensure_topics
from trueloop.adapters.registry import connect as connect_registry
from trueloop.codec import Codec
from trueloop.config import ClickHouseSettings, KafkaSettings, RegistrySettings, Settings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.events import Event

ROOT = Path(__file__).parents[2]
WORKER = "from trueloop.config import load_settings; from trueloop.streams.sink import run; run(load_settings())"
SMALL_BATCHES = "from trueloop.adapters.clickhouse import pending, sink; pending.MAX_AGE_S, pending.MAX_ROWS, sink.FETCH_RECORDS = 0.02, 100, 100; "
"""Put before `WORKER`: many inserts, so that a kill meets all of their parts."""
PUBLISH = """
import sys
from {module} import {name}
from trueloop.adapters.kafka import Publisher
from trueloop.adapters.registry import connect
from trueloop.config import load_settings
settings = load_settings()
event = {name}.model_validate_json(sys.stdin.read())
Publisher(settings.kafka, connect(settings.registry)).publish(event.model_copy(update={{"event_id": f"outside-{{number}}"}}) for number in range({count}))
"""


def until(condition: Callable[[], bool], what: str, deadline_s: float = 40.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.03)


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

    @contextmanager
    def engine(self) -> Iterator[EmbeddedEngine]:
        """Open the directory in this process."""
        engine = EmbeddedEngine(self.settings.state_dir / "clickhouse", "trueloop")
        try:
            ensure_schema(engine)
            yield engine
        finally:
            engine.close()

    def spawn(self, before: str = "") -> subprocess.Popen[bytes]:
        """Start the sink; `before` is Python that it runs first."""
        ready = self.settings.state_dir / "ready"
        ready.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-c", before + WORKER], cwd=ROOT, env=self._environment(), stderr=log)
        return self.process

    def publish_from_outside(self, event: Event, count: int) -> None:
        """Publish an event `count` times, under ids of their own, from a process whose memory is not that of the test."""
        program = PUBLISH.format(module=type(event).__module__, name=type(event).__name__, count=count)
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=self._environment(), input=event.model_dump_json(), text=True, check=True)

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "TRUELOOP_STATE_DIR": str(self.settings.state_dir),
            "TRUELOOP_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "TRUELOOP_KAFKA__TOPIC_PREFIX": self.kafka.topic_prefix,
            "TRUELOOP_REGISTRY__URL": self.settings.registry.url,
            "TRUELOOP_CLICKHOUSE__URL": self.settings.clickhouse.url,
            "TRUELOOP_CLICKHOUSE__EMBEDDED": "true",
            "TRUELOOP_READY_FILE": str(self.settings.state_dir / "ready"),
        }

    def start(self, before: str = "") -> None:
        process = self.spawn(before)
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
        self.send_all_raw([(topic, key, value, partition)], headers)

    def send_all_raw(self, records: Iterable[tuple[str, bytes | None, bytes | None, int]], headers: Any = None) -> None:
        """Send records, each to the partition that it names, in this order."""
        producer = Producer(producer_config(self.kafka))
        for topic, key, value, partition in records:
            producer.produce(physical_name(self.kafka, topic), value, key, partition, headers=list(headers or ()))
        assert producer.flush(10) == 0

    @contextmanager
    def sinking(self, engine: Any, *, codec: Codec | None = None) -> Iterator[Sink]:
        """Run a sink into `engine` in a thread, from when it reads until the end of the block."""
        reading = threading.Event()
        sink = Sink(self.kafka, codec or self.codec, engine, alone=True, on_assigned=reading.set)
        working = threading.Thread(target=sink.run)
        working.start()
        try:
            assert reading.wait(20)
            yield sink
        finally:
            sink.stop()
            working.join()


def stop_merges(engine: EmbeddedEngine) -> None:
    """Keep every row that is inserted: a merge would hide one that is there twice. For this process only."""
    engine.execute("SYSTEM STOP MERGES")


def stop_merges_for_good(engine: EmbeddedEngine, *tables: str) -> None:
    """The same for the processes that open the directory later."""
    for table in tables:
        engine.execute(f"ALTER TABLE {table} MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1")
