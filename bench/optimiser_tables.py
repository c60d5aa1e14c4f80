"""The tables of the optimisers' benchmark: means with standard errors over the seeds, and differences that are paired by seed."""

from collections.abc import Callable, Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Any, NamedTuple

from machine import TRAINING, machine
from recipes import NOISES, RECIPES, SEEDS
from scipy import stats

Run = dict[str, Any]
SHARES = {"numeric_accuracy": "amounts right", "policy": "policy kept", "tone": "tone", "reward": "mean of the three", "win_rate": "preferred to base's"}
COSTS = {"cpu_s": "CPU s", "reward_cpu_s": "of reward models, CPU s"}
DPO, SURE, EVENLY, MPO, PPO = "DPO", "DPO, confidence per pair", "DPO, one confidence for all", "MPO", "RM + PPO"
NO, MOST = 0.0, 0.2
Term = tuple[int, str, float]
"""Sign, method and share of wrong labels."""


class Difference(NamedTuple):
    """The mean of a sum of signed figures over the seeds that have them all, its standard error and its 95 % interval by Student's t."""

    mean: float
    error: float
    low: float
    high: float
    seeds: int

    @property
    def verdict(self) -> str:
        """What the interval carries."""
        return "it is higher" if self.low > 0 else "it is lower" if self.high < 0 else "not shown either way: the interval holds 0"

    @property
    def answer(self) -> str:
        """The answer to the question whether it is above 0."""
        return "Yes" if self.low > 0 else "No, it is the other way round" if self.high < 0 else "Not shown"

    def __str__(self) -> str:
        return f"{self.mean:+.3f} ± {self.error:.3f} ({self.low:+.3f} to {self.high:+.3f})"


def difference(runs: Sequence[Run], figure: str, terms: Sequence[Term]) -> Difference | None:
    """Return the difference paired by seed; None with fewer than two seeds."""
    known = {(run["method"], run["noise"], run["seed"]): run[figure] for run in runs}
    seeds = sorted({run["seed"] for run in runs})
    found = [
        sum(sign * known[method, noise, seed] for sign, method, noise in terms)
        for seed in seeds
        if all((method, noise, seed) in known for _, method, noise in terms)
    ]
    if len(found) < 2:
        return None
    mean, error = fmean(found), stdev(found) / sqrt(len(found))
    width = float(stats.t.ppf(0.975, len(found) - 1)) * error
    return Difference(mean, error, mean - width, mean + width, len(found))


def page(runs: Sequence[Run]) -> str:
    """Return the page of all runs."""
    return "\n\n".join((_HEAD, _methods(runs), _NOTES, _questions(runs), _costs_of_noise(runs), _times(runs), _missing(runs), machine(*TRAINING))) + "\n"


_HEAD = """# Optimisers on the same labels, of which some are wrong

By `make bench-optimisers`. The billing task of the demo, its base model of 0.6 M parameters, one thread. Each seed has its own 500 training prompts with
four sampled answers each, its own reviewers, and its own 300 prompts to be scored on, of which none is trained on; all methods of a seed have the same
of each. A pair is ordered by one of ten reviewers; half of them are wrong in 0.2 times the stated share, half in 1.8 times. How sure a pair's order
is comes from the product's own model of reviewers, which knows 40 answered tasks of each and all labels, never the truth."""

_NOTES = """± one standard error over the seeds. "Preferred to base's": held-out prompts on which the rubric's net-win rule finds the answer better than the
base model's, ties half. CPU s: training alone, without loading libraries; the reward models of a seed are trained once, and what a method needs of them
stands in the last column. Settings: `bench/recipes.py`, nothing was tuned per cell. The methods that sample their own completions take 8 of each prompt.
Reward models get three epochs, since one had proved too short on training prompts; no run with one epoch is in the table.

Two methods learn from more than an order of two answers, so they stand beside the others and not against them. **constitutional**: critic and judge are a
script that reads the prompt. It heeds the one principle that it is asked by, and is wrong in the stated share of its revisions and of its comparisons. No
label is trained on. **lamarckian**: a reviewer edits the base model's first answer, dimension by dimension, and misjudges a dimension in the reviewer's
share: there are three chances per answer to err. It learns from what was changed alone, so where right answers are spoilt by mistake, nothing speaks for
them."""


def _methods(runs: Sequence[Run]) -> str:
    heads = ["method", "wrong labels", "seeds", *SHARES.values(), *COSTS.values()]
    rows = []
    for method, noise in dict.fromkeys((run["method"], run["noise"]) for run in runs):
        found = [run for run in runs if (run["method"], run["noise"]) == (method, noise)]
        shares = [_told([run[name] for run in found], 3) for name in SHARES]
        costs = [_told([run[name] for run in found if name in run], 0) for name in COSTS]
        rows.append([method, "-" if method == "base" else f"{noise:.0%}", str(len(found)), *shares, *costs])
    return _table(heads, rows)


