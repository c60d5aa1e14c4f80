"""Metrics of real workers: what a scrape and `trueloop top` tell is what was sent, and a worker that was killed is found again."""

import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from tests.integration.loop_runtime import pid_of, settings_of, trueloop, until
from trueloop import Client
from trueloop.adapters.kafka import producer_config
from trueloop.adapters.metrics import targets
from trueloop.adapters.metrics.scrape import TopicReading, WorkerReading, scrape
from trueloop.adapters.publication import Documents
from trueloop.embedded.runtime import EmbeddedRuntime, Stack
from trueloop.embedded.stack import loop_stack
from trueloop.rubrics import Policy, Rubric

RUBRIC = {
    "id": "metrics",
    "version": 1,
    "title": "Metrics",
    "statement": "Right or wrong.",
    "dimensions": [{"name": "accuracy", "description": "Right.", "scale": {"min": 0, "max": 1}}],
}
POLICY = {
    "id": "metrics",
    "version": 1,
    "application": "metrics",
    "rubric": {"id": "metrics", "version": 1},
    "sampling": {"rate": 0.0, "strata": [{"slice": "review", "value": "yes", "rate": 1.0}]},
    "training": {"min_new_pairs": 10**9},
    "gate": {"dimensions": [{"dimension": "accuracy", "evaluator": "check:none"}]},
}
SECRET = "words of a user that belong in no metric"
TRACES, SAMPLED, BAD = 200, 20, 3


def send(runtime: EmbeddedRuntime) -> None:
    """Traces, a tenth of them for review, and bytes that are no events."""
    settings = settings_of(runtime)
    documents = Documents(settings)
    documents.publish_rubric(Rubric.model_validate(RUBRIC), datetime.now(UTC))
    documents.publish_policy(Policy.model_validate(POLICY), datetime.now(UTC))
    with Client("metrics", "training", settings=settings) as client:
        for number in range(TRACES):
            review = "yes" if number < SAMPLED else "no"
            client.trace([{"role": "user", "content": f"{SECRET} {number}"}], SECRET, "model", trace_id=f"{number}", slices={"review": review})
        assert client.flush(30.0) == 0
    producer = Producer(producer_config(settings.kafka))
    for _ in range(BAD):
        producer.produce("traces", b"\x07")
    assert producer.flush(30.0) == 0


def readings(runtime: EmbeddedRuntime) -> dict[str, WorkerReading]:
    return {target.worker: scrape(f"http://{target.address}/metrics") for target in targets.running(runtime.layout.state_dir)}


def topic(runtime: EmbeddedRuntime, worker: str, processor: str, name: str) -> TopicReading | None:
    return readings(runtime)[worker].topics.get((processor, name))


def has(runtime: EmbeddedRuntime, worker: str, processor: str, name: str, records: int) -> bool:
    found = topic(runtime, worker, processor, name)
    return found is not None and found.records == records and found.lag == 0


def test_what_is_told_is_what_was_sent(tmp_path: Path) -> None:
    stack = loop_stack(tmp_path)
    with EmbeddedRuntime(tmp_path, Stack([worker for worker in stack.workers if worker.name != "trainer"], stack.prepare)) as runtime:
        assert set(readings(runtime)) == {"sink", "streams"}
        send(runtime)
        until(lambda: has(runtime, "streams", "sampling", "traces", TRACES + BAD), "every trace is sampled or not")
        until(lambda: has(runtime, "streams", "collection", "review-queue", SAMPLED), "every task is open")
        until(lambda: has(runtime, "sink", "sink", "traces", TRACES + BAD), "every trace is in ClickHouse")
        now = readings(runtime)

        sampling = now["streams"].topics["sampling", "traces"]
        assert sampling.outcomes == {"sampled": SAMPLED, "not_sampled": TRACES - SAMPLED, "TRUNCATED": BAD}
        assert sampling.dead_letters == {"TRUNCATED": BAD}
        assert sampling.end_to_end_seconds is not None
        assert sampling.end_to_end_seconds.count == TRACES + BAD
        assert sampling.batch_seconds is not None
        assert 1 <= sampling.batch_seconds.count <= TRACES + BAD
        assert now["sink"].topics["sink", "traces"].outcomes == {"inserted": TRACES, "rejected": BAD}
        collection = now["streams"].processors["collection"]
        assert collection.state_keys == SAMPLED
        assert collection.state_bytes is not None
        assert collection.state_bytes > SAMPLED * 32
        assert now["streams"].processors["sampling"].rebalances == 1

        shown = json.loads(trueloop(runtime, "top", "--json").stdout)
        assert {worker["worker"] for worker in shown["workers"]} == {"sink", "streams"}
        assert rows(shown)["sampling", "traces"]["outcomes"] == sampling.outcomes
        assert rows(shown)["sampling", "traces"]["end_to_end_s"]["p99"] > 0
        once = trueloop(runtime, "top", "--once").stdout
        assert all(name in once for name in ("sampling", "review-queue", f"{SAMPLED} keys", "sink"))
        assert SECRET not in once + json.dumps(shown)

        survives_a_kill(runtime, now["streams"])
    assert targets.running(tmp_path) == []
    assert "trueloop up" in trueloop(runtime, "top").stderr


def survives_a_kill(runtime: EmbeddedRuntime, before: WorkerReading) -> None:
    pid = pid_of(runtime, "streams")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid_of(runtime, "streams") not in (pid, None) and "streams" in {t.worker for t in targets.running(runtime.layout.state_dir)}, "it runs anew")
    until(lambda: readings(runtime)["streams"].processors.get("collection") == before.processors["collection"], "its state is back")
    # Committed twice a second: a batch that was completed just before the kill may come again, never more than that.
    until(lambda: (found := topic(runtime, "streams", "sampling", "traces")) is not None and found.lag == 0, "nothing waits")
    assert len(list((runtime.layout.state_dir / targets.DIRECTORY).iterdir())) == 2


def rows(shown: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["processor"], row["topic"]): row for worker in shown["workers"] for row in worker["topics"]}
