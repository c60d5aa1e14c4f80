"""One run of the optimisers' benchmark: train by a method on the labels of a seed and a share of wrong ones, and score what comes of it."""

import json
import resource
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import billing_edits
import billing_pairs
from billing_pairs import RUBRIC, compared, remembered
from recipes import RECIPES, Recipe
from simulated_panel import Panel
from trueloop.trainers.loaded_model import LoadedModel
from trueloop.trainers.methods import find_method, read_config

from cases.scripted_critic import ScriptedCritic
from trueloop.adapters.model_store import ModelStore
from trueloop.config import JudgeSettings
from trueloop.demo.billing_checks import DIMENSIONS
from trueloop.pairs.comparison import net_wins

THREADS = 1
Places = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """A method, a share of wrong labels and a seed, and where the benchmark keeps what its cells share."""

    method: str
    noise: float
    seed: int
    directory: Path

    def figures(self) -> dict[str, Any]:
        """Train and return the figures. CPU seconds are those of training alone, without loading libraries; reward models apart."""
        import torch

        torch.set_num_threads(THREADS)
        base = billing_pairs.base_model()
        answers = remembered(self.directory / f"answers-{self.seed}.json", lambda: billing_pairs.sampled(LoadedModel.load(base), self.seed))
        before = remembered(self.directory / f"base-{self.seed}.json", lambda: billing_pairs.scores(LoadedModel.load(base), self.seed))
        found: dict[str, Any] = {"method": self.method, "noise": self.noise, "seed": self.seed}
        if self.method == "base":
            return found | _figures(before, before)
        recipe, panel = RECIPES[self.method], Panel(self.noise, self.seed)
        pairs = rows_of(Recipe("dpo"), answers, panel)
        rewards = {name: self._reward(name, settings, pairs, base) for name, settings in recipe.rewards.items()}
        uris = {name: reward["uri"] for name, reward in rewards.items()}
        with _critic(recipe, panel) as places:
            spent, report = self._train(recipe, rows_of(recipe, answers, panel), places | {"model_dir": base}, uris)
        after = billing_pairs.scores(LoadedModel.load(Path(report.checkpoint_dir)), self.seed)
        shutil.rmtree(report.checkpoint_dir)
        cpu = {"cpu_s": spent, "reward_cpu_s": sum(reward["cpu_s"] for reward in rewards.values())}
        told = {name: reward["metrics"] for name, reward in rewards.items()}
        return found | _figures(after, before) | cpu | {"labels": _labels(pairs), "metrics": report.metrics, "reward_metrics": told}

    def _reward(self, name: str, settings: dict[str, Any], rows: list[dict[str, Any]], base: Path) -> dict[str, Any]:
        """Return where the reward model of this seed and noise is, and what it cost; methods share it."""

        def make() -> dict[str, Any]:
            spent, report = self._train(Recipe("reward", settings), rows, {"model_dir": base}, {})
            uri = ModelStore(self.directory / "models").put(Path(report.checkpoint_dir)).uri
            return {"uri": uri, "cpu_s": spent, "metrics": report.metrics}

        found: dict[str, Any] = remembered(self.directory / "rewards" / f"{name}-{self.noise}-{self.seed}.json", make)
        return found

    def _train(self, recipe: Recipe, rows: list[dict[str, Any]], places: Places, uris: Mapping[str, str]) -> tuple[float, Any]:
        method = find_method(recipe.method)
        place = self.directory / "run"
        shutil.rmtree(place, ignore_errors=True)
        (place / "out").mkdir(parents=True)
        (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        text = json.dumps(recipe.config | {"seed": self.seed, "threads": THREADS})
        for name, uri in uris.items():
            text = text.replace(f"<{name}>", uri)
        places |= {"models_dir": self.directory / "models", "dataset_file": place / "rows.jsonl", "output_dir": place / "out"}
        module = method.load()
        config = read_config(module, text, places)
        begun = _cpu()
        report = module.main(config)
        return _cpu() - begun, report


def rows_of(recipe: Recipe, answers: list[list[str]], panel: Panel) -> list[dict[str, Any]]:
    """Return the rows that a recipe's method reads."""
    dataset = billing_edits.edits_dataset(answers, panel) if recipe.learns_from == "edits" else billing_pairs.pairs_dataset(answers, panel)
    rows = list(find_method(recipe.method).rows(dataset))
    if recipe.learns_from == "evenly sure pairs":
        mean = fmean(row["p_correct"] for row in rows)
        rows = [row | {"p_correct": mean} for row in rows]
    return rows


@contextmanager
def _critic(recipe: Recipe, panel: Panel) -> Iterator[Places]:
    """Give what the worker would set for a method that asks a critic."""
    if not recipe.asks_critic:
        yield {}
        return
    with ScriptedCritic(panel.noise, panel.seed) as url:
        yield {"judges": {"script": JudgeSettings(model="script", url=url)}, "rubric": RUBRIC}


def _labels(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return how many pairs there are, and how sure the product is of their order."""
    chances = [row["p_correct"] for row in rows]
    return {"pairs": len(rows), "mean_p_correct": fmean(chances), "least_p_correct": min(chances), "most_p_correct": max(chances)}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _figures(after: list[dict[str, float]], before: list[dict[str, float]]) -> dict[str, float]:
    """Return the share that is right of each dimension, the mean of these, and how often the rubric prefers an answer to the base's; ties half."""
    wins = [0.5 + net_wins(compared(one, other), RUBRIC).direction / 2 for one, other in zip(after, before, strict=True)]
    shares = {name: fmean(score[name] for score in after) for name in DIMENSIONS}
    return shares | {"reward": fmean(shares.values()), "win_rate": fmean(wins)}
