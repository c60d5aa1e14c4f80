"""The settings that GRPO and RLOO share: both compare the completions of one prompt with each other."""

from typing import Self

from pydantic import Field, model_validator
from trueloop.trainers.online.settings import OnlineConfig


class GroupSettings(OnlineConfig):
    """A job whose step samples batch_size x gradient_accumulation_steps completions, `completions_per_prompt` of each prompt."""

    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    completions_per_prompt: int = Field(default=8, ge=2, le=1024)
    beta: float = Field(default=0.04, ge=0, le=100, description="penalty per nat of divergence from the reference model; 0 loads none")
    clip: float = Field(default=0.2, gt=0, lt=1, description="how far the ratio of new to old probability may leave 1 before it gains no more")
    passes: int = Field(default=1, ge=1, le=64, description="over the completions of a step")

    @model_validator(mode="after")
    def _groups_are_whole(self) -> Self:
        rows = self.batch_size * self.gradient_accumulation_steps
        if rows % self.completions_per_prompt:
            raise ValueError(
                f"batch_size x gradient_accumulation_steps is {rows}, no multiple of completions_per_prompt {self.completions_per_prompt}; make it one"
            )
        if self.kl_budget is not None and self.beta == 0:
            raise ValueError("kl_budget is set and beta is 0: without a reference model no divergence is measured; set beta > 0, or leave kl_budget out")
        return self
