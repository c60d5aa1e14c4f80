"""Supervised fine-tuning on demonstrations, such as reviewers' rewrites, with TRL's SFTTrainer. The loss is on completions only.

Rows: prompt (or messages: the conversation before the answer) and completion (text, or messages as TRL has them); other columns are left out.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

from pydantic import Field
from trueloop.trainers.report import (
    DatasetError,
    JobConfig,
    Progress,
    TrainingReport,
    completion,
    conversation,
    finish,
    load_checkpoint,
    prepare,
    read_rows,
    silence,
    trainer_arguments,
    watch,
)


class Config(JobConfig):
    """Settings of an SFT job. The defaults are those of the demo's model; a model of billions of parameters wants about 1e-5."""

    learning_rate: float = Field(default=3e-4, gt=0, lt=1)


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Train on the demonstrations and save the model to `config.output_dir`.

    Raises:
        ConfigurationError: there is no checkpoint, or it has no chat template.
        DatasetError: there is no row, or one is malformed.
        NonFiniteLossError: training diverged.
    """
    started = time.monotonic()
    rows = _demonstrations(config.dataset_file)
    prepare(config)
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    model, tokenizer = load_checkpoint(config.model_dir)
    watcher = watch(progress)
    with tempfile.TemporaryDirectory(prefix="trueloop-sft-") as scratch:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(completion_only_loss=True, **trainer_arguments(config, Path(scratch))),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=[watcher],
        )
        silence(trainer)
        trainer.train()
    return finish(trainer, tokenizer, config, watcher.metrics | {"demonstrations": float(len(rows))}, time.monotonic() - started)


def _demonstrations(path: Path) -> list[dict[str, Any]]:
    rows = []
    for line, row in read_rows(path):
        prompt = conversation(row, "prompt" if "prompt" in row else "messages", line)
        answer = completion(row, "completion", line)
        if not any(message["content"].strip() for message in answer):
            raise DatasetError(f"line {line}: 'completion' is empty; expected a demonstration: drop the row")
        rows.append({"prompt": prompt, "completion": answer})
    return rows
