"""Mixed preference optimisation of InternVL (Wang et al. 2024, arXiv:2411.10442, equation 3) with TRL's DPOTrainer.

The loss is a weighted sum: which completion is better (DPO), how good each is in itself (BCO; TRL's `bco_pair` has no moving mean of the rewards,
which the paper has), and how to write the chosen one (SFT). `mpo` is another method of the same name (Gou & Nguyen 2024, arXiv:2403.19443).

Rows: prompt (messages), chosen and rejected (text, or messages as TRL has them) and, where they are told, slices; other columns are left out, because
TRL's losses have no weights.
"""

import time

from pydantic import Field
from trueloop.trainers.frame.finished_checkpoint import finish
from trueloop.trainers.frame.fitting_rows import require_fitting
from trueloop.trainers.frame.held_out import HeldOut, hold_out, pair_scorer
from trueloop.trainers.frame.job_config import JobConfig, Progress
from trueloop.trainers.frame.pair_rows import read_pairs
from trueloop.trainers.frame.policy_model import load_policy, prepare
from trueloop.trainers.frame.stopping import HeldOutStopping
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.frame.training_run import run, state_directory, trainer_arguments

_LOSSES = ["sigmoid", "bco_pair", "sft"]


class Config(JobConfig):
    """Settings of a job. The weights are the paper's; the learning rate is for the demo's model, one of billions of parameters wants about 1e-6."""

    learning_rate: float = Field(default=2e-4, gt=0, lt=1)
    beta: float = Field(default=0.1, gt=0, le=100, description="how strongly the policy is held to the reference model")
    preference_weight: float = Field(default=0.8, ge=0, le=100)
    quality_weight: float = Field(default=0.2, ge=0, le=100)
    generation_weight: float = Field(default=1.0, ge=0, le=100)
    stopping: HeldOutStopping = HeldOutStopping()


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Train on the pairs and save the policy to `config.output_dir`. Raises as `trueloop.trainers.dpo` does."""
    started = time.monotonic()
    pairs = read_pairs(config.dataset_file)
    rows, held = hold_out(pairs.rows, config.stopping, config.seed)
    prepare(config)
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    policy = load_policy(config)
    require_fitting(rows, policy.tokenizer, config.max_length_tokens)
    held_out = HeldOut(held, pair_scorer(policy.tokenizer, held), config.stopping) if held else None
    weights = [config.preference_weight, config.quality_weight, config.generation_weight]
    with state_directory(config) as states:
        trainer = DPOTrainer(
            model=policy.model,
            args=DPOConfig(beta=config.beta, loss_type=_LOSSES, loss_weights=weights, precompute_ref_log_probs=True, **trainer_arguments(config, states)),
            train_dataset=Dataset.from_list([{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in rows]),
            processing_class=policy.tokenizer,
            peft_config=policy.adapter,
        )
        outcome = run(trainer, config, progress, held_out)
    return finish(trainer, policy.tokenizer, config, outcome, metrics=pairs.counts() | {"pairs_held_out": float(len(held))}, started=started)
