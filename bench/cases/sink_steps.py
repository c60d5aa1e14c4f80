"""What the sink does to a trace, step by step and as a whole. Modes:

consume   records are read and nothing else
decode    and decoded singly by fastavro
columns   and decoded together into Arrow columns, as the sink does it
arrow     rows that were made before are inserted: the least that a sink can cost
avro      the same with the records' own Avro bytes, in containers that were made before
sink      the sink itself: from Kafka into ClickHouse, acknowledged after the insert

Those that insert use a ClickHouse directory of their own, and report as well what CPU its merges take until they are at rest.
"""

import io
import itertools
import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from trueloop.schemas import schema_text

from trueloop.adapters.clickhouse import ddl
from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine
from trueloop.adapters.clickhouse.pending import MAX_ROWS
from trueloop.adapters.clickhouse.rows import RowReader, warm_up
from trueloop.adapters.clickhouse.schema import ensure_schema
from trueloop.adapters.clickhouse.sink import FETCH_RECORDS, Sink
from trueloop.adapters.kafka import client_config, physical_name
from trueloop.adapters.registry import connect
from trueloop.codec import HEADER_BYTES
from trueloop.config import Settings, load_settings
from trueloop.topics import TRACES

RECORDS = int(os.environ["BENCH_RECORDS"])
CORE = int(os.environ["BENCH_CORE"])
"""The one core that this process may use."""
AVRO_BLOCK = 100
"""Records per block of an Avro container."""


def main(mode: str) -> None:
    """Run one mode and print the result for the parent."""
    os.sched_setaffinity(0, {CORE})
    settings = load_settings()
    warm_up()
    if mode in ("consume", "decode", "columns"):
        print(json.dumps(reading(settings, mode)))
        return
    with tempfile.TemporaryDirectory(prefix="trueloop-bench-") as folder:
        engine = EmbeddedEngine(Path(folder) / "clickhouse", "trueloop")
        ensure_schema(engine)
        found = sink(settings, engine) if mode == "sink" else inserts(settings, engine, mode, Path(folder))
        merging = rest(engine)
        stored = engine.rows("SELECT count() FROM traces FINAL")[0][0]
        if stored < found["records"]:
            raise SystemExit(f"{found['records']} records went in, {stored} rows are there")
        print(json.dumps(found | {"merged_us": found["cpu_us"] + 1e6 * merging / found["records"]}))
        engine.close()


class Meter:
    """CPU time of the process, threads included, and wall time since this was made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def read(self, records: int) -> dict[str, float]:
        """Return microseconds per record, and the largest memory that the process has used."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"records": records, "cpu_us": 1e6 * cpu / records, "wall_us": 1e6 * wall / records, "rss_mib": memory}


def reading(settings: Settings, mode: str) -> dict[str, float]:
    """Read, and decode as the mode says."""
    codec = connect(settings.registry)
    reader = RowReader(codec)
    read = 0
    meter: Meter | None = None
    for messages in batches(settings, FETCH_RECORDS if mode == "consume" else MAX_ROWS):
        if mode == "decode":
            for message in messages:
                codec.decode_record(TRACES, message.value())
        elif mode == "columns":
            reader.rows(TRACES.name, messages)
        if meter is None:
            meter = Meter()  # finding the broker, and reading the schema, are no part of it
            continue
        read += len(messages)
        if read >= RECORDS:
            return meter.read(read)
    raise SystemExit("the topic ended too early")


def batches(settings: Settings, size: int) -> Iterator[list[Message]]:
    """Yield batches of records, `size` in each, from the start of the topic."""
    consumer = Consumer(client_config(settings.kafka) | {"group.id": "bench-sink", "queued.max.messages.kbytes": 32 * 1024, "enable.auto.commit": False})
    topic = physical_name(settings.kafka, TRACES.name)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(TRACES.partitions)])
    held: list[Message] = []
    while messages := consumer.consume(min(FETCH_RECORDS, size - len(held)), 10.0):
        held += messages
        if len(held) == size:
            yield held
            held = []


