"""What an online job keeps so that it can go on after a kill: one safetensors file, replaced whole.

The randomness of a step is a hash of the seed and its number, so weights, optimiser, step and a few numbers are all there is to keep: a job
that goes on makes the same checkpoint as one that was never killed.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trueloop.trainers.frame.job_config import JobConfig
from trueloop.trainers.frame.saved_steps import job_key

if TYPE_CHECKING:
    import torch

FILE_NAME = "online_state.safetensors"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True)
class LoopState:
    """The trained parameters by name, and their AdamW optimiser."""

    parameters: "Mapping[str, torch.nn.Parameter]"
    optimizer: Any


def save_loop(config: JobConfig, state: LoopState, step: int, numbers: Mapping[str, float]) -> None:
    """Write the state after `step` steps. Without a state directory nothing is written."""
    if config.state_dir is None:
        return
    from safetensors.torch import save_file

    tensors = {f"weights.{name}": parameter.detach().contiguous() for name, parameter in state.parameters.items()}
    for name, parameter in state.parameters.items():
        held = state.optimizer.state.get(parameter, {})
        tensors |= {f"{moment}.{name}": held[moment].detach().contiguous() for moment in _MOMENTS if moment in held}
    config.state_dir.mkdir(parents=True, exist_ok=True)
    temporary = config.state_dir / f".{FILE_NAME}.new"
    save_file(tensors, temporary, {"key": job_key(config), "step": str(step), "numbers": json.dumps(dict(numbers))})
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    temporary.rename(config.state_dir / FILE_NAME)


def load_loop(config: JobConfig, state: LoopState) -> tuple[int, dict[str, float]]:
    """Set parameters and optimiser to what was kept, and return the steps done and the numbers; (0, {}) when nothing of this very job was kept."""
    path = config.state_dir / FILE_NAME if config.state_dir is not None else None
    if path is None or not path.is_file():
        return 0, {}
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as kept:
            said = kept.metadata() or {}
            if said.get("key") != job_key(config) or not all(f"weights.{name}" in kept.keys() for name in state.parameters):  # noqa: SIM118 - no mapping
                return 0, {}
            tensors = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118
    except SafetensorError:
        # The rename made it whole, so the disk has changed it since: the job begins anew.
        return 0, {}
    with torch.no_grad():
        for name, parameter in state.parameters.items():
            parameter.copy_(tensors[f"weights.{name}"])
            moments = {moment: tensors[f"{moment}.{name}"] for moment in _MOMENTS if f"{moment}.{name}" in tensors}
            if moments:
                # The count of steps stays on the CPU, as AdamW has it.
                state.optimizer.state[parameter] = {moment: value if moment == "step" else value.to(parameter.device) for moment, value in moments.items()}
    return int(said["step"]), {str(name): float(value) for name, value in json.loads(said["numbers"]).items()}
