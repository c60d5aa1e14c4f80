"""`make bench-sink`: what a trace costs on its way from Kafka into the embedded ClickHouse, step by step and as a whole.

Each case runs in a process of its own that may use one core only, several times in turn; the broker has the other cores. CPU time is that of
the whole process, the engine's threads and the Kafka client's included. Traces have about 1 kB, and 2.6 kB with an embedding of 384 float32.
Prints medians and ratios, and writes bench/results/sink.{md,json} with machine and versions.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from machine import machine
from traces import Traces, fill

from trueloop.adapters.clickhouse.pending import MAX_ROWS
from trueloop.adapters.kafka_admin import ensure_topics
from trueloop.adapters.registry import connect
from trueloop.config import KafkaSettings, Settings, load_settings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.embedded.stack import loop_stack
from trueloop.topics import physical

HERE = Path(__file__).parent
CASES = {
    "consume": "records read, nothing decoded",
    "decode": "read, decoded singly by fastavro",
    "columns": "read, decoded together into Arrow",
    "avro": "bare insert of the records' own Avro",
    "arrow": "bare insert of Arrow (the limit)",
    "sink": "the sink, from Kafka to acknowledged",
}
INSERTING = ("avro", "arrow", "sink")
WITH_EMBEDDING = "with embedding"
GOAL_PER_S = 30_000
CORE = 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each case")
    parser.add_argument("--traces", type=int, default=200_000, help="traces per run, half as many of those with an embedding")
    parser.add_argument("--only", choices=CASES, help="run only this case")
    parser.add_argument("--out", type=Path, default=Path("bench/results/sink"))
    options = parser.parse_args()
    others = set(range(os.cpu_count() or 1)) - {CORE}
    if others:
        os.sched_setaffinity(0, others)  # the broker's processes inherit it
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="trueloop-bench-") as directory:
        state_dir = Path(directory)
        with EmbeddedRuntime(state_dir, replace(loop_stack(state_dir), workers=())):
            settings = load_settings(state_dir=state_dir)
            for name, records in (("1 kB", options.traces), (WITH_EMBEDDING, options.traces // 2)):
                found[name] = measure(settings, name, records, [options.only] if options.only else list(CASES), options.rounds)
    write(found, options.out)


def measure(settings: Settings, name: str, records: int, cases: list[str], rounds: int) -> dict[str, Any]:
    """Return the runs of each case. The cases take turns, so that what disturbs the machine disturbs all of them."""
    embedding = name == WITH_EMBEDDING
    prefix = "embedding." if embedding else "plain."
    kafka = KafkaSettings(**settings.kafka.model_dump() | {"topic_prefix": prefix})
    ensure_topics(kafka, physical())
    # More than a run reads: a case starts the clock with its second batch, and stops it with its last one, not with the end of the topic.
    filled = records + 3 * MAX_ROWS
    size = fill(kafka, connect(settings.registry), Traces(embedding=embedding), filled) / filled
    print(f"{name}: {records:,} traces per run, {size:.0f} bytes in the mean", flush=True)
    runs: dict[str, list[dict[str, float]]] = {case: [] for case in cases}
    for number in range(rounds):
        for case in cases:
            runs[case].append(run(settings, prefix, case, records))
            last = runs[case][-1]
            print(f"{number + 1}/{rounds} {CASES[case]:40s} {last['cpu_us']:7.2f} us CPU {last['wall_us']:7.2f} us wall", flush=True)
    return {"bytes": size, "records": records, "runs": runs}


def run(settings: Settings, prefix: str, case: str, records: int) -> dict[str, float]:
    """Run a case once."""
    environment = os.environ | {
        "BENCH_RECORDS": str(records), "BENCH_CORE": str(CORE), "TRUELOOP_STATE_DIR": str(settings.state_dir), "TRUELOOP_KAFKA__TOPIC_PREFIX": prefix,
        "TRUELOOP_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
    }  # fmt: skip
    command = [sys.executable, str(HERE / "cases" / "sink_steps.py"), case]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise SystemExit(f"{case} gave no result (exit code {done.returncode}):\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(lines[-1])
    return found


def write(found: dict[str, Any], out: Path) -> None:
    """Print the table and write it."""
    lines: list[str] = []
    for name, data in found.items():
        medians = {case: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for case, runs in data["runs"].items()}
        data["medians"] = medians
        lines += [f"**Traces, {name}** ({data['bytes']:.0f} bytes in the mean), per trace on one core", ""]
        lines += ["| | CPU us | and merges at rest, us | wall us | traces/s | MiB | runs: CPU us |", "|---|---:|---:|---:|---:|---:|---|"]
        for case, median in medians.items():
            merged = f"{median['merged_us']:.1f}" if case in INSERTING else ""
            each = ", ".join(f"{run['cpu_us']:.1f}" for run in data["runs"][case])
            speed = f"{median['wall_us']:.1f} | {1e6 / median['wall_us']:,.0f} | {median['rss_mib']:.0f}"
            lines.append(f"| {CASES[case]} | {median['cpu_us']:.1f} | {merged} | {speed} | {each} |")
        if "sink" in medians:
            per_s = 1e6 / medians["sink"]["wall_us"]
            lines += ["", f"The sink takes {per_s:,.0f} traces/s on one core; the goal is {GOAL_PER_S:,}: {'met' if per_s >= GOAL_PER_S else 'missed'}."]
        if {"sink", "arrow"} <= medians.keys():
            lines[-1] += f" Its CPU is {medians['sink']['cpu_us'] / medians['arrow']['cpu_us']:.2f} times that of the bare insert."
        lines.append("")
    text = "\n".join(lines)
    print(text)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".md").write_text(f"{text}\n{machine()}\n", encoding="utf-8")
    out.with_suffix(".json").write_text(json.dumps({"found": found, "machine": machine()}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