def inserts(settings: Settings, engine: EmbeddedEngine, mode: str, folder: Path) -> dict[str, float]:
    """Insert what was prepared."""
    reader = RowReader(connect(settings.registry))
    wanted = itertools.islice(batches(settings, MAX_ROWS), max(1, RECORDS // MAX_ROWS))
    if mode == "arrow":
        tables = [table for messages in wanted if (table := reader.rows(TRACES.name, messages).data) is not None]
        meter = Meter()
        for number, table in enumerate(tables):
            engine.insert(TRACES.table, table, str(number))
        return meter.read(sum(table.num_rows for table in tables))
    files = []
    for number, messages in enumerate(wanted):
        files.append((folder / f"{number}.avro", len(messages)))
        files[-1][0].write_bytes(container(messages))
    meter = Meter()
    for number, (file, _) in enumerate(files):
        engine.execute(passthrough(file, str(number)))
    return meter.read(sum(count for _, count in files))


def container(messages: list[Message]) -> bytes:
    """Return records as an Avro container: their own bytes, and behind each record the fields that tell where it came from."""
    schema = json.loads(schema_text("trace.avsc"))
    schema["fields"] += [{"name": "_partition", "type": "int"}, {"name": "_offset", "type": "long"}, {"name": "_timestamp", "type": "long"}]
    out = io.BytesIO()
    fastavro.writer(out, schema, [])
    sync = out.getvalue()[-16:]
    for start in range(0, len(messages), AVRO_BLOCK):
        block = messages[start : start + AVRO_BLOCK]
        body = b"".join(
            (message.value() or b"")[HEADER_BYTES:] + varint(message.partition() or 0) + varint(message.offset() or 0) + varint(message.timestamp()[1])
            for message in block
        )
        out.write(varint(len(block)) + varint(len(body)) + body + sync)
    return out.getvalue()


def varint(number: int) -> bytes:
    """Return a whole number >= 0 as Avro writes it."""
    number <<= 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def passthrough(file: Path, token: str) -> str:
    """Return the statement that inserts a container."""
    columns = [column for column in ddl.table_columns(TRACES) if column.name != "_topic"]
    types = {"embedding": "Nullable(FixedString(1536))", "_timestamp": "Int64"}
    read = ", ".join(f"`{column.name}` {types.get(column.name, column.type)}" for column in columns).replace("'", "\\'")
    as_stored = {
        "embedding": "if(isNull(embedding), [], reinterpret(assumeNotNull(embedding), 'Array(Float32)'))",
        "_timestamp": "fromUnixTimestamp64Milli(_timestamp, 'UTC')",
    }
    values = ", ".join(as_stored.get(column.name, f"`{column.name}`") for column in columns)
    names = ", ".join(f"`{column.name}`" for column in columns)
    return (
        f"INSERT INTO traces ({names}, _topic) SELECT {values}, 'traces' FROM file('{file}', Avro, '{read}') SETTINGS max_threads = 1, "
        f"insert_deduplication_token = '{token}', optimize_on_insert = 0, allow_suspicious_fixed_string_types = 1, min_insert_block_size_rows = 1000000"
    )


def sink(settings: Settings, engine: EmbeddedEngine) -> dict[str, float]:
    """Run the sink until it has written what is wanted; the clock starts when it knows where to read."""
    meters: list[Meter] = []
    worker = Sink(settings.kafka, connect(settings.registry), engine, alone=True, on_assigned=lambda: meters.append(Meter()))
    running = threading.Thread(target=worker.run)
    running.start()
    while worker.counters["rows"] < RECORDS:
        if not running.is_alive():
            raise SystemExit("the sink has stopped")
        time.sleep(0.005)
    found = meters[0].read(worker.counters["rows"])
    worker.stop()
    running.join()
    return found


def rest(engine: EmbeddedEngine) -> float:
    """Wait until no merge has run for a second; return the CPU seconds that it took."""
    begun, quiet = time.process_time(), 0
    while quiet < 10:
        time.sleep(0.1)
        quiet = quiet + 1 if engine.rows("SELECT count() FROM system.merges")[0][0] == 0 else 0
    return time.process_time() - begun


if __name__ == "__main__":
    main(sys.argv[1])
