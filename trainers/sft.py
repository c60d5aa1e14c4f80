"""Supervised fine-tuning on demonstrations, such as reviewers' rewrites, with TRL's SFTTrainer. The loss is on completions only.

Rows: prompt (or messages: the conversation before the answer), completion (text, or messages as TRL has them) and, where they are told, slices; other
columns are left out.
"""

import time
from pathlib import Path
from typing import Any

from pydantic import Field
from trueloop.trainers.frame.finished_checkpoint import finish
from trueloop.trainers.frame.held_out import HeldOut, hold_out, likelihood_scorer
from trueloop.trainers.frame.job_config import JobConfig, Progress
from trueloop.trainers.frame.policy_model import load_policy, prepare
from trueloop.trainers.frame.rows_file import completion, conversation, read_rows, slices
from trueloop.trainers.frame.stopping import HeldOutStopping
from trueloop.trainers.frame.training_errors import DatasetError
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.frame.training_run import run, state_directory, trainer_arguments


class Config(JobConfig):
    """Settings of an SFT job. The defaults are those of the demo's model; a model of billions of parameters wants about 1e-5."""

    learning_rate: float = Field(default=3e-4, gt=0, lt=1)
    stopping: HeldOutStopping = Field(default=HeldOutStopping(), description="by the log-probability per token, in nats, of held-out demonstrations")


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Train on the demonstrations and save the model to `config.output_dir`.

    Raises:
        ConfigurationError: there is no checkpoint, or it has no chat template.
        DatasetError: there is no row, one is malformed, or none is left beside the held-out ones.
        NonFiniteLossError: training diverged.
    """
    started = time.monotonic()
    rows, held = hold_out(_demonstrations(config.dataset_file), config.stopping, config.seed)
    prepare(config)
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    policy = load_policy(config)
    held_out = HeldOut(held, likelihood_scorer(policy.tokenizer, held), config.stopping) if held else None
    with state_directory(config) as states:
        trainer = SFTTrainer(
            model=policy.model,
            args=SFTConfig(completion_only_loss=True, **trainer_arguments(config, states)),
            train_dataset=Dataset.from_list([{name: row[name] for name in ("prompt", "completion")} for row in rows]),
            processing_class=policy.tokenizer,
            peft_config=policy.adapter,
        )
        outcome = run(trainer, config, progress, held_out)
    counts = {"demonstrations": float(len(rows)), "demonstrations_held_out": float(len(held))}
    return finish(trainer, policy.tokenizer, config, outcome, metrics=counts, started=started)


def _demonstrations(path: Path) -> list[dict[str, Any]]:
    rows = []
    for line, row in read_rows(path):
        prompt = conversation(row, "prompt" if "prompt" in row else "messages", line)
        answer = completion(row, "completion", line)
        if not any(message["content"].strip() for message in answer):
            raise DatasetError(f"line {line}: 'completion' is empty; expected a demonstration: drop the row")
        rows.append({"prompt": prompt, "completion": answer, "slices": slices(row, line)})
    return rows
