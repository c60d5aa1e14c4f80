"""What the training jobs share: their configuration, the reading of a dataset, the watch over a run, and the report.

TrainingError
 +- DatasetError        rows that nothing can be learnt from (also a ValueError)
 +- NonFiniteLossError  the loss became NaN or infinite (also an ArithmeticError)

Messages hold line numbers and settings, never text of the dataset.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from trueloop.errors import ConfigurationError, TrainingError

CONFIG_FILE_NAME = "trueloop_config.json"
_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers")

Progress = Callable[[int, int, dict[str, float]], None]
Message = dict[str, str]


class DatasetError(TrainingError, ValueError):
    """A dataset that nothing can be learnt from."""


class NonFiniteLossError(TrainingError, ArithmeticError):
    """The loss became NaN or infinite; the weights are lost."""


class JobConfig(BaseModel):
    """What every method needs. The worker sets the three places; the rest comes from the policy's `training.config`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_dir: Path = Field(description="checkpoint to start from: any causal language model directory of transformers")
    dataset_file: Path = Field(description="JSON lines")
    output_dir: Path
    learning_rate: float = Field(gt=0, lt=1)
    batch_size: int = Field(default=32, ge=1, le=65536, description="rows per optimiser step, on each device")
    epochs: float = Field(default=1.0, gt=0, le=1000)
    max_steps: int | None = Field(default=None, ge=1, description="ends the job early; overrides epochs")
    warmup_share: float = Field(default=0.1, ge=0, lt=1, description="share of the steps with a rising learning rate; then it falls linearly to 0")
    max_length_tokens: int = Field(default=512, ge=8, le=1 << 20)
    gradient_checkpointing: bool = Field(default=False, description="less memory for more time; off, because a small model has memory to spare")
    threads: int | None = Field(default=None, ge=1, le=1024, description="CPU threads; null leaves the choice to torch")
    seed: int = Field(default=0, ge=0, lt=1 << 32)


@dataclass(frozen=True)
class TrainingReport:
    """The outcome of one job; everything that a `training-results` event needs. `tokens` counts each epoch again."""

    checkpoint_dir: str
    checkpoint_sha256: str
    metrics: dict[str, float]
    seconds: float
    tokens: int
    versions: dict[str, str]
    seed: int


def package_versions() -> dict[str, str]:
    """Return the versions of the training packages that are installed; absent ones are left out."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_config(config: BaseModel, output_dir: Path) -> None:
    """Write the job's configuration next to the weights, so that a checkpoint says how it was made."""
    text = json.dumps(config.model_dump(mode="json"), indent=2, sort_keys=True)
    (output_dir / CONFIG_FILE_NAME).write_text(text + "\n", encoding="utf-8")


def checkpoint_sha256(directory: Path) -> str:
    """Return the SHA-256 over the names and bytes of the weight files (sharded checkpoints have several), in name order."""
    digest = hashlib.sha256()
    for path in sorted(directory.glob("*.safetensors")):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as weights:
            while block := weights.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number (from 1) and row. Raises DatasetError naming the line that is no JSON object, or when there is no row at all."""
    if not path.is_file():
        raise DatasetError(f"no dataset file {str(path)!r}; expected JSON lines: export the dataset first")
    empty = True
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            empty = False
            yield number, _object(line, number)
    if empty:
        raise DatasetError(f"dataset {str(path)!r} has no row; expected at least one: collect labels, or select another dataset version")


def conversation(row: Mapping[str, Any], column: str, line: int) -> list[Message]:
    """Return the messages of a column. Raises DatasetError unless it is a non-empty list of objects with text `role` and `content`."""
    value = row.get(column)
    if not isinstance(value, list) or not value or not all(_is_message(message) for message in value):
        raise DatasetError(f"line {line}: {column!r} is no list of messages; expected [{{'role': ..., 'content': ...}}, ...] with text in both")
    return [{"role": message["role"], "content": message["content"]} for message in value]


def completion(row: Mapping[str, Any], column: str, line: int) -> list[Message]:
    """Return a completion as the one assistant message it is, given as text or (as TRL has it) as a list of messages."""
    value = row.get(column)
    return [{"role": "assistant", "content": value}] if isinstance(value, str) else conversation(row, column, line)


def prepare(config: JobConfig) -> None:
    """Set what the training libraries read when they are imported, and torch's threads. Raises ConfigurationError without a checkpoint."""
    if not (config.model_dir / "config.json").is_file():
        raise ConfigurationError(
            f"no checkpoint in model_dir {str(config.model_dir)!r}; expected a directory with config.json, safetensors and a tokenizer: correct model_dir"
        )
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch
    from datasets import disable_progress_bars

    disable_progress_bars()
    if config.threads is not None:
        torch.set_num_threads(config.threads)


