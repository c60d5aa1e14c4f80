"""`make bench-gates`: what the shipped billing-support gate lets pass and blocks, of 2,000 simulated candidates per cell whose truth is known.

Prints, and writes bench/results/gates.md and gates.json. Everything is simulated through the functions that decide, with one seed.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine  # the script runs from this folder
from numpy.random import Generator
from scipy import stats

from trueloop.adapters.documents import load_policy, load_rubric
from trueloop.gates.assumptions import Assumptions
from trueloop.gates.intervals import z_of
from trueloop.gates.judge import judge
from trueloop.gates.looks import Look
from trueloop.gates.operating import Scenario, assumed_baseline, simulated, simulated_evidence
from trueloop.gates.requirements import Evidence, Unit, requirements
from trueloop.gates.score_statistics import floor_statistic, tango_statistic, upper_tail
from trueloop.rubrics import Policy

SIMULATIONS, SEED = 2000, 20261121
SIZES = (200, 500, 1000, 2000, 4000)
RUBRIC = load_rubric("billing-support")
SHIPPED = load_policy("billing-support")
EVALUATORS = {gate.dimension: gate.evaluator for gate in SHIPPED.gate.dimensions}
DIMENSIONS = tuple(EVALUATORS)
BASELINE = assumed_baseline(SHIPPED, RUBRIC)
MARGIN, BETTER = 0.02, 0.02
HARDEST = dict.fromkeys(DIMENSIONS, 0.9999) | {"tone": 0.94}
"""Nothing but tone can stop a candidate: where the chance to pass one that is worse on tone is largest."""
Cell = tuple[int, int]
"""How often it happened, of how many."""


def policy(error_over: str) -> Policy:
    return SHIPPED.model_copy(update={"gate": SHIPPED.gate.model_copy(update={"error_over": error_over})})


def one_look(random: Generator) -> list[dict[str, Any]]:
    """Return what one look passes and blocks, by n: with the whole error, and with what a family leaves to its first look."""
    usual = Assumptions(BASELINE)
    cases: Mapping[str, tuple[Assumptions, Scenario]] = {
        "worse by the margin, least favourable": (Assumptions(HARDEST), Scenario("", {"tone": -MARGIN})),
        "worse by the margin on tone": (usual, Scenario("", {"tone": -MARGIN})),
        "identical": (usual, Scenario("")),
        "better by 0.02": (usual, Scenario("", dict.fromkeys(DIMENSIONS, BETTER))),
        "worse by three margins on tone": (usual, Scenario("", {"tone": -3 * MARGIN})),
    }
    rows = []
    for error_over in ("look", "family"):
        governed = policy(error_over)
        for name, (assumed, scenario) in cases.items():
            for n in SIZES:
                look = Look.numbered(governed.gate, 1)
                found = simulated(governed, RUBRIC, assumed, scenario, n=n, simulations=SIMULATIONS, look=look, random=random)
                cells = {"pass": (int(found.passed.sum()), SIMULATIONS), "block": (int(found.blocked.sum()), SIMULATIONS)}
                rows.append({"error_over": error_over, "alpha": look.alpha, "candidate": name, "n": n} | cells)
    return rows


def point_estimates(random: Generator) -> list[dict[str, Any]]:
    """Return what a gate passes that compares estimates with limits and knows no error."""
    rows = []
    for name, shifts in (("worse by two margins on tone", {"tone": -2 * MARGIN}), ("identical", {})):
        for n in (100, *SIZES):
            evidence = simulated_evidence(SHIPPED, Assumptions(BASELINE), Scenario("", shifts), n=n, simulations=SIMULATIONS, random=random)
            found = judge(requirements(SHIPPED, RUBRIC, evidence), evidence, 0.5, 1)
            rows.append({"candidate": name, "n": n, "pass": (int((found.statistics >= 0).all(axis=1).sum()), SIMULATIONS)})
    return rows


def successive(random: Generator, candidates: int = 20, n: int = 1000) -> list[dict[str, Any]]:
    """Return how often any of many candidates passes that all answer the same items as one baseline: all worse, or the last one better."""
    rows = []
    for error_over in ("look", "family"):
        governed = policy(error_over)
        passed = np.zeros((candidates, SIMULATIONS), dtype=bool)
        right = {name: random.binomial(n, mean, SIMULATIONS) for name, mean in HARDEST.items()}
        for number in range(candidates):
            evidence = {
                (name, "all", EVALUATORS[name]): answered(random, right[name], n, HARDEST[name], -MARGIN if name == "tone" else 0.0) for name in DIMENSIONS
            }
            look = Look.numbered(governed.gate, number + 1)
            passed[number] = judge(requirements(governed, RUBRIC, evidence), evidence, look.alpha, governed.gate.min_items).passed
        rows += [
            {"error_over": error_over, "looks": looks, "any_pass": (int(passed[:looks].any(axis=0).sum()), SIMULATIONS)} for looks in (1, 2, 5, 10, candidates)
        ]
    return rows


def answered(random: Generator, right: Any, n: int, baseline: float, shift: float) -> Evidence:
    """Return a candidate's scores beside those of a baseline that got `right` of n items right, correlated as `Assumptions` says."""
    candidate = baseline + shift
    both = min(candidate * baseline + 0.5 * sqrt(candidate * (1 - candidate) * baseline * (1 - baseline)), candidate, baseline)
    also = random.binomial(right, both / baseline).astype(float)
    only = random.binomial(n - right, (candidate - both) / (1 - baseline)).astype(float)
    return Evidence.of_tables(also, only, right - also, np.full(len(right), float(n)))


