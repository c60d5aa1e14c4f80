"""A reward model by Bradley and Terry (1952) with margins (Touvron et al. 2023, arXiv:2307.09288, equation 2), with TRL's RewardTrainer.

Rows: prompt (messages), chosen and rejected (text, or messages as TRL has them), and where they are told margin (>= 0), outcomes (dimension to
1, -1 or 0), slices and pair_id. The model is the policy checkpoint with one output in place of the words'. It is stored as any checkpoint, and is
no candidate for a release: what it is good for is told by its accuracy on held-out prompts, and by the audit packet beside its weights.
"""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator
from trueloop.trainers.frame.finished_checkpoint import finish
from trueloop.trainers.frame.fitting_rows import require_fitting
from trueloop.trainers.frame.held_out import HeldOut, Row, split_by_prompt
from trueloop.trainers.frame.job_config import JobConfig, Progress
from trueloop.trainers.frame.pair_rows import read_pairs
from trueloop.trainers.frame.policy_model import load_tokenizer, lora_of, prepare
from trueloop.trainers.frame.stopping import HeldOutStopping
from trueloop.trainers.frame.training_errors import DatasetError
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.frame.training_run import run, state_directory, trainer_arguments
from trueloop.trainers.reward_quality import ScoredPair, audit_packet, metrics_of, quality_by_group
from trueloop.trainers.rewards.reward_model import RewardModel

from trueloop.adapters.adapter_checkpoint import is_adapter
from trueloop.errors import ConfigurationError

AUDIT_FILE_NAME = "audit_packet.json"
OVERALL = "overall"


class Config(JobConfig):
    """Settings of a reward model. The defaults are those of the demo's model; one of billions of parameters wants a learning rate of about 1e-5."""

    learning_rate: float = Field(default=3e-4, gt=0, lt=1)
    min_steps: int = Field(
        default=48,
        ge=0,
        le=100_000,
        description="optimiser steps below which a job on few pairs makes more epochs than `epochs`; 0 makes none; max_steps overrides",
    )
    objective: str = Field(default=OVERALL, min_length=1, description="'overall', or the dimension of the rubric whose outcomes are learnt")
    margin_weight: float = Field(default=1.0, ge=0, le=100, description="what a margin of 1 adds to the distance of the two scores; 'overall' only")
    stopping: HeldOutStopping = Field(default=HeldOutStopping(share=0.1), description="held-out prompts also measure the finished model")

    @model_validator(mode="after")
    def _whole(self) -> "Config":
        if self.adapter == "qlora" or self.save == "adapter":
            raise ValueError("a reward model is stored whole; expected adapter 'full' or 'lora', and save 'merged'")
        return self


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Train on the pairs and save the reward model, with its audit packet, to `config.output_dir`.

    Raises:
        ConfigurationError: there is no checkpoint, or it has no tokenizer or chat template.
        DatasetError: there is no pair, a row is malformed, or no pair has an outcome on the objective.
        NonFiniteLossError: training diverged.
        DeviceMemoryError, DiskFullError: the machine is too small for the settings.
    """
    started = time.monotonic()
    rows, ties = pairs_of_objective(read_pairs(config.dataset_file).rows, config.objective)
    train, held = split_by_prompt(rows, config.stopping.share, config.seed)
    if not train:
        raise DatasetError(f"all {len(rows)} pairs are held out; expected some to train on: collect more prompts, or lower stopping.share")
    prepare(config)
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    tokenizer = load_tokenizer(config.model_dir)
    require_fitting(train, tokenizer, config.max_length_tokens)
    score = _scorer(tokenizer, held)
    with state_directory(config) as states:
        trainer: Any = RewardTrainer(
            model=_classifier(config),
            args=RewardConfig(**trainer_arguments(config, states) | {"num_train_epochs": epochs_of(config, len(train))}),
            train_dataset=_columns(train, config.margin_weight),
            processing_class=tokenizer,
            peft_config=lora_of(config, task="SEQ_CLS", also_trained=("score",)),
        )
        held_out = HeldOut(held, lambda model: [_hit(pair) for pair in score(model)], config.stopping) if held else None
        outcome = run(trainer, config, progress, held_out)
    model: Any = trainer.model
    scored = [pair for pair in score(model.eval()) if pair is not None]
    report = finish(trainer, tokenizer, config, outcome, metrics=_metrics(train, ties, scored), started=started, is_candidate=False)
    if trainer.accelerator.is_main_process:
        _write_packet(config.output_dir, config.objective, scored)
    return report


def epochs_of(config: Config, n_pairs: int) -> float:
    """Return the epochs over `n_pairs` >= 1 pairs: those of the settings, or as many more, whole ones, as `min_steps` asks for.

    The output that tells completions apart starts from random numbers, so what it needs is a number of steps, not of epochs. Of held-out pairs of the billing
    task, 300 pairs to learn from, 0.84 were in order after one epoch of 10 steps, 0.85 after three and 0.91 after six (one seed).
    """
    rows_per_step = config.batch_size * config.gradient_accumulation_steps * int(os.environ.get("WORLD_SIZE", "1"))
    return max(config.epochs, float(math.ceil(config.min_steps / math.ceil(n_pairs / rows_per_step))))


def pairs_of_objective(rows: list[Row], objective: str) -> tuple[list[Row], int]:
    """Return the pairs as the objective orders them, and how many were left out because on it they are equal or nobody judged them.

    Chosen and rejected change places where the reviewers found the rejected one better on the dimension. The margin is that of the pair as a
    whole, so it is taken for 'overall' alone. Raises DatasetError when no pair is left.
    """
    if objective == OVERALL:
        return rows, 0
    kept = []
    for row in rows:
        outcome = row["outcomes"].get(objective, 0)
        if outcome:
            better, worse = ("chosen", "rejected") if outcome > 0 else ("rejected", "chosen")
            turned = {dimension: outcome * other for dimension, other in row["outcomes"].items()}
            kept.append(row | {"chosen": row[better], "rejected": row[worse], "outcomes": turned, "margin": 0.0, "turned": outcome < 0})
    if not kept:
        raise DatasetError(f"none of {len(rows)} pairs is decided on dimension {objective!r}; expected some: name a dimension of the rubric, or 'overall'")
    return kept, len(rows) - len(kept)


def _classifier(config: Config) -> Any:
    """The policy's backbone with a fresh output, which is drawn from the seed."""
    import torch
    from transformers import AutoModelForSequenceClassification, set_seed
    from trl.trainer.reward_trainer import suppress_seqcls_warning

    if is_adapter(config.model_dir):
        raise ConfigurationError("model_dir holds an adapter; expected whole weights to begin a reward model with: train the policy with save = 'merged'")
    set_seed(config.seed)
    with suppress_seqcls_warning():
        return AutoModelForSequenceClassification.from_pretrained(
            config.model_dir, num_labels=1, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )


