"""`make bench-stream`: what a trace costs in the stream workers, beside the clients and frameworks that others would use.

The same traces of about 1 kB, on the same real broker, are read by each case in a process of its own, several times in turn; CPU time is that
of the whole process, its threads included, from the first record to the last. Prints medians and ratios, and writes
bench/results/stream.{md,json} with machine and versions.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient
from machine import machine
from traces import Traces, fill

from trueloop.adapters.publication import Documents
from trueloop.adapters.registry import connect
from trueloop.config import Settings, load_settings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.embedded.stack import loop_stack
from trueloop.rubrics import Policy, Rubric

HERE = Path(__file__).parent
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


@dataclass(frozen=True)
class Case:
    """A case: the file that runs it, its mode, how many records it reads (slow ones fewer), whether it runs among Quix Streams' packages."""

    name: str
    script: str
    mode: str
    records: int
    peers: bool = False


CASES = (
    Case("client alone, nothing decoded (the limit)", "raw", "bytes", 250_000),
    Case("client alone, fastavro", "raw", "decode", 250_000),
    Case("stock Faust, identity", "stock_faust", "identity", 30_000),
    Case("stock Faust, full trace path", "stock_faust", "full", 30_000),
    Case("Quix Streams, identity", "quix", "identity", 100_000, peers=True),
    Case("Quix Streams, sampling", "quix", "sampling", 100_000, peers=True),
    Case("Trueloop, identity", "ours", "identity", 250_000),
    Case("Trueloop, sampling", "ours", "sampling", 250_000),
    Case("Trueloop, full trace path", "ours", "full", 250_000),
)
GOALS = (
    ("full trace path against stock Faust", "stock Faust, full trace path", "Trueloop, full trace path", 10.0, True),
    ("sampling against Quix Streams", "Quix Streams, sampling", "Trueloop, sampling", 1.3, True),
    ("full trace path against the client alone", "Trueloop, full trace path", "client alone, nothing decoded (the limit)", 4.0, False),
)
"""Name, numerator, denominator, goal, and whether the ratio should be at least the goal (else at most)."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each case")
    parser.add_argument("--rate", type=float, default=0.02, help="share of the traces that is sampled")
    parser.add_argument("--only", default="", help="run only the cases whose name contains this")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the records to read")
    parser.add_argument("--peers", type=Path, default=Path("build/peers/bin/python"), help="Python of the environment that has Quix Streams")
    parser.add_argument("--out", type=Path, default=Path("bench/results/stream"))
    options = parser.parse_args()
    cases = [replace(case, records=int(case.records * options.scale)) for case in CASES if options.only in case.name]
    with tempfile.TemporaryDirectory(prefix="trueloop-bench-") as directory:
        state_dir = Path(directory)
        with EmbeddedRuntime(state_dir, replace(loop_stack(state_dir), workers=())):
            settings = load_settings(state_dir=state_dir)
            prepare(settings, options.rate, max(case.records for case in cases))
            found = dict(measure(settings, cases, options.rounds, options.rate, options.peers))
    write(found, options.rate, options.out)


def prepare(settings: Settings, rate: float, records: int) -> None:
    """Publish the policy and put the traces on their topic."""
    documents = Documents(settings)
    documents.publish_rubric(RUBRIC, datetime(2026, 1, 1, tzinfo=UTC))
    policy = {
        "id": "bench", "version": 1, "application": APPLICATION, "rubric": {"id": "bench", "version": 1},
        "sampling": {"rate": rate, "calibration_share": 0.0}, "drift": {"slices": ["locale"]},
        "gate": {"dimensions": [{"dimension": "accuracy", "evaluator": "check:none"}]},
    }  # fmt: skip
    documents.publish_policy(Policy.model_validate(policy), datetime(2026, 1, 1, tzinfo=UTC))
    # A tenth more: a case stops the clock with its last record, not with the end of the topic.
    size = fill(settings.kafka, connect(settings.registry), Traces(application=APPLICATION), int(records * 1.1) + 5000)
    print(f"{int(records * 1.1) + 5000:,} traces of {size / (records * 1.1 + 5000):.0f} bytes in the mean", flush=True)


def measure(settings: Settings, cases: list[Case], rounds: int, rate: float, peers: Path) -> Iterator[tuple[str, list[dict[str, float]]]]:
    """Yield the results of each case. The cases take turns, so that what disturbs the machine disturbs all of them."""
    results: dict[str, list[dict[str, float]]] = {case.name: [] for case in cases}
    for number in range(rounds):
        for case in cases:
            found = run(settings, case, rate, peers)
            results[case.name].append(found)
            print(f"round {number + 1}/{rounds}  {case.name:45s} {found['cpu_us']:7.2f} us CPU  {found['wall_us']:7.2f} us wall", flush=True)
    yield from results.items()


def run(settings: Settings, case: Case, rate: float, peers: Path) -> dict[str, float]:
    """Run a case once."""
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    ours = [group for group in ("trueloop-sampling", "bench-identity") if case.script == "ours"]
    if ours:
        for future in admin.delete_consumer_groups(ours).values():
            future.exception()  # that there is none is well
    environment = os.environ | {
        "BENCH_BOOTSTRAP": settings.kafka.bootstrap_servers, "BENCH_TOPIC": "traces", "BENCH_RECORDS": str(case.records), "BENCH_RATE": str(rate),
        "BENCH_SCHEMA": str(HERE.parent / "schemas" / "trace.avsc"), "TRUELOOP_STATE_DIR": str(settings.state_dir),
        "TRUELOOP_BLINDING_KEY": "bench",
    }  # fmt: skip
    python = str(peers) if case.peers else sys.executable
    command = [python, str(HERE / "cases" / f"{case.script}.py"), case.mode]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"{case.name} gave no result (exit code {done.returncode}):\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(lines[-1])
    return found


def write(found: dict[str, list[dict[str, float]]], rate: float, out: Path) -> None:
    """Print the table and write it."""
    medians = {name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in found.items()}
    lines = [f"| per trace, {rate:.0%} sampled | CPU us | wall us | runs: CPU us |", "|---|---:|---:|---|"]
    for name, median in medians.items():
        runs = ", ".join(f"{run['cpu_us']:.1f}" for run in found[name])
        lines.append(f"| {name} | {median['cpu_us']:.2f} | {median['wall_us']:.2f} | {runs} |")
    lines += ["", "| ratio of the medians of CPU time | | goal |", "|---|---:|---:|"]
    ratios: dict[str, Any] = {}
    for name, above, below, goal, at_least in GOALS:
        if above in medians and below in medians:
            ratios[name] = medians[above]["cpu_us"] / medians[below]["cpu_us"]
            lines.append(f"| {name} | {ratios[name]:.2f} | {'>=' if at_least else '<='} {goal:g} |")
    text = "\n".join(lines)
    print(text)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".md").write_text(f"{text}\n\n{machine()}\n", encoding="utf-8")
    out.with_suffix(".json").write_text(json.dumps({"rate": rate, "runs": found, "ratios": ratios, "machine": machine()}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
