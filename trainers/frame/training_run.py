"""One run of a trainer of transformers: its arguments, its steps told to the caller, its states kept, its rules of stopping."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueloop.trainers.frame.held_out import HeldOut
from trueloop.trainers.frame.job_config import JobConfig, Progress
from trueloop.trainers.frame.policy_model import computes_in_bf16
from trueloop.trainers.frame.saved_steps import job_key, newest_step
from trueloop.trainers.frame.training_errors import named_faults


@dataclass(frozen=True)
class Outcome:
    """The numbers of a run. `metrics` holds the last logged value of each; `resumed_from_step` is None when the run began at step 0."""

    metrics: dict[str, float]
    steps: int
    tokens: int
    stopped_by: str | None
    resumed_from_step: int | None


@contextlib.contextmanager
def state_directory(config: JobConfig) -> Iterator[Path]:
    """Give the directory for a run's states: that of the settings, which outlives a kill, or a temporary one."""
    if config.state_dir is not None:
        config.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield config.state_dir
        return
    with tempfile.TemporaryDirectory(prefix="trueloop-training-") as scratch:
        yield Path(scratch)


def trainer_arguments(config: JobConfig, states: Path) -> dict[str, Any]:
    """Return the arguments that every TRL trainer gets: it reports nothing by itself, and saves states only where they outlive a kill."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "output_dir": str(states),
        "learning_rate": config.learning_rate,
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "num_train_epochs": config.epochs,
        "max_steps": config.max_steps or -1,
        "warmup_steps": config.warmup_share,
        "lr_scheduler_type": "linear",
        "max_length": config.max_length_tokens,
        "gradient_checkpointing": config.gradient_checkpointing,
        "bf16": computes_in_bf16(config),
        "use_cpu": not cuda,
        "seed": config.seed,
        "save_strategy": "no" if config.state_dir is None else "steps",
        "save_steps": config.checkpoint_every_steps,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_first_step": True,
        "logging_steps": 5,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": cuda,
    }


def run(trainer: Any, config: JobConfig, progress: Progress | None = None, held_out: HeldOut | None = None) -> Outcome:
    """Train to the end, or to where a rule of stopping ends it, going on from the newest whole state of this very job.

    Every process of `accelerate launch` calls this; process 0 alone marks states and calls `progress`. Held-out rows are scored by each process
    on its copy of the weights, so all of them stop at the same step.

    Raises:
        NonFiniteLossError: the loss became NaN or infinite.
        DeviceMemoryError: the device ran out of memory.
        DiskFullError: a state could not be written.
    """
    from transformers import PrinterCallback
    from trueloop.trainers.frame.watch import Watch

    watch = Watch(trainer, progress, held_out)
    begin = None
    if config.state_dir is not None:
        watch.key = job_key(config)
        begin = newest_step(config.state_dir, watch.key)
    if begin is not None:
        watch.go_on_from(begin)
    # It prints the numbers to standard output; a job speaks through `progress`.
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watch)
    with named_faults(config.batch_size):
        trainer.train(resume_from_checkpoint=str(begin.directory) if begin else None)
    return Outcome(watch.metrics, trainer.state.global_step, watch.tokens, watch.stopped_by, begin.step if begin else None)