def _scorer(tokenizer: Any, rows: list[Row]) -> Callable[[Any], list[ScoredPair | None]]:
    prompts = [row["prompt"] for row in rows]
    texts = [row[side][-1]["content"] for side in ("chosen", "rejected") for row in rows]

    def score(model: Any) -> list[ScoredPair | None]:
        scores = RewardModel(model, tokenizer).score(prompts * 2, texts)
        sides = zip(rows, scores[: len(rows)], scores[len(rows) :], strict=True)
        return [
            None
            if chosen is None or rejected is None
            else ScoredPair(row["pair_id"], chosen, rejected, row["outcomes"], row["slices"], row.get("turned", False))
            for row, chosen, rejected in sides
        ]

    return score


def _hit(pair: ScoredPair | None) -> float | None:
    if pair is None:
        return None
    return 0.5 if pair.chosen == pair.rejected else float(pair.chosen > pair.rejected)


def _metrics(train: list[Row], ties: int, scored: list[ScoredPair]) -> dict[str, float]:
    return {"pairs": float(len(train)), "pairs_undecided": float(ties)} | metrics_of(quality_by_group(scored))


def _columns(rows: list[Row], margin_weight: float) -> Any:
    from datasets import Dataset

    return Dataset.from_list([{name: row[name] for name in ("prompt", "chosen", "rejected")} | {"margin": margin_weight * row["margin"]} for row in rows])


def _write_packet(directory: Path, objective: str, scored: list[ScoredPair]) -> None:
    (directory / AUDIT_FILE_NAME).write_text(json.dumps(audit_packet(objective, scored), indent=2, sort_keys=True) + "\n", encoding="utf-8")
