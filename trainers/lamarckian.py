"""Chains of improvements: what a reviewer's edits acquired is inherited. TRL's SFTTrainer, then DPO.

Lamarckian here means: each generation starts from the best version that was reached, and not from what the model wrote. First the model is
taught the last version of each chain by SFT. That model, which has inherited the improvements, is then policy and reference of DPO over the
versions of each chain, which says what made the last one better.

A chain of versions v_0 .. v_k, worst first, whose steps gained g_1 + .. + g_k = 1 and whose weight is W, gives the pairs (v_j over v_i), i < j:
all of them, or those of neighbours. A pair gains what its steps gained together, g_(i+1) + .. + g_j, and weighs W times its share of the gains of
all the chain's pairs: so a chain weighs W however long it is, and a grave error more than a small one. Nobody compared the versions, so a pair has
no p_correct.

Rows (`trueloop.datasets.chain_rows`): prompt, versions, gains, weight.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from trueloop.trainers import dpo, sft
from trueloop.trainers.frame.job_config import JobConfig, Progress
from trueloop.trainers.frame.rows_file import conversation, read_rows
from trueloop.trainers.frame.training_errors import DatasetError
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.frame.training_run import state_directory
from trueloop.trainers.making.stage import require_merged, run_stage, staged_metrics

Row = dict[str, Any]
_TOLERANCE = 1e-3


class Config(JobConfig):
    """Settings of a job. The defaults are those of the demo's model; the steps, epochs and batch size are those of each stage."""

    learning_rate: float = Field(default=3e-4, gt=0, lt=1, description="of SFT on the last versions")
    dpo_learning_rate: float = Field(default=2e-4, gt=0, lt=1, description="of DPO over the chains")
    beta: float = Field(default=0.1, gt=0, le=100, description="how strongly DPO holds the policy to the model that SFT left")
    pairs: Literal["all", "neighbours"] = Field(default="all", description="which versions of a chain are compared")


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Train on the chains and save the policy to `config.output_dir`.

    Raises:
        ConfigurationError: there is no checkpoint or chat template, or only an adapter is to be saved.
        DatasetError: there is no chain with a weight, or a row is malformed.
        NonFiniteLossError: training diverged.
    """
    started = time.monotonic()
    require_merged(config)
    chains = [chain for chain in _chains(config.dataset_file) if chain["weight"] > 0]
    if not chains:
        raise DatasetError("no chain of the dataset has a weight; expected edits of a reviewer whose labels count: collect span or rewrite labels")
    pairs = [pair for chain in chains for pair in chain_pairs(chain, config.pairs)]
    with state_directory(config) as work:
        best = [{"prompt": chain["prompt"], "completion": chain["versions"][-1]} for chain in chains]
        first = run_stage(sft, config, work / "sft", best, progress)
        second = run_stage(
            dpo, config, work / "dpo", pairs, progress,
            model_dir=Path(first.checkpoint_dir), output_dir=config.output_dir, learning_rate=config.dpo_learning_rate, beta=config.beta, weighted=True,
        )  # fmt: skip
    metrics = staged_metrics({"sft": first, "dpo": second}) | {"chains": float(len(chains)), "versions": float(sum(len(c["versions"]) for c in chains))}
    return replace(second, metrics=metrics, tokens=first.tokens + second.tokens, seconds=time.monotonic() - started)


def chain_pairs(chain: Row, which: Literal["all", "neighbours"]) -> list[Row]:
    """Return the pairs of a chain as DPO reads them. Their weights sum to the chain's.

    >>> chain = {"prompt": [], "versions": ["a", "b", "c"], "gains": [0.75, 0.25], "weight": 2.0}
    >>> [(pair["chosen"], pair["rejected"], pair["margin"], pair["weight"]) for pair in chain_pairs(chain, "all")]
    [('b', 'a', 0.75, 0.75), ('c', 'a', 1.0, 1.0), ('c', 'b', 0.25, 0.25)]
    """
    versions, gains = chain["versions"], chain["gains"]
    numbers = range(len(versions))
    places = list(combinations(numbers, 2) if which == "all" else pairwise(numbers))
    gained = [math.fsum(gains[low:high]) for low, high in places]
    total = math.fsum(gained)
    return [
        {
            "prompt": chain["prompt"],
            "chosen": versions[high],
            "rejected": versions[low],
            "margin": min(1.0, gain),
            "weight": chain["weight"] * gain / total,
            "p_correct": None,
        }
        for (low, high), gain in zip(places, gained, strict=True)
    ]


def _chains(path: Path) -> Iterator[Row]:
    for line, row in read_rows(path):
        prompt = conversation(row, "prompt", line)
        versions, gains, weight = row.get("versions"), row.get("gains"), row.get("weight")
        if not isinstance(versions, list) or len(versions) < 2 or not all(isinstance(text, str) for text in versions):
            raise DatasetError(f"line {line}: 'versions' is no list of two texts or more; expected the versions of an answer, worst first")
        if len(set(versions)) != len(versions) or not versions[-1].strip():
            raise DatasetError(f"line {line}: two versions are the same, or the last is empty; expected each to be better than the one before: drop the row")
        if not _are_gains(gains, len(versions) - 1):
            raise DatasetError(f"line {line}: 'gains' are not {len(versions) - 1} numbers above 0 that sum to 1; expected the share of each step")
        if weight is None or not _is_number(weight) or weight < 0:
            raise DatasetError(f"line {line}: 'weight' is no number >= 0")
        yield {"prompt": prompt, "versions": versions, "gains": gains, "weight": float(weight)}


def _are_gains(gains: Any, n: int) -> bool:
    if not isinstance(gains, list) or len(gains) != n or not all(_is_number(gain) and gain > 0 for gain in gains):
        return False
    return abs(math.fsum(gains) - 1.0) <= _TOLERANCE


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
