"""How a policy names rewards: only what is installed, configured at the worker, or in the model store; nothing is an address."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from trueloop.trainers.frame.job_config import JobConfig

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
Weight = Annotated[float, Field(gt=0, le=1000, description="share in the mixture, relative to the other weights")]


class _Setting(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: Weight = 1.0


class ModelReward(_Setting):
    """A reward model of the model store, such as the `reward` method makes.

    Its scores have no scale of their own: beside checks and judges, which lie in [0, 1], `squash` them.
    """

    kind: Literal["model"]
    uri: str = Field(pattern=r"^models://[0-9a-f]{32}$")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="of the checkpoint; null takes what the store has under the id")
    squash: bool = Field(default=False, description="1 / (1 + exp(-score)): in [0, 1]")


class CheckReward(_Setting):
    """A verifiable reward: one dimension of an installed check (entry point group `trueloop.checks`)."""

    kind: Literal["check"]
    name: Name
    dimension: Name


class JudgeReward(_Setting):
    """One dimension of the job's rubric, scored by a judge that the worker's settings name."""

    kind: Literal["judge"]
    name: Name
    dimension: Name


RewardSetting = Annotated[ModelReward | CheckReward | JudgeReward, Field(discriminator="kind")]


class RewardedConfig(JobConfig):
    """A job whose completions are scored by `rewards`, mixed with normalised weights; a completion that one of them cannot score has no reward."""

    rewards: tuple[RewardSetting, ...] = Field(min_length=1, max_length=20)
    reward_clip: float | None = Field(default=None, gt=0, le=1e6, description="mixed rewards are cut to [-clip, clip]; null cuts nothing")
    whiten_rewards: bool = Field(default=False, description="bring the rewards of a batch to mean 0 and standard deviation 1, before the cut")
