"""The settings that every online method has."""

from typing import Self

from pydantic import Field, model_validator
from trueloop.trainers.frame.job_config import JobConfig


class OnlineConfig(JobConfig):
    """A job that samples completions from the policy it trains. A prompt and its completion have `max_length_tokens` together; longer prompts
    are left out and counted."""

    max_new_tokens: int = Field(default=64, ge=1, le=8192, description="longest completion; one that reaches it is cut")
    completions_per_prompt: int = Field(default=1, ge=1, le=256, description="completions sampled of each prompt in a step")
    temperature: float = Field(default=1.0, gt=0, le=2, description="of sampling, and of the policy that is trained; 1 is the model as it is")
    kl_budget: float | None = Field(
        default=None, gt=0, description="nats per completion; training ends when completions have diverged further from the reference model; null for no end"
    )

    @model_validator(mode="after")
    def _prompt_has_room(self) -> Self:
        if self.max_new_tokens >= self.max_length_tokens:
            raise ValueError(
                f"max_new_tokens is {self.max_new_tokens} and max_length_tokens {self.max_length_tokens}, which leaves no room for a prompt; raise the latter"
            )
        return self