def growing(random: Generator, looks: int = 10, step: int = 200) -> list[dict[str, Any]]:
    """Return how often a candidate has passed or been blocked when it is looked at again with 200 more items each time."""
    cases = {
        "worse by the margin, least favourable": (HARDEST, {"tone": -MARGIN}),
        "identical": (BASELINE, {}),
        "better by 0.02": (BASELINE, dict.fromkeys(DIMENSIONS, BETTER)),
    }
    rows = []
    for error_over in ("look", "family"):
        governed = policy(error_over)
        for name, (baseline, shifts) in cases.items():
            passed, blocked = np.zeros((2, SIMULATIONS), dtype=bool)
            items: dict[Unit, Evidence] = {}
            for number in range(1, looks + 1):
                more = simulated_evidence(governed, Assumptions(baseline), Scenario("", shifts), n=step, simulations=SIMULATIONS, random=random)
                items = {unit: together(items.get(unit), found) for unit, found in more.items()}
                alpha = Look.numbered(governed.gate, number).alpha
                found = judge(requirements(governed, RUBRIC, items), items, alpha, governed.gate.min_items)
                undecided = ~passed & ~blocked
                passed |= found.passed & undecided
                blocked |= found.blocked & undecided
                if number in (1, 2, 5, looks):
                    counts = {"pass": (int(passed.sum()), SIMULATIONS), "block": (int(blocked.sum()), SIMULATIONS)}
                    rows.append({"error_over": error_over, "candidate": name, "looks": number, "n": number * step} | counts)
    return rows


def together(known: Evidence | None, more: Evidence) -> Evidence:
    if known is None:
        return more
    both = known.products + more.products
    return Evidence.of_tables(both, known.candidate + more.candidate - both, known.baseline + more.baseline - both, known.n + more.n)


def corrected(random: Generator, n: int = 4000) -> list[dict[str, Any]]:
    """Return how often a candidate is blocked that meets every requirement by nothing: one look, the whole error, by the number of slices."""
    rows = []
    governed = policy("look")
    on_floors = {gate.dimension: RUBRIC.dimension(gate.dimension).floor + MARGIN for gate in governed.gate.dimensions}  # type: ignore[union-attr, operator]
    for slices in (0, 2, 6):
        assumed = Assumptions(on_floors, slices={f"part={number}": 1 / 6 for number in range(slices)})
        scenario = Scenario("", dict.fromkeys(DIMENSIONS, -MARGIN))
        evidence = simulated_evidence(governed, assumed, scenario, n=n, simulations=SIMULATIONS, random=random)
        required = requirements(governed, RUBRIC, evidence)
        found = judge(required, evidence, 0.05, governed.gate.min_items)
        without = (upper_tail(-found.statistics) <= 0.05).any(axis=1)
        rows.append({"tests": len(required), "with_holm": (int(found.blocked.sum()), SIMULATIONS), "without": (int(without.sum()), SIMULATIONS)})
    return rows


def exact() -> list[dict[str, Any]]:
    """Return the true chances of the two score tests at their limits, over the exact distributions, as multiples of the stated error."""
    rows = []
    for alpha in (0.05, 0.025, 0.0025):
        z = z_of(1 - alpha)
        for name, chances in (("floor (Wilson)", _floors), ("regression (Tango)", _regressions)):
            found = [(both[0] / alpha, both[1] / alpha) for both in chances(z)]
            passing, blocking = zip(*found, strict=True)
            rows.append({"test": name, "alpha": alpha, "pass": (min(passing), max(passing)), "block": (min(blocking), max(blocking))})
    return rows


def _floors(z: float) -> list[tuple[float, float]]:
    found = []
    for n in (200, 500, 1000, 2000):
        for floor in (0.88, 0.95):
            hits = np.arange(n + 1)
            statistic, chance = floor_statistic(hits / n, n, floor), stats.binom.pmf(hits, n, floor)
            found.append((chance[statistic >= z].sum(), chance[statistic <= -z].sum()))
    return found


