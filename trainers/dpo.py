"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290, equation 7) over TRL's DPOTrainer, with a confidence for each pair.

Rows: prompt (messages), chosen and rejected (text, or messages as TRL has them), and where they are told p_correct (the chance that the order is
right; null counts as certain), weight (>= 0, absent 1) and margin (>= 0, absent 0). The reference model is the checkpoint that the job starts from.
"""

import time
from typing import Any, Literal

from pydantic import Field, model_validator
from trueloop.trainers.frame.finished_checkpoint import finish
from trueloop.trainers.frame.fitting_rows import require_fitting
from trueloop.trainers.frame.held_out import HeldOut, hold_out, pair_scorer
from trueloop.trainers.frame.job_config import JobConfig, Progress
from trueloop.trainers.frame.pair_rows import read_pairs
from trueloop.trainers.frame.policy_model import Policy, load_policy, prepare
from trueloop.trainers.frame.stopping import HeldOutStopping
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.frame.training_run import run, state_directory, trainer_arguments

from trueloop.errors import ConfigurationError

Loss = Literal[
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down", "discopop",
    "sigmoid_norm",
]  # fmt: skip
_SMOOTHED = ("exo_pair", "robust", "aot", "aot_unpaired")


class Config(JobConfig):
    """Settings of a DPO job. The defaults are those of the demo's model; a model of billions of parameters wants a learning rate of about 1e-6."""

    learning_rate: float = Field(default=2e-4, gt=0, lt=1)
    beta: float = Field(default=0.1, gt=0, le=100, description="how strongly the policy is held to the reference model")
    loss: Loss = Field(default="sigmoid", description="sigmoid is DPO; the others are TRL's, under TRL's names")
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5, description="share of wrong orders, for the losses that know one for all pairs")
    confidence: Literal["off", "conservative"] = Field(
        default="off", description="conservative: cDPO with an epsilon of its own for each pair, 1 - p_correct; off takes each order as certain"
    )
    max_epsilon: float = Field(default=0.5, gt=0, le=0.5, description="largest epsilon; at 0.5 the order of a pair says nothing")
    weighted: bool = Field(default=False, description="whether a pair counts by its weight; the mean weight is made 1")
    margin_offset: float = Field(
        default=0.0, ge=0, le=100, description="nats that chosen and rejected are to lie apart for each unit of margin; 0 is plain DPO"
    )
    sft_weight: float = Field(
        default=0.0, ge=0, le=100, description="weight of the chosen completions' negative log-likelihood beside the DPO loss; 0 is plain DPO"
    )
    stopping: HeldOutStopping = HeldOutStopping()

    @model_validator(mode="after")
    def _loss_reads_them(self) -> "Config":
        if self.loss != "sigmoid" and (self.confidence != "off" or self.weighted or self.margin_offset):
            raise ValueError(f"loss is {self.loss!r}; confidence, weighted and margin_offset go with 'sigmoid': set loss to it, or leave them out")
        if bool(self.label_smoothing) and self.loss not in _SMOOTHED:
            raise ValueError(f"loss {self.loss!r} reads no label_smoothing; expected one of {', '.join(_SMOOTHED)}, or confidence = 'conservative'")
        if self.loss == "exo_pair" and not self.label_smoothing:
            raise ValueError("loss 'exo_pair' needs label_smoothing > 0; its authors use 0.001")
        return self


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Train on the pairs and save the policy to `config.output_dir`.

    Raises:
        ConfigurationError: there is no checkpoint, or it has no tokenizer or chat template.
        DatasetError: there is no pair, a row is malformed, or chosen and rejected are the same.
        NonFiniteLossError: training diverged.
        DeviceMemoryError, DiskFullError: the machine is too small for the settings.
    """
    started = time.monotonic()
    pairs = read_pairs(config.dataset_file, weighted=config.weighted)
    rows, held = hold_out(pairs.rows, config.stopping, config.seed)
    prepare(config)
    policy = load_policy(config)
    require_fitting(rows, policy.tokenizer, config.max_length_tokens)
    held_out = HeldOut(held, pair_scorer(policy.tokenizer, held), config.stopping) if held else None
    with state_directory(config) as states:
        trainer = _trainer(config, policy, rows, trainer_arguments(config, states))
        outcome = run(trainer, config, progress, held_out)
    return finish(trainer, policy.tokenizer, config, outcome, metrics=pairs.counts() | {"pairs_held_out": float(len(held))}, started=started)


def _trainer(config: Config, policy: Policy, rows: list[dict[str, Any]], arguments: dict[str, Any]) -> Any:
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer
    from trueloop.trainers.confident_dpo_trainer import ConfidentDPOTrainer, ConfidentPairCollator

    # Under full training no second model is kept, and under a LoRA the reference is the policy without it.
    common = {"model": policy.model, "processing_class": policy.tokenizer, "peft_config": policy.adapter}
    if config.loss != "sigmoid":
        settings = DPOConfig(beta=config.beta, label_smoothing=config.label_smoothing, precompute_ref_log_probs=True, **_losses(config), **arguments)
        return DPOTrainer(args=settings, train_dataset=_columns(rows), **common)
    trainer = ConfidentDPOTrainer(
        sft_weight=config.sft_weight,
        args=DPOConfig(beta=config.beta, precompute_ref_log_probs=True, **arguments),
        train_dataset=_columns(rows, _worth(config, rows)),
        data_collator=ConfidentPairCollator(pad_token_id=policy.tokenizer.pad_token_id, max_length=config.max_length_tokens),
        **common,
    )
    if trainer.aux_loss_enabled:
        raise ConfigurationError("the model is a mixture of experts, whose router has a loss of its own; expected a dense one, or another loss than 'sigmoid'")
    return trainer


def _losses(config: Config) -> dict[str, Any]:
    """DPO alone may lower the likelihood of both completions; a share of SFT on the chosen one keeps it up (Pang et al. 2024, arXiv:2404.19733)."""
    if config.sft_weight == 0:
        return {"loss_type": [config.loss]}
    return {"loss_type": [config.loss, "sft"], "loss_weights": [1.0, config.sft_weight]}


def _worth(config: Config, rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Return epsilon, weight and offset of each pair."""
    mean = sum(row["weight"] for row in rows) / len(rows)
    return [
        {
            "epsilon": min(config.max_epsilon, 1.0 - row["p_correct"]) if config.confidence == "conservative" and row["p_correct"] is not None else 0.0,
            "weight": row["weight"] / mean if config.weighted else 1.0,
            "offset": config.margin_offset * row["margin"],
        }
        for row in rows
    ]


def _columns(rows: list[dict[str, Any]], worth: list[dict[str, float]] | None = None) -> Any:
    from datasets import Dataset

    columns = [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in rows]
    return Dataset.from_list([text | more for text, more in zip(columns, worth, strict=True)] if worth else columns)
