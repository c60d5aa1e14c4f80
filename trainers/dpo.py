"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290, equation 7) with TRL's DPOTrainer.

Rows: prompt (messages), chosen and rejected (text, or messages as TRL has them); other columns, a pair's weight among them, are left out,
because TRL's loss has no weights. The reference model is the checkpoint that the job starts from.
"""

import time
from pathlib import Path
from typing import Any

from pydantic import Field
from trueloop.trainers.frame.finished_checkpoint import finish
from trueloop.trainers.frame.job_config import JobConfig, Progress
from trueloop.trainers.frame.policy_model import load_policy, prepare
from trueloop.trainers.frame.rows_file import completion, conversation, read_rows
from trueloop.trainers.frame.training_errors import DatasetError
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.frame.training_run import run, state_directory, trainer_arguments


class Config(JobConfig):
    """Settings of a DPO job. The defaults are those of the demo's model; a model of billions of parameters wants about 1e-6."""

    learning_rate: float = Field(default=2e-4, gt=0, lt=1)
    beta: float = Field(default=0.1, gt=0, le=100, description="how strongly the policy is held to the reference model")
    sft_weight: float = Field(
        default=0.0, ge=0, le=100, description="weight of the chosen completions' negative log-likelihood beside the DPO loss; 0 is plain DPO"
    )


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Train on the pairs and save the policy to `config.output_dir`.

    Raises:
        ConfigurationError: there is no checkpoint, or it has no chat template.
        DatasetError: there is no pair, a row is malformed, or chosen and rejected are the same.
        NonFiniteLossError: training diverged.
    """
    started = time.monotonic()
    rows = _pairs(config.dataset_file)
    prepare(config)
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    policy = load_policy(config)
    # Under a LoRA the reference model is the policy without it.
    reference = load_policy(config).model if policy.adapter is None else None
    with state_directory(config) as states:
        trainer = DPOTrainer(
            model=policy.model,
            ref_model=reference,
            args=DPOConfig(beta=config.beta, **_loss(config.sft_weight), **trainer_arguments(config, states)),
            train_dataset=Dataset.from_list(rows),
            processing_class=policy.tokenizer,
            peft_config=policy.adapter,
        )
        outcome = run(trainer, config, progress)
    return finish(trainer, policy.tokenizer, config, outcome, metrics={"pairs": float(len(rows))}, started=started)


def _loss(sft_weight: float) -> dict[str, Any]:
    """DPO alone may lower the likelihood of both completions; a share of SFT on the chosen one keeps it up (Pang et al. 2024, arXiv:2404.19733)."""
    if sft_weight == 0:
        return {"loss_type": ["sigmoid"]}
    return {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, sft_weight]}


def _pairs(path: Path) -> list[dict[str, Any]]:
    pairs = []
    for line, row in read_rows(path):
        chosen, rejected = completion(row, "chosen", line), completion(row, "rejected", line)
        if chosen == rejected:
            raise DatasetError(f"line {line}: chosen and rejected are the same; expected two completions, one better: drop the row")
        pairs.append({"prompt": conversation(row, "prompt", line), "chosen": chosen, "rejected": rejected})
    return pairs
