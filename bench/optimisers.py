"""`make bench-optimisers`: what each method makes of the same labels, of which 0, 10 and 20 % are wrong.

The billing task of the demo: answers are sampled from its base model, compared by simulated reviewers of whom half are careless, and each method
trains on the labels of a seed. Every run is a process of its own, on one thread, and is remembered under build/optimisers: a bench that was
interrupted goes on. Prints means with standard errors over the seeds, and writes bench/results/optimisers.{md,json}.
"""

import argparse
import importlib
import json
import os
import time
import traceback
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from cases.optimiser import Cell
from optimiser_tables import page
from recipes import RECIPES

WORK = Path("build/optimisers")
OUT = Path(__file__).parent / "results" / "optimisers"
TRAINERS = ("sft", "dpo", "kto", "reward", "grpo", "rloo")
"""Of TRL, whose imports are not to be anybody's training time."""


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.2, 0.1], help="shares of wrong labels")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--methods", nargs="+", default=list(RECIPES), choices=list(RECIPES), metavar="METHOD", help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--hours", type=float, default=24.0, help="no run is begun after these")
    parser.add_argument("--tell", action="store_true", help="run nothing: write the tables of the runs that there are")
    options = parser.parse_args()
    (WORK / "cells").mkdir(parents=True, exist_ok=True)
    wanted = [("base", 0.0, seed) for seed in options.seeds]
    wanted += [(method, noise, seed) for seed, noise, method in product(options.seeds, options.noise, options.methods)]
    if not options.tell:
        run_all([Cell(*cell, WORK) for cell in wanted], until=time.monotonic() + 3600 * options.hours)
    tell()


def run_all(cells: list[Cell], until: float) -> None:
    """Run the cells that are not done, one after the other."""
    missing = [cell for cell in cells if not path_of(cell).exists()]
    print(f"{len(cells) - len(missing)} of {len(cells)} runs are done", flush=True)
    if missing:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        for name in TRAINERS:
            importlib.import_module(f"trl.trainer.{name}_trainer")
    for number, cell in enumerate(missing, start=1):
        if time.monotonic() > until:
            print(f"{len(missing) - number + 1} runs are left: start again to go on", flush=True)
            return
        begun = time.monotonic()
        process = get_context("fork").Process(target=run, args=(cell,))
        process.start()
        process.join()
        path = path_of(cell)
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        said = f"reward {found['reward']:.3f}, {found.get('cpu_s', 0):.0f} CPU s" if found else "FAILED"
        print(f"{number}/{len(missing)} {cell.method}, {cell.noise:.0%}, seed {cell.seed}: {said}, {time.monotonic() - begun:.0f} s", flush=True)


def run(cell: Cell) -> None:
    """Run a cell and write its figures, or print why it failed."""
    try:
        text = json.dumps(cell.figures())
    except Exception:  # the next cell is another method
        traceback.print_exc()
        return
    temporary = path_of(cell).with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.rename(path_of(cell))


def path_of(cell: Cell) -> Path:
    """Return where the figures of a cell are."""
    return WORK / "cells" / f"{cell.method.replace(' ', '_')}-{cell.noise}-{cell.seed}.json"


def tell() -> None:
    """Print and write the tables of all runs that are done."""
    order = {method: place for place, method in enumerate(("base", *RECIPES))}
    runs: list[dict[str, Any]] = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((WORK / "cells").glob("*.json"))]
    runs.sort(key=lambda each: (order.get(each["method"], len(order)), each["noise"], each["seed"]))
    text = page(runs)
    print(text)
    OUT.with_suffix(".md").write_text(text, encoding="utf-8")
    OUT.with_suffix(".json").write_text(json.dumps({"runs": runs}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
