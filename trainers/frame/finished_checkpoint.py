"""The checkpoint that a job leaves: weights in safetensors, tokenizer, settings; merged, or an adapter as peft lays it out."""

import json
import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trueloop.trainers.frame.job_config import JobConfig, write_config
from trueloop.trainers.frame.policy_model import adapter_base, load_causal_model
from trueloop.trainers.frame.training_errors import NonFiniteLossError, named_faults
from trueloop.trainers.frame.training_report import TrainingReport, checkpoint_sha256, package_versions
from trueloop.trainers.frame.training_run import Outcome

from trueloop.adapters.adapter_checkpoint import is_adapter
from trueloop.adapters.model_store import MANIFEST, SCHEME


def finish(
    trainer: Any, tokenizer: Any, config: JobConfig, outcome: Outcome, *, metrics: Mapping[str, float], started: float, is_candidate: bool = True
) -> TrainingReport:
    """Write the checkpoint to `config.output_dir` and return the report. `started` is the job's beginning by time.monotonic().

    Under `accelerate launch` every process calls this, and process 0 writes. Raises NonFiniteLossError on bad weights, DiskFullError.
    """
    accelerator = trainer.accelerator
    # Sharded weights are gathered by all processes together.
    weights = accelerator.get_state_dict(trainer.model)
    if accelerator.is_main_process:
        _require_finite(weights, config)
        with named_faults(config.batch_size):
            write_model(accelerator.unwrap_model(trainer.model), config, weights)
            tokenizer.save_pretrained(config.output_dir)
            write_config(config, config.output_dir)
    accelerator.wait_for_everyone()
    numbers = outcome.metrics | dict(metrics) | _of_resuming(outcome)
    return report(config, numbers, started, tokens=outcome.tokens, stopped_by=outcome.stopped_by, is_candidate=is_candidate)


def report(
    config: JobConfig, metrics: Mapping[str, float], started: float, *, tokens: int, stopped_by: str | None = None, is_candidate: bool = True
) -> TrainingReport:
    """Return the report of the checkpoint in `config.output_dir`; metrics that are not finite are left out."""
    return TrainingReport(
        checkpoint_dir=str(config.output_dir),
        checkpoint_sha256=checkpoint_sha256(config.output_dir),
        metrics={key: value for key, value in metrics.items() if math.isfinite(value)},
        seconds=time.monotonic() - started,
        tokens=tokens,
        versions=package_versions(),
        seed=config.seed,
        stopped_by=stopped_by,
        is_candidate=is_candidate,
    )


def write_model(model: Any, config: JobConfig, weights: Mapping[str, Any] | None = None) -> None:
    """Write a trained model: whole, with its adapter merged, or the adapter alone, in the precision of the checkpoint that it started from.

    An adapter names its base as models://ID, so that it can be traced and no path of a machine enters the checkpoint; vLLM is given base and
    adapter apart and does not read the name. `weights` are those of a sharded model, gathered; None takes the model's own.
    """
    if config.adapter == "full":
        dtype = _dtype_of(config.model_dir, config.models_dir)
        gathered = None if weights is None else {name: value.to(dtype) for name, value in weights.items()}
        model.to(dtype).save_pretrained(config.output_dir, state_dict=gathered)
    elif config.save == "adapter":
        _write_adapter(model, config, config.output_dir)
    elif config.adapter == "qlora":
        _merge_in_full_precision(model, config)
    else:
        model.merge_and_unload().to(_dtype_of(config.model_dir, config.models_dir)).save_pretrained(config.output_dir)


def _require_finite(weights: Mapping[str, Any], config: JobConfig) -> None:
    import torch

    if not all(bool(torch.isfinite(value).all()) for value in weights.values() if value.is_floating_point()):
        raise NonFiniteLossError(f"a weight is not finite after training; expected finite numbers: lower learning_rate ({config.learning_rate})")


def _write_adapter(model: Any, config: JobConfig, directory: Path) -> None:
    model.peft_config["default"].base_model_name_or_path = _base_name(config.model_dir)
    # Left to itself, peft looks on a hub whether the base's vocabulary was changed; none of our methods changes it.
    model.save_pretrained(directory, selected_adapters=["default"], save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)


def _merge_in_full_precision(model: Any, config: JobConfig) -> None:
    """Merge into the base as it was before its quantisation: merged into 4 bits, most of what was learnt would be rounded away."""
    from peft import PeftModel

    with tempfile.TemporaryDirectory(prefix="trueloop-adapter-") as scratch:
        _write_adapter(model, config, Path(scratch))
        base = load_causal_model(config.model_dir, config.models_dir, dtype=_dtype_of(config.model_dir, config.models_dir))
        PeftModel.from_pretrained(base, scratch).merge_and_unload().save_pretrained(config.output_dir)


def _base_name(directory: Path) -> str:
    try:
        return SCHEME + str(json.loads((directory / MANIFEST).read_text(encoding="utf-8"))["checkpoint"])
    except FileNotFoundError:
        return directory.name


def _dtype_of(directory: Path, models_dir: Path | None) -> Any:
    """Return the dtype that a checkpoint's weights are stored in; one that says none has float32."""
    import torch

    if is_adapter(directory):
        directory = adapter_base(directory, models_dir)
    said = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    return getattr(torch, str(said.get("dtype") or said.get("torch_dtype") or "float32"), torch.float32)


def _of_resuming(outcome: Outcome) -> dict[str, float]:
    return {} if outcome.resumed_from_step is None else {"resumed_from_step": float(outcome.resumed_from_step)}
