"""`make bench-optimisers`: what each method makes of the same pairs, with 0, 10 and 20 % of the labels turned round.

The billing task of the demo: answers are sampled from its base model, compared by simulated reviewers of whom half are careless, and each method
trains on the same pairs of a seed. Every run is a process of its own, on one thread, and is remembered under build/optimisers: a bench that was
interrupted goes on. Prints means with standard errors over the seeds, and writes bench/results/optimisers.{md,json}.
"""

import argparse
import json
import math
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from machine import machine
from recipes import RECIPES

WORK = Path("build/optimisers")
OUT = Path("bench/results/optimisers")
FIGURES = ("numeric_accuracy", "policy", "tone", "reward", "win_rate", "cpu_s", "reward_cpu_s")


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.1, 0.2], help="shares of turned labels")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--methods", nargs="+", default=list(RECIPES), choices=list(RECIPES), metavar="METHOD", help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--processes", type=int, default=2, help="runs at a time")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:  # what runs of a seed share, before they run beside each other
        run("base", 0.0, seed)
    cells = list(product(options.seeds, options.noise, options.methods))
    with ThreadPoolExecutor(options.processes) as pool:
        found = [each for each in pool.map(lambda cell: run(cell[2], cell[1], cell[0]), cells) if each is not None]
    write([run("base", 0.0, options.seeds[0]) or {}, *found])


def run(method: str, noise: float, seed: int) -> dict[str, Any] | None:
    """Return the figures of a run, from its file if there is one; None when it failed, which is told."""
    path = WORK / f"{method.replace(' ', '_')}-{noise}-{seed}.json"
    if not path.exists():
        command = [sys.executable, "bench/cases/optimiser.py", method, str(noise), str(seed), str(WORK)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or not lines:
            print(f"{method}, {noise:.0%}, seed {seed} FAILED:\n{done.stderr[-1500:]}", flush=True)
            return None
        path.write_text(lines[-1], encoding="utf-8")
        figures = json.loads(lines[-1])
        print(f"{method}, {noise:.0%}, seed {seed}: reward {figures['reward']:.3f}, {figures.get('cpu_s', 0):.0f} CPU s", flush=True)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write(runs: list[dict[str, Any]]) -> None:
    """Print the table and write it."""
    cells: dict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)
    for each in runs:
        cells[each["method"], each["noise"]].append(each)
    lines = ["| method | labels turned | seeds | amounts right | policy kept | tone | mean reward | win rate | CPU s | of it reward models |",
             "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    for (method, noise), found in cells.items():
        row = [" ".join(_told([each[name] for each in found if name in each], name)) for name in FIGURES]
        lines.append(f"| {method} | {noise:.0%} | {len(found)} | " + " | ".join(row) + " |")
    text = (
        "\n".join(lines)
        + "\n\n± one standard error over the seeds. Win rate: share of held-out prompts on which more dimensions are right than in the\nbase model's answer, ties half. CPU s are those of the last training; reward models cost the other column on top.\n"
    )
    print(text)
    OUT.with_suffix(".md").write_text(f"{text}\n{machine()}\n", encoding="utf-8")
    OUT.with_suffix(".json").write_text(json.dumps({"runs": runs, "machine": machine()}, indent=1) + "\n", encoding="utf-8")


def _told(values: list[float], name: str) -> list[str]:
    if not values:
        return ["-"]
    digits = 0 if name.endswith("_s") else 3
    told = [f"{fmean(values):.{digits}f}"]
    if len(values) > 1 and digits:
        told.append(f"± {stdev(values) / math.sqrt(len(values)):.{digits}f}")
    return told


if __name__ == "__main__":
    main()
