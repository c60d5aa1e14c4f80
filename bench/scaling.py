"""`make bench-scaling`: two stream workers beside one, and the memory of a worker over millions of traces.

The full trace path, each worker held to a core of its own, over a topic that is filled beforehand. Rates are taken while all workers of a run are
at work. The broker needs the same cores: what it takes is missing from the second worker. Prints, and writes bench/results/scaling.{md,json}.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from machine import machine
from stream import APPLICATION, HERE, prepare
from traces import Traces

from trueloop.adapters.kafka import producer_config
from trueloop.adapters.registry import connect
from trueloop.config import Settings, load_settings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.embedded.stack import loop_stack

SETTLED_S = 1.0
"""Seconds that a run needs to find its pace: the group, the first fetches, the look at the policies."""
DEADLINE_S = 900.0
Point = tuple[float, int, float]
"""Time, traces so far, resident MiB."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs with one and with two workers")
    parser.add_argument("--records", type=int, default=1_500_000, help="traces of each run")
    parser.add_argument("--soak", type=int, default=5_000_000, help="traces of the memory run")
    parser.add_argument("--out", type=Path, default=Path("bench/results/scaling"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trueloop-bench-") as directory:
        state_dir = Path(directory)
        with EmbeddedRuntime(state_dir, replace(loop_stack(state_dir), workers=())):
            settings = load_settings(state_dir=state_dir)
            prepare(settings, 0.02, options.records)
            rates: dict[int, list[float]] = {1: [], 2: []}
            for number in range(options.rounds):
                for workers, found in rates.items():
                    found.append(rate(work(settings, workers, options.records)))
                    print(f"round {number + 1}/{options.rounds}: {workers} worker(s) {found[-1]:,.0f} traces/s", flush=True)
            memory = soak(settings, options.soak, options.records)
    write(rates, memory, options.out)


def work(settings: Settings, workers: int, records: int) -> list[list[Point]]:
    """Run workers over the topic; return what each noted."""
    forget_offsets(settings)
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        trails = [Path(directory) / str(core) for core in range(workers)]
        running = [stack.enter_context(start(settings, core, trail, records)) for core, trail in enumerate(trails)]
        stack.callback(lambda: [process.kill() for process in running])
        deadline = time.monotonic() + DEADLINE_S
        while sum(points[-1][1] for points in map(read, trails) if points) < records and time.monotonic() < deadline:
            if all(process.poll() is not None for process in running):
                break
            time.sleep(0.1)
        return [read(trail) for trail in trails]


def start(settings: Settings, core: int, trail: Path, records: int) -> subprocess.Popen[bytes]:
    """Start a worker on a core."""
    environment = os.environ | {
        "BENCH_TOPIC": "traces", "BENCH_RECORDS": str(records), "BENCH_TRAIL": str(trail), "BENCH_CORE": str(core % (os.cpu_count() or 1)),
        "TRUELOOP_STATE_DIR": str(settings.state_dir), "TRUELOOP_BLINDING_KEY": "bench",
    }  # fmt: skip
    return subprocess.Popen([sys.executable, str(HERE / "cases" / "ours.py"), "full"], env=environment, stdout=subprocess.DEVNULL)


def forget_offsets(settings: Settings) -> None:
    """Make the next run begin at the beginning."""
    # Kept in a variable: its futures end with it.
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        (future,) = admin.delete_consumer_groups(["trueloop-sampling"]).values()
        error = future.exception()
        # A group lives until its killed members' sessions end.
        if error is None or "NON_EMPTY" not in str(error):
            return
        time.sleep(0.5)


def read(trail: Path) -> list[Point]:
    """Return what a worker noted so far."""
    if not trail.exists():
        return []
    lines = [line.split() for line in trail.read_text().splitlines()]
    return [(float(line[0]), int(line[1]), float(line[2])) for line in lines if len(line) == 3]


def rate(trails: list[list[Point]]) -> float:
    """Return traces per second of all workers together, while all were at work."""
    begin = max(points[0][0] for points in trails) + SETTLED_S
    end = min(points[-1][0] for points in trails)
    total = 0.0
    for points in trails:
        inside = [point for point in points if begin <= point[0] <= end]
        if len(inside) < 2:
            raise SystemExit("the workers were at work together too shortly to be measured; ask for more with --records")
        total += (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])
    return total


def soak(settings: Settings, records: int, filled: int) -> dict[str, Any]:
    """Return the memory of a worker over many traces. Those on the topic are sent again and again: the sampler keeps no state that could tell."""
    forget_offsets(settings)
    codec, traces = connect(settings.registry), Traces(application=APPLICATION)
    pool = list(traces.records(codec, 50_000))
    producer = Producer(producer_config(settings.kafka) | {"linger.ms": 50, "queue.buffering.max.messages": 200_000})
    with tempfile.TemporaryDirectory() as directory:
        trail = Path(directory) / "soak"
        with start(settings, 1, trail, records) as worker:
            sent, told = filled, 0
            while worker.poll() is None:
                seen = read(trail)[-1][1] if read(trail) else 0
                if seen - told >= 500_000:
                    told = seen
                    print(f"soak: {seen:,} of {records:,} traces, {read(trail)[-1][2]:.0f} MiB", flush=True)
                if sent - seen < 300_000 and sent < records + 50_000:
                    for key, value in pool:
                        producer.produce("traces", value, key)
                        producer.poll(0)
                    producer.flush(60)
                    sent += len(pool)
                else:
                    time.sleep(0.2)
        points = read(trail)
    # The first tenth is warm-up: imports, caches and buffers that fill once.
    steady = [resident for _, seen, resident in points if seen >= records / 10]
    middle = statistics.median(steady)
    return {
        "traces": points[-1][1],
        "traces_per_s": round(points[-1][1] / (points[-1][0] - points[0][0])),
        "median_mib": round(middle, 1),
        "lowest": round(min(steady) / middle - 1, 4),
        "highest": round(max(steady) / middle - 1, 4),
        "last_fifth_against_second": round(statistics.median(steady[-len(steady) // 5 :]) / statistics.median(steady[: len(steady) // 5]) - 1, 4),
    }


def write(rates: dict[int, list[float]], memory: dict[str, Any], out: Path) -> None:
    """Print the table and write it."""
    one, two = statistics.median(rates[1]), statistics.median(rates[2])
    lines = [
        "| full trace path | | |",
        "|---|---:|---|",
        f"| one worker on one core | {one:,.0f} traces/s | runs: {', '.join(f'{value:,.0f}' for value in rates[1])} |",
        f"| two workers on two cores, the broker on the same | {two:,.0f} traces/s | runs: {', '.join(f'{value:,.0f}' for value in rates[2])} |",
        f"| ratio (goal >= 1.7) | {two / one:.2f} | |",
        f"| resident memory over {memory['traces']:,} traces (goal within 5 %) | {memory['median_mib']:.0f} MiB | "
        f"{memory['lowest']:+.1%} to {memory['highest']:+.1%}, last fifth against the first {memory['last_fifth_against_second']:+.1%} |",
    ]
    text = "\n".join(lines)
    print(text)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".md").write_text(f"{text}\n\n{machine()}\n", encoding="utf-8")
    found = {"rates": rates, "ratio": two / one, "memory": memory, "machine": machine()}
    out.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
