"""The whole loop under kill -9, and as a foreign client sees it."""

import io
import json
import os
import signal
import struct
import subprocess
import urllib.request
from collections.abc import Iterator
from shutil import which
from typing import Any

import fastavro
import pytest
from confluent_kafka import Consumer

from tests.integration import loop_runtime
from tests.integration.loop_runtime import pid_of, until
from trueloop import Client
from trueloop.adapters.clickhouse.client import query
from trueloop.config import Settings
from trueloop.embedded.runtime import EmbeddedRuntime

N_TRACES = 3000
APPLICATION = "billing-support"


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRuntime]:
    runtime = loop_runtime.start(tmp_path_factory.mktemp("loop"))
    try:
        for document in ("rubric", "policy"):
            done = loop_runtime.trueloop(runtime, document, "publish", APPLICATION)
            assert done.returncode == 0, done.stderr
        yield runtime
    finally:
        runtime.stop()


@pytest.fixture(scope="module")
def settings(runtime: EmbeddedRuntime) -> Settings:
    return loop_runtime.settings_of(runtime)


def count(settings: Settings, sql: str) -> int:
    return int(query(settings, sql).rows[0][0])


def emit(client: Client, numbers: range) -> None:
    for number in numbers:
        client.trace(
            [{"role": "user", "content": f"question {number}"}],
            f"answer {number}",
            "m",
            trace_id=f"trace-{number}",
            slices={"mood": "rude"},
            alternatives=[{"completion": f"other {number}", "model": "m"}],
            scores={"judge": 0.5},
        )
    assert client.flush(30.0) == 0


def test_every_event_is_once_in_clickhouse_though_each_worker_is_killed(runtime: EmbeddedRuntime, settings: Settings) -> None:
    workers = ("streams", "sink", "trainer", "streams", "sink")
    step = N_TRACES // len(workers)
    with Client(APPLICATION, "training", settings=settings) as client:
        for number, worker in enumerate(workers):
            emit(client, range(number * step, (number + 1) * step))
            victim = pid_of(runtime, worker)
            assert victim is not None
            os.kill(victim, signal.SIGKILL)
            until(lambda worker=worker, victim=victim: pid_of(runtime, worker) not in (None, victim), f"{worker} restarted")  # type: ignore[misc]

    def arrived() -> bool:
        try:
            return count(settings, "SELECT uniqExact(event_id) FROM traces") == N_TRACES
        except Exception:  # the sink, which serves the query, may be starting
            return False

    until(arrived, f"{N_TRACES} traces in ClickHouse")
    assert count(settings, "SELECT count() FROM traces") == N_TRACES
    sampled = "SELECT uniqExact(task_id) FROM review_queue"
    expected = _sampled_by_the_policy()
    until(lambda: count(settings, sampled) == expected, f"{expected} tasks")
    assert count(settings, "SELECT count() FROM v_review_queue") == expected
    assert count(settings, "SELECT count() FROM v_dead_letters") == 0


def _sampled_by_the_policy() -> int:
    from trueloop.adapters.documents import load_policy
    from trueloop.sampling.draws import draws, hashes

    sampling = load_policy(APPLICATION).sampling
    (probability,) = (stratum.rate for stratum in sampling.strata if stratum.name == "mood=rude")
    drawn = draws(hashes([f"trace-{number}".encode() for number in range(N_TRACES)]), sampling.salt) < probability
    tasks = [number for number in range(N_TRACES) if drawn[number]]
    if sampling.review_calibration:
        return len(tasks)
    from trueloop.events import Message, Role, Split
    from trueloop.events.conversation import prompt_hash
    from trueloop.sampling.splits import split_of

    prompts = {number: prompt_hash([Message(role=Role.USER, content=f"question {number}")]) for number in tasks}
    return sum(split_of(prompts[number], sampling.calibration_share) is Split.TRAIN for number in tasks)


def test_a_foreign_client_reads_the_review_queue_through_the_registry(runtime: EmbeddedRuntime, settings: Settings) -> None:
    """A plain consumer, fastavro and one HTTP request: nothing of ours."""
    consumer = Consumer({"bootstrap.servers": runtime.endpoints.kafka, "group.id": "foreign", "auto.offset.reset": "earliest"})
    consumer.subscribe(["review-queue"])
    found: list[Any] = []

    def read() -> bool:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            found.append(message.value())
        return bool(found)

    until(read, "a record on review-queue")
    consumer.close()
    magic, schema_id = struct.unpack(">bI", found[0][:5])
    with urllib.request.urlopen(f"{runtime.endpoints.registry}/schemas/ids/{schema_id}", timeout=10) as answer:
        schema = json.loads(json.load(answer)["schema"])
    task = fastavro.schemaless_reader(io.BytesIO(found[0][5:]), fastavro.parse_schema(schema), None)
    assert magic == 0
    assert task["application"] == APPLICATION
    assert 0 < task["sampling_prob"] <= 1
    assert len(task["candidates"]) == 2


@pytest.mark.skipif(which("kcat") is None, reason="kcat is not installed")
def test_kcat_reads_the_review_queue(runtime: EmbeddedRuntime) -> None:
    command = ["kcat", "-b", runtime.endpoints.kafka, "-t", "review-queue", "-C", "-o", "beginning", "-c", "1", "-e", "-q", "-f", "%k %S\\n"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    key, size = done.stdout.split()
    assert len(key) == 32
    assert int(size) > 100


def test_bad_input_is_dead_lettered_and_its_neighbours_count(runtime: EmbeddedRuntime, settings: Settings) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": runtime.endpoints.kafka, "partitioner": "murmur2_random"})
    for value in (b"", b"\x00\x00", b"\x01\x00\x00\x00\x01rest", struct.pack(">bI", 0, 999_999) + b"x", struct.pack(">bI", 0, 1)):
        producer.produce("traces", key=b"bad", value=value)
    assert producer.flush(10) == 0
    before = count(settings, "SELECT count() FROM traces")
    with Client(APPLICATION, "training", settings=settings) as client:
        client.label("no-such-task", reviewer_id="r", rubric=f"{APPLICATION}@1", preferences={"overall": None})
        client.trace([{"role": "user", "content": "neighbour"}], "fine", "m", trace_id="neighbour")
        client.trace([{"role": "user", "content": "x" * 10_000_000}], "too large", "m")
        assert client.flush(30.0) == 0
        assert sum(client.stats.dropped.values()) == 1
    until(lambda: count(settings, "SELECT count() FROM traces") == before + 1, "the neighbour")

    def classes() -> dict[str, int]:
        rows = query(settings, "SELECT topic, error_class, count() FROM v_dead_letters GROUP BY ALL").rows
        return {f"{topic} {error_class}": int(number) for topic, error_class, number in rows}

    until(lambda: sum(classes().values()) == 6, "six dead letters")
    assert classes()["labels UNKNOWN_TASK"] == 1
    assert sum(number for name, number in classes().items() if name.startswith("traces ")) == 5
    listed = loop_runtime.trueloop(runtime, "dlq", "ls", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "neighbour" not in listed.stdout


def test_state_survives_a_stop_and_a_start(runtime: EmbeddedRuntime, settings: Settings) -> None:
    before = count(settings, "SELECT uniqExact(event_id) FROM traces")
    runtime.stop()
    again = loop_runtime.start(runtime.layout.state_dir)
    try:
        fresh = loop_runtime.settings_of(again)
        assert count(fresh, "SELECT uniqExact(event_id) FROM traces") == before
    finally:
        again.stop()