def _regressions(z: float) -> list[tuple[float, float]]:
    found = []
    for n in (200, 500, 1000, 2000):
        for discordant in (0.022, 0.04, 0.1):
            gained, lost = (discordant - MARGIN) / 2, (discordant + MARGIN) / 2
            most = [int(n * share + 12 * sqrt(n * share) + 12) for share in (gained, lost)]
            b, c = np.meshgrid(np.arange(min(most[0], n)), np.arange(min(most[1], n)), indexing="ij")
            possible = b + c <= n
            b, c = b[possible], c[possible]
            chance = stats.multinomial.pmf(np.stack([b, c, n - b - c], axis=-1), n, [gained, lost, 1 - gained - lost])
            statistic = tango_statistic(b, c, n, -MARGIN)
            found.append((chance[statistic >= z].sum(), chance[statistic <= -z].sum()))
    return found


def percent(cell: Cell) -> str:
    share = cell[0] / cell[1]
    return f"{100 * share:.1f} ± {100 * sqrt(share * (1 - share) / cell[1]):.1f}"


def table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def wide(rows: list[dict[str, Any]], keys: tuple[str, ...], across: str, value: Callable[[dict[str, Any]], str]) -> str:
    """One line per combination of `keys`, one column per value of `across`."""
    heads = list(dict.fromkeys(row[across] for row in rows))
    lines: dict[tuple[Any, ...], dict[Any, str]] = {}
    for row in rows:
        lines.setdefault(tuple(row[key] for key in keys), {})[row[across]] = value(row)
    columns = [*keys, *(f"{across} = {head:,}" for head in heads)]
    return table(columns, [[*map(str, key), *(cells.get(head, "") for head in heads)] for key, cells in lines.items()])


def page(found: dict[str, Any], seconds: float) -> str:
    means = ", ".join(f"{name} {mean:g}" for name, mean in BASELINE.items())
    judged = [row for row in found["one_look"] if row["candidate"] != "worse by three margins on tone"]
    blocks = [row for row in found["one_look"] if row["candidate"] in ("identical", "worse by three margins on tone")]
    holm_rows = [[str(row["tests"]), percent(row["without"]), percent(row["with_holm"])] for row in found["corrected"]]
    exact_rows = [[row["test"], f"{row['alpha']:g}", *(f"{low:.2f} to {high:.2f}" for low, high in (row["pass"], row["block"]))] for row in found["exact"]]
    return f"""# Gates

{machine()}; {SIMULATIONS:,} simulated candidates per cell, seed {SEED}, {seconds:.0f} s in all.

The shipped `billing-support` policy: three dimensions with floors 0.95, 0.92 and 0.88, largest regression 0.02, error 5 %. Truth of the serving
model, unless said otherwise: {means}; scores of the two models
on an item correlate by 0.5. Shares in per cent ± standard error. "look": each look has the whole 5 %; "family": all looks together have, and the
first takes 2.5 %. Least favourable: the other dimensions are certain to pass. Of the many cells whose truth is just below 5 %, some come out above
it; the last table has the exact chances.

## Passed at one look, by n

{wide(judged, ("error_over", "candidate"), "n", lambda row: percent(row["pass"]))}

## Blocked at one look, by n

{wide(blocks, ("error_over", "candidate"), "n", lambda row: percent(row["block"]))}

## Passed by a gate that compares estimates and knows no error, by n

{wide(found["point_estimates"], ("candidate",), "n", lambda row: percent(row["pass"]))}

## Any of many candidates passes, all of them worse by the margin (least favourable), on the same 1,000 items

{wide(found["successive"], ("error_over",), "looks", lambda row: percent(row["any_pass"]))}

## One candidate, looked at again with 200 more items each time: passed so far

{wide(found["growing"], ("error_over", "candidate"), "n", lambda row: percent(row["pass"]))}

Blocked so far:

{wide([row for row in found["growing"] if row["candidate"] != "better by 0.02"], ("error_over", "candidate"), "n", lambda row: percent(row["block"]))}

## A candidate that meets every requirement by nothing is blocked (n = 4,000, one look, 5 %)

{table(["tests", "each at 5 %", "Holm"], holm_rows)}

## True error over stated error of the score tests at their limits

Exact distributions; floors 0.88 and 0.95, margin 0.02 with 2.2 % to 10 % discordant items, n from 200 to 2,000.

{table(["test", "stated error", "passing", "blocking"], exact_rows)}
"""


def main() -> None:
    """Simulate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gates")
    options = parser.parse_args()
    begun, random = time.monotonic(), np.random.default_rng(SEED)
    found = {
        "one_look": one_look(random),
        "point_estimates": point_estimates(random),
        "successive": successive(random),
        "growing": growing(random),
        "corrected": corrected(random),
        "exact": exact(),
    }
    text = page(found, time.monotonic() - begun)
    print(text)
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    options.out.with_suffix(".json").write_text(json.dumps({"machine": machine(), "seed": SEED, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
