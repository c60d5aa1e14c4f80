"""The settings that every training method has."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trueloop.config import JudgeSettings
from trueloop.rubrics import Rubric

CONFIG_FILE_NAME = "trueloop_config.json"
PLACES = ("model_dir", "models_dir", "dataset_file", "output_dir", "state_dir", "judges", "rubric")
"""Keys that the worker sets: an event must not choose what is read, written or asked."""

Progress = Callable[[int, int, dict[str, float]], None]
"""Called with step, steps planned and the newest numbers; it also shows that the job is alive."""


class Lora(BaseModel):
    """A low-rank adapter (Hu et al. 2021, arXiv:2106.09685): W + (alpha / rank) B A, of which only A and B are trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(default=16, ge=1, le=1024)
    alpha: int = Field(default=32, ge=1, le=4096)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] = Field(default=(), description="names of the linear layers that are adapted; none means all but the output layer")


class JobConfig(BaseModel):
    """What every method needs. The worker sets the places; the rest comes from the policy's `training.config`.

    A batch of one optimiser step holds batch_size x gradient_accumulation_steps x devices rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_dir: Path = Field(description="checkpoint to start from: any causal language model directory of transformers")
    models_dir: Path | None = Field(default=None, description="root of the model store that models://ID in other settings refers to")
    dataset_file: Path = Field(description="JSON lines")
    output_dir: Path
    state_dir: Path | None = Field(default=None, description="where a run keeps what it needs to go on after a kill; null keeps nothing")
    judges: dict[str, JudgeSettings] = Field(default_factory=dict, description="judges by name, from the settings of the worker")
    rubric: Rubric | None = Field(default=None, description="the rubric that the dataset was labelled by")
    learning_rate: float = Field(gt=0, lt=1)
    batch_size: int = Field(default=32, ge=1, le=65536, description="rows in one forward pass, on each device")
    gradient_accumulation_steps: int = Field(default=1, ge=1, le=4096, description="forward passes per optimiser step")
    epochs: float = Field(default=1.0, gt=0, le=1000)
    max_steps: int | None = Field(default=None, ge=1, description="ends the job early; overrides epochs")
    warmup_share: float = Field(default=0.1, ge=0, lt=1, description="share of the steps with a rising learning rate; then it falls linearly to 0")
    max_length_tokens: int = Field(default=512, ge=8, le=1 << 20)
    adapter: Literal["full", "lora", "qlora"] = Field(default="full", description="what is trained: all weights, a LoRA, or a LoRA on a 4-bit base")
    lora: Lora = Lora()
    save: Literal["merged", "adapter"] = Field(default="merged", description="whether a LoRA is merged into the base's weights or stored as peft lays it out")
    precision: Literal["auto", "float32", "bf16"] = Field(default="auto", description="auto is bf16 where a GPU has it, and float32 on a CPU")
    gradient_checkpointing: bool = Field(default=False, description="less memory for more time; off, because a small model has memory to spare")
    checkpoint_every_steps: int = Field(default=200, ge=1, description="steps that a kill can cost; matters only with state_dir")
    threads: int | None = Field(default=None, ge=1, le=1024, description="CPU threads; null leaves the choice to torch")
    seed: int = Field(default=0, ge=0, lt=1 << 32)

    @model_validator(mode="after")
    def _adapter_fits(self) -> "JobConfig":
        if self.save == "adapter" and self.adapter == "full":
            raise ValueError("save is 'adapter' and adapter is 'full': there is no adapter to save; set adapter to 'lora' or 'qlora', or leave save out")
        return self

    @property
    def models(self) -> Path | None:
        """Root of the model store, as the settings of a process call it."""
        return self.models_dir


def settings_of(config: BaseModel) -> dict[str, object]:
    """Return the settings without the places, which differ between machines and say nothing of the result."""
    return config.model_dump(mode="json", exclude=set(PLACES))


def write_config(config: BaseModel, output_dir: Path) -> None:
    """Write the settings next to the weights, so that a checkpoint says how it was made."""
    text = json.dumps(settings_of(config), indent=2, sort_keys=True)
    (output_dir / CONFIG_FILE_NAME).write_text(text + "\n", encoding="utf-8")
