"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv:2402.01306, equation 7) with TRL's KTOTrainer.

Rows: prompt (messages), completion (text or messages), label (true: a good one) and, where they are told, slices. No pairs are needed, but both kinds
are. Other columns are left out, the weight of a row among them, because TRL's loss has none. The reference model is the checkpoint that the job starts from.
"""

import random
import time
from pathlib import Path
from typing import Any

from pydantic import Field
from trueloop.trainers.frame.finished_checkpoint import finish
from trueloop.trainers.frame.fitting_rows import require_fitting
from trueloop.trainers.frame.held_out import HeldOut, direction_scorer, hold_out
from trueloop.trainers.frame.job_config import JobConfig, Progress
from trueloop.trainers.frame.policy_model import load_policy, prepare
from trueloop.trainers.frame.rows_file import completion, conversation, read_rows, slices
from trueloop.trainers.frame.stopping import HeldOutStopping
from trueloop.trainers.frame.training_errors import DatasetError
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.frame.training_run import run, state_directory, trainer_arguments


class Config(JobConfig):
    """Settings of a KTO job. The defaults are those of the demo's model; a model of billions of parameters wants a learning rate of about 1e-6."""

    learning_rate: float = Field(default=2e-4, gt=0, lt=1)
    batch_size: int = Field(default=32, ge=2, le=65536, description="rows in one forward pass, on each device; the divergence is estimated over them")
    beta: float = Field(default=0.1, gt=0, le=100, description="how strongly the policy is held to the reference model")
    desirable_weight: float | None = Field(default=None, gt=0, le=1000, description="null: so that both kinds weigh the same in all")
    undesirable_weight: float | None = Field(default=None, gt=0, le=1000, description="null: so that both kinds weigh the same in all")
    stopping: HeldOutStopping = Field(default=HeldOutStopping(), description="by the share of held-out completions that became likelier or less so as labelled")


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Train on single completions and save the policy to `config.output_dir`.

    Raises:
        ConfigurationError: there is no checkpoint, or it has no tokenizer or chat template.
        DatasetError: there is no row, one is malformed, or those that are not held out are of one kind.
        NonFiniteLossError: training diverged.
        DeviceMemoryError, DiskFullError: the machine is too small for the settings.
    """
    started = time.monotonic()
    rows, held = hold_out(_completions(config.dataset_file), config.stopping, config.seed)
    good = sum(row["label"] for row in rows)
    desirable, undesirable = kind_weights(good, len(rows) - good, config.desirable_weight, config.undesirable_weight)
    # TRL reads the rows in their order, because the divergence is estimated between neighbours.
    random.Random(config.seed).shuffle(rows)  # noqa: S311 - an order, not a secret
    prepare(config)
    from datasets import Dataset
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer

    policy = load_policy(config)
    require_fitting(rows, policy.tokenizer, config.max_length_tokens)
    with state_directory(config) as states:
        trainer: Any = KTOTrainer(
            model=policy.model,
            args=KTOConfig(
                beta=config.beta, precompute_ref_log_probs=True, desirable_weight=desirable, undesirable_weight=undesirable, **trainer_arguments(config, states)
            ),
            train_dataset=Dataset.from_list([{name: row[name] for name in ("prompt", "completion", "label")} for row in rows]),
            processing_class=policy.tokenizer,
            peft_config=policy.adapter,
        )
        # The model is the reference until it is trained, also when the run is to go on from a state.
        held_out = HeldOut(held, direction_scorer(policy.tokenizer, held, trainer.model.eval()), config.stopping) if held else None
        outcome = run(trainer, config, progress, held_out)
    counts = {"desirable": float(good), "undesirable": float(len(rows) - good), "completions_held_out": float(len(held))}
    weights = {"desirable_weight": desirable, "undesirable_weight": undesirable}
    return finish(trainer, policy.tokenizer, config, outcome, metrics=counts | weights, started=started)


def kind_weights(good: int, bad: int, desirable: float | None, undesirable: float | None) -> tuple[float, float]:
    """Return the weights of good and bad completions: those that are given, the others so that both kinds weigh the same (equation 9, at 1).

    Raises DatasetError when there is only one kind.

    >>> kind_weights(30, 10, None, None), kind_weights(10, 30, None, None), kind_weights(30, 10, 2.0, None)
    ((1.0, 3.0), (3.0, 1.0), (2.0, 6.0))
    """
    if not good or not bad:
        raise DatasetError(f"{good} completions are good and {bad} are not; expected some of both kinds: label more, or train by 'sft' on good ones alone")
    if desirable is not None and undesirable is not None:
        return desirable, undesirable
    if desirable is not None:
        return desirable, desirable * good / bad
    if undesirable is not None:
        return undesirable * bad / good, undesirable
    return max(1.0, bad / good), max(1.0, good / bad)


def _completions(path: Path) -> list[dict[str, Any]]:
    rows = []
    for line, row in read_rows(path):
        if not isinstance(row.get("label"), bool):
            raise DatasetError(f"line {line}: 'label' is neither true nor false; expected whether the completion is a good one: export the dataset again")
        said = {"prompt": conversation(row, "prompt", line), "completion": completion(row, "completion", line), "slices": slices(row, line)}
        rows.append(said | {"label": row["label"]})
    return rows
