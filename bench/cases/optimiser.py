"""One run of the optimisers' benchmark: train by a method on the pairs of a seed and a share of turned labels, and score what comes of it.

    python bench/cases/optimiser.py METHOD NOISE SEED DIRECTORY

prints one JSON object. CPU seconds are those of training alone, reward models apart.
"""

import json
import resource
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import billing_pairs
from recipes import RECIPES, Recipe
from trueloop.trainers.loaded_model import LoadedModel
from trueloop.trainers.methods import find_method, read_config

from trueloop.adapters.model_store import ModelStore
from trueloop.datasets.pairs_dataset import PairsDataset
from trueloop.demo.billing_checks import DIMENSIONS

THREADS = 1


def main(method: str, noise: float, seed: int, directory: Path) -> dict[str, Any]:
    """Run and return the figures."""
    import torch

    torch.set_num_threads(THREADS)
    base = billing_pairs.base_model()
    answers = billing_pairs.sampled(LoadedModel.load(base), seed, directory / f"answers-{seed}.json")
    before = _remembered(directory / "base-scores.json", lambda: billing_pairs.scores(LoadedModel.load(base)))
    found: dict[str, Any] = {"method": method, "noise": noise, "seed": seed}
    if method == "base":
        return found | _figures(before, before)
    dataset = billing_pairs.dataset(answers, noise, seed)
    recipe = RECIPES[method]
    store = ModelStore(directory / "models")
    reward_cpu, uris = 0.0, {}
    for name, settings in recipe.rewards.items():
        spent, report = _train(Recipe("reward", settings), dataset, base, directory, seed=seed, run=f"{method}-{noise}-{seed}-{name}")
        uris[name] = store.put(Path(report.checkpoint_dir)).uri
        reward_cpu += spent
    spent, report = _train(recipe, dataset, base, directory, seed=seed, run=f"{method}-{noise}-{seed}", uris=uris)
    after = billing_pairs.scores(LoadedModel.load(Path(report.checkpoint_dir)))
    return found | _figures(after, before) | {"cpu_s": spent, "reward_cpu_s": reward_cpu, "metrics": report.metrics}


def _train(recipe: Recipe, dataset: PairsDataset, base: Path, directory: Path, *, seed: int, run: str, uris: dict[str, str] | None = None) -> tuple[float, Any]:
    method = find_method(recipe.method)
    place = directory / "runs" / run
    (place / "out").mkdir(parents=True, exist_ok=True)
    rows = list(method.rows(dataset))
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    text = json.dumps(recipe.config | {"seed": seed, "threads": THREADS})
    for name, uri in (uris or {}).items():
        text = text.replace(f"<{name}>", uri)
    places = {"model_dir": base, "models_dir": directory / "models", "dataset_file": place / "rows.jsonl", "output_dir": place / "out"}
    module = method.load()
    config = read_config(module, text, places)
    begun = _cpu()
    report = module.main(config)
    return _cpu() - begun, report


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _figures(after: list[dict[str, float]], before: list[dict[str, float]]) -> dict[str, float]:
    wins = [(sum(one.values()) > sum(other.values())) + 0.5 * (sum(one.values()) == sum(other.values())) for one, other in zip(after, before, strict=True)]
    return {name: fmean(score[name] for score in after) for name in DIMENSIONS} | {
        "reward": fmean(sum(score.values()) / len(score) for score in after),
        "win_rate": fmean(wins),
    }


def _remembered(path: Path, make: Any) -> Any:
    if not path.exists():
        path.write_text(json.dumps(make()), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))))