def _questions(runs: Sequence[Run]) -> str:
    doubt, plain = f"{SURE} - {DPO}", f"{MPO}'s change from 0 to {MOST:.0%} - {DPO}'s"
    asked: list[tuple[str, list[Term]]] = [
        (f"Does weighting by reviewer reliability beat plain DPO at {MOST:.0%}? ({doubt})", [(1, SURE, MOST), (-1, DPO, MOST)]),
        (f"The same at 10% ({doubt})", [(1, SURE, 0.1), (-1, DPO, 0.1)]),
        (f"Is it who said it, or doubt as such, at {MOST:.0%}? ({SURE} - {EVENLY})", [(1, SURE, MOST), (-1, EVENLY, MOST)]),
        (f"Is MPO less sensitive to noise than DPO? ({plain}: then it is higher)", [(1, MPO, MOST), (-1, MPO, NO), (-1, DPO, MOST), (1, DPO, NO)]),
        (f"Not asked beforehand: is MPO better than DPO at {MOST:.0%}, for what it costs more? ({MPO} - {DPO})", [(1, MPO, MOST), (-1, DPO, MOST)]),
        (f"Then asked of 10% too ({MPO} - {DPO})", [(1, MPO, 0.1), (-1, DPO, 0.1)]),
    ]
    rows, answers = [], []
    for question, terms in asked:
        for figure in ("reward", "win_rate"):
            found = difference(runs, figure, terms)
            if found is not None and figure == "reward":
                answers.append(f"* {question} **{found.answer}**: {found} of the mean of the three, {found.seeds} seeds.")
            rows.append([question, SHARES[figure], *(["", "-", "not measured"] if found is None else [str(found.seeds), str(found), found.verdict])])
    how = "Differences are paired by seed, with standard error and 95 % interval by Student's t; rows above that have other seeds do not compare."
    table = _table(["question", "figure", "seeds", "difference", "what that carries"], rows)
    return "\n\n".join(("## Questions", how, "\n".join(answers), table))


def _costs_of_noise(runs: Sequence[Run]) -> str:
    rows = []
    for method in dict.fromkeys(run["method"] for run in runs if run["method"] != "base"):
        found = [difference(runs, figure, [(1, method, MOST), (-1, method, NO)]) for figure in SHARES]
        rows.append([method, *("-" if each is None else f"{each.mean:+.3f} ± {each.error:.3f}" for each in found)])
    return f"## What {MOST:.0%} wrong labels change, paired by seed\n\n" + _table(["method", *SHARES.values()], rows)


def _times(runs: Sequence[Run]) -> str:
    cost: dict[str, Callable[[Run], float]] = {
        "alone": lambda run: run["cpu_s"],
        "with the reward model": lambda run: run["cpu_s"] + run["reward_cpu_s"],
    }
    known = {(run["method"], run["noise"], run["seed"]): run for run in runs}
    said = []
    for name, seconds in cost.items():
        shares = [
            known[DPO, noise, seed]["cpu_s"] / seconds(run) for (method, noise, seed), run in known.items() if method == PPO and (DPO, noise, seed) in known
        ]
        if len(shares) > 1:
            said.append(f"PPO {name}: DPO takes {fmean(shares):.0%} ± {stdev(shares) / sqrt(len(shares)):.0%} of its CPU time ({len(shares)} pairs of runs)")
    return "## DPO against PPO on the same pairs\n\n" + ("; ".join(said) or "not measured") + "."


def _missing(runs: Sequence[Run]) -> str:
    known = {(run["method"], run["noise"], run["seed"]) for run in runs}
    lacking: dict[str, list[str]] = {}
    for method in RECIPES:
        for noise in sorted(NOISES):
            without = [str(seed) for seed in SEEDS if (method, noise, seed) not in known]
            if without:
                lacking.setdefault(method, []).append(f"{noise:.0%} seed {' '.join(without)}")
    told = "; ".join(f"{method}: {', '.join(each)}" for method, each in lacking.items())
    return f"Runs of the grid (seeds {', '.join(map(str, SEEDS))}) that were not made: {told or 'none'}."


def _told(values: Sequence[float], digits: int) -> str:
    if not values:
        return "-"
    error = f" ± {stdev(values) / sqrt(len(values)):.{digits}f}" if len(values) > 1 and digits else ""
    return f"{fmean(values):.{digits}f}{error}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = ["---:" if place else "---" for place in range(len(heads))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, marks, *rows))