def load_checkpoint(directory: Path) -> tuple[Any, Any]:
    """Return model and tokenizer. Nothing is fetched and no code of the checkpoint runs. Raises ConfigurationError without a chat template."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise ConfigurationError(f"the tokenizer in model_dir {str(directory)!r} has no chat template; expected one: add chat_template.jinja to the checkpoint")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(directory, local_files_only=True, trust_remote_code=False, use_safetensors=True)
    return model, tokenizer


def trainer_arguments(config: JobConfig, scratch: Path) -> dict[str, Any]:
    """Return the arguments that both TRL trainers get: nothing is reported or saved by them, and the CPU computes in float32."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "output_dir": str(scratch),
        "learning_rate": config.learning_rate,
        "per_device_train_batch_size": config.batch_size,
        "num_train_epochs": config.epochs,
        "max_steps": config.max_steps or -1,
        "warmup_steps": config.warmup_share,
        "lr_scheduler_type": "linear",
        "max_length": config.max_length_tokens,
        "gradient_checkpointing": config.gradient_checkpointing,
        "bf16": cuda and torch.cuda.is_bf16_supported(),
        "use_cpu": not cuda,
        "seed": config.seed,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 5,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": cuda,
    }


def watch(progress: Progress | None) -> Any:
    """Return the callback of transformers that reports each step and ends a run whose loss is not finite."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        """Remembers the numbers that were logged last."""

        def __init__(self) -> None:
            self.metrics: dict[str, float] = {}

        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
            self.metrics = self.metrics | {key: float(value) for key, value in (logs or {}).items() if isinstance(value, int | float)}
            loss = self.metrics.get("loss")
            if loss is not None and not math.isfinite(loss):
                raise NonFiniteLossError(f"loss is {loss!r} at step {state.global_step}; expected a finite number: lower learning_rate ({args.learning_rate})")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if progress is not None:
                progress(state.global_step, state.max_steps, {key: self.metrics[key] for key in ("loss", "rewards/accuracies") if key in self.metrics})

    return Watch()


def silence(trainer: Any) -> None:
    """Take away the callback that prints the numbers to standard output: a job speaks through `progress`."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)


def finish(trainer: Any, tokenizer: Any, config: JobConfig, metrics: Mapping[str, float], seconds: float) -> TrainingReport:
    """Write checkpoint, tokenizer and configuration to `config.output_dir` and return the report. Raises NonFiniteLossError on bad weights."""
    import torch

    if not all(bool(torch.isfinite(weights).all()) for weights in trainer.model.parameters()):
        raise NonFiniteLossError(f"a weight is not finite after training; expected finite numbers: lower learning_rate ({config.learning_rate})")
    trainer.model.save_pretrained(config.output_dir)
    tokenizer.save_pretrained(config.output_dir)
    write_config(config, config.output_dir)
    return TrainingReport(
        checkpoint_dir=str(config.output_dir),
        checkpoint_sha256=checkpoint_sha256(config.output_dir),
        metrics={key: value for key, value in metrics.items() if math.isfinite(value)},
        seconds=seconds,
        tokens=int(metrics.get("num_tokens", 0)),
        versions=package_versions(),
        seed=config.seed,
    )


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise DatasetError(f"line {number} is no JSON object; expected one row per line: export the dataset again")
    return value


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str)
