"""`make bench`: latency and throughput of the loop on this machine, on the real broker and the real ClickHouse engine.

Starts an embedded runtime in a temporary directory, sends traces and labels as an outside client does, and watches the public topics:

* trace -> review-queue: from the call of `Client.trace` to a consumer that holds the task, at a steady rate;
* label -> agreement: from the call of `Client.label` to a consumer that holds the estimate that counts it, at a steady rate;
* events per second: a burst of traces, until the last task is queued and the last row is in ClickHouse; beside it, as the limit, what the
  client alone delivers to the broker.

Prints a table and writes bench/results/loop.json with machine and versions.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trueloop import Client
from trueloop.adapters.clickhouse.client import query
from trueloop.adapters.publication import Documents
from trueloop.adapters.registry import connect
from trueloop.adapters.subscriber import Subscriber
from trueloop.config import Settings, load_settings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.embedded.stack import loop_stack
from trueloop.events import AgreementEstimate, ReviewTask
from trueloop.rubrics import Policy, Rubric
from trueloop.topics import AGREEMENT, REVIEW_QUEUE

APPLICATION = "bench"
RUBRIC = Rubric.model_validate(
    {
        "id": "bench",
        "version": 1,
        "title": "Benchmark",
        "statement": "Right or wrong.",
        "dimensions": [{"name": "accuracy", "description": "Right.", "scale": {"min": 0, "max": 1}}],
    }
)
POLICY = Policy.model_validate(
    {
        "id": "bench",
        "version": 1,
        "application": APPLICATION,
        "rubric": {"id": "bench", "version": 1},
        "sampling": {"rate": 0.0, "labels_needed": 2, "strata": [{"slice": "review", "value": "yes", "rate": 1.0}]},
        "training": {"min_new_pairs": 10**9},
        "gate": {"dimensions": [{"dimension": "accuracy", "evaluator": "check:none"}]},
    }
)
TEXT = "The quick brown fox jumps over the lazy dog and asks for an invoice. " * 6
"""About 400 characters each for prompt and completion: a trace of 1 kB."""
DEADLINE_S = 120.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[200.0, 1000.0, 5000.0], help="traces per second in the latency runs")
    parser.add_argument("--label-rate", type=float, default=200.0, help="labels per second in the latency run")
    parser.add_argument("--seconds", type=float, default=15.0, help="length of each latency run")
    parser.add_argument("--burst", type=int, default=100_000, help="traces in the throughput run")
    parser.add_argument("--json", type=Path, default=Path("bench/results/loop.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trueloop-bench-") as directory:
        state_dir = Path(directory)
        started = time.monotonic()
        with EmbeddedRuntime(state_dir, loop_stack(state_dir)):
            ready_s = time.monotonic() - started
            settings = load_settings(state_dir=state_dir)
            documents = Documents(settings)
            documents.publish_rubric(RUBRIC, datetime.now(UTC))
            documents.publish_policy(POLICY, datetime.now(UTC))
            found = {"up_to_ready_s": round(ready_s, 2)} | measure(settings, options.rates, options.label_rate, options.seconds, options.burst)
    write(found, options.json)


def measure(settings: Settings, rates: Sequence[float], label_rate: float, seconds: float, burst: int) -> dict[str, Any]:
    """Return every figure."""
    with Client(APPLICATION, "training", settings=settings, max_events=burst + 1000) as client:
        queue_ms: dict[str, Any] = {}
        tasks: list[ReviewTask] = []
        for rate in rates:
            found, latencies = trace_latency(settings, client, rate, seconds)
            tasks += found
            queue_ms[f"{rate:g}/s"] = summary(latencies)
            print(f"trace -> review-queue at {rate:g}/s: {queue_ms[f'{rate:g}/s']}", flush=True)
        agreement_ms = summary(label_latency(settings, client, tasks[: round(label_rate / 2 * seconds)], label_rate / 2))
        print(f"label -> agreement at {label_rate:g}/s: {agreement_ms}", flush=True)
        return {
            "trace_to_review_queue_ms": queue_ms,
            "label_to_agreement_ms": {f"{label_rate:g}/s": agreement_ms},
            "burst": throughput(settings, client, burst),
        }


REVIEWED_PER_S = 200
"""Traces that are put before reviewers, at most: people do not keep up with more, and the consumer here shares the machine."""


def trace_latency(settings: Settings, client: Client, rate: float, seconds: float) -> tuple[list[ReviewTask], list[float]]:
    """Return the tasks, and milliseconds from each sampled trace's call to its task in a consumer's hands."""
    subscriber = Subscriber(settings.kafka, connect(settings.registry), (REVIEW_QUEUE,))
    sent: dict[str, float] = {}
    tasks: list[ReviewTask] = []
    latencies: list[float] = []

    def listen(timeout_s: float) -> None:
        for event in subscriber.poll(timeout_s):
            arrived = time.perf_counter()
            if isinstance(event, ReviewTask) and event.trace_id in sent:
                tasks.append(event)
                latencies.append((arrived - sent[event.trace_id]) * 1000)

    send(client, sent, 50, f"warm-{rate:g}")
    until(lambda: listen(0.1), lambda: len(tasks) >= 50)
    tasks.clear()
    latencies.clear()
    stride = max(1, round(rate / REVIEWED_PER_S))
    total, begun = round(rate * seconds), time.perf_counter()
    for number in range(total):
        send(client, sent, 1, f"steady-{rate:g}-{number}", "yes" if number % stride == 0 else "no")
        while (left := begun + (number + 1) / rate - time.perf_counter()) > 0:
            listen(min(left, 0.002))
    behind = time.perf_counter() - begun - seconds
    if behind > 0.05 * seconds:
        print(f"the client sent {total / (seconds + behind):.0f} traces/s instead of {rate:g}", flush=True)
    until(lambda: listen(0.1), lambda: len(latencies) >= -(-total // stride))
    subscriber.close()
    return tasks, latencies


def send(client: Client, sent: dict[str, float], count: int, name: str, review: str = "yes") -> None:
    """Send traces, noting when each call began."""
    for number in range(count):
        trace_id = f"{name}-{number}"
        sent[trace_id] = time.perf_counter()
        client.trace([{"role": "user", "content": f"{name} {number} {TEXT}"}], TEXT, "bench", trace_id=trace_id, slices={"review": review})


def label_latency(settings: Settings, client: Client, tasks: list[ReviewTask], rate: float) -> list[float]:
    """Return milliseconds from the second label of each task to the first estimate that counts it.

    Labels come one task after the other, so the k-th second label is counted by the first estimate with 2 k labels on pairable units.
    """
    subscriber = Subscriber(settings.kafka, connect(settings.registry), (AGREEMENT,))
    sent: list[float] = []
    latencies: list[float] = []

    def listen(timeout_s: float) -> None:
        for event in subscriber.poll(timeout_s):
            arrived = time.perf_counter()
            if isinstance(event, AgreementEstimate) and event.application == APPLICATION:
                while len(latencies) < min(event.n_units, len(sent)):
                    latencies.append((arrived - sent[len(latencies)]) * 1000)

    begun = time.perf_counter()
    for number, task in enumerate(tasks):
        ratings = {task.candidates[0].candidate_id: {"accuracy": number % 2}}
        client.label(task, reviewer_id="first", ratings=ratings)
        sent.append(time.perf_counter())
        client.label(task, reviewer_id="second", ratings=ratings)
        while (left := begun + (number + 1) / rate - time.perf_counter()) > 0:
            listen(min(left, 0.002))
    until(lambda: listen(0.1), lambda: len(latencies) >= len(tasks))
    subscriber.close()
    return latencies[50:]


def throughput(settings: Settings, client: Client, burst: int) -> dict[str, Any]:
    """Return how fast a burst of traces, a tenth of them sampled, goes through sampler and sink; and how fast the client delivers it."""
    before = int(query(settings, "SELECT count() FROM traces").rows[0][0])
    begun = time.perf_counter()
    for number in range(burst):
        review = "yes" if number % 10 == 0 else "no"
        client.trace([{"role": "user", "content": f"burst {number} {TEXT}"}], TEXT, "bench", trace_id=f"burst-{number}", slices={"review": review})
    if client.flush(DEADLINE_S):
        raise SystemExit("the client did not deliver the burst in time")
    delivered = time.perf_counter() - begun
    marks: dict[str, float] = {}

    def look() -> None:
        for name, sql, wanted in (
            ("review_queue", "SELECT count() FROM review_queue WHERE startsWith(trace_id, 'burst-')", burst // 10),
            ("clickhouse", "SELECT count() FROM traces", before + burst),
        ):
            if name not in marks and int(query(settings, sql).rows[0][0]) >= wanted:
                marks[name] = time.perf_counter() - begun

    until(look, lambda: len(marks) == 2)
    return {
        "traces": burst,
        "client_delivers_per_s": round(burst / delivered),
        "sampled_and_stored_per_s": round(burst / marks["review_queue"]),
        "in_clickhouse_per_s": round(burst / marks["clickhouse"]),
    }


def until(act: Callable[[], None], done: Callable[[], bool]) -> None:
    """Act until done, or leave with an error at the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"not done within {DEADLINE_S:.0f} s; a worker may have stopped")
        act()


def summary(values: list[float]) -> dict[str, float]:
    """Return median and 99th percentile."""
    quantiles = statistics.quantiles(values, n=100)
    return {"n": len(values), "p50": round(quantiles[49], 1), "p99": round(quantiles[98], 1)}


def write(found: dict[str, Any], path: Path) -> None:
    """Print the figures and write them with machine and versions."""
    packages = ("trueloop", "faust-streaming", "confluent-kafka", "fastavro", "chdb")
    found["machine"] = {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
    found["versions"] = {name: version(name) for name in packages}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    json.dump(found, sys.stdout, indent=2)
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
