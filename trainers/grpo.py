"""Group relative policy optimisation (Shao et al. 2024, arXiv:2402.03300) with TRL's GRPOTrainer.

The advantage of a completion is its reward less the mean of its prompt's completions, over their standard deviation; no value function.
Rows: prompt (messages); other columns are left out. The reference model is the checkpoint that the job starts from.
"""

import time
from typing import Any, Literal

from pydantic import Field
from trueloop.trainers.frame.job_config import Progress
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.online.group_settings import GroupSettings
from trueloop.trainers.online.group_training import train_in_groups
from trueloop.trainers.rewards.open_rewards import open_rewards
from trueloop.trainers.rewards.reward import Reward
from trueloop.trainers.rewards.settings import RewardedConfig


class GrpoSettings(GroupSettings):
    """Settings of GRPO. The defaults are those of the demo's model; a model of billions of parameters wants a learning rate of about 1e-6."""

    loss: Literal["grpo", "dr_grpo", "dapo"] = Field(
        default="dapo", description="mean over each completion's tokens, sum over a constant length, or mean over all tokens of the batch"
    )
    scale_rewards: Literal["group", "batch", "none"] = Field(default="group", description="what an advantage is divided by the standard deviation of")


class Config(GrpoSettings, RewardedConfig):
    """Settings of a GRPO job, and its rewards."""


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Train on the prompts and save the policy to `config.output_dir`.

    Raises:
        ConfigurationError: there is no checkpoint, reward or chat template.
        DatasetError: there is no prompt that fits, a row is malformed, or completions have no reward.
        NonFiniteLossError: training diverged.
    """
    started = time.monotonic()
    return train(config, open_rewards(config), progress, started)


def train(config: GrpoSettings, reward: Reward, progress: Progress | None, started: float) -> TrainingReport:
    """Train with a reward that is open already; `started` is the job's beginning by time.monotonic(). Raises as `main` does."""

    def trainer_of(arguments: dict[str, Any], parts: dict[str, Any]) -> Any:
        from trl.trainer.grpo_config import GRPOConfig
        from trl.trainer.grpo_trainer import GRPOTrainer

        return GRPOTrainer(args=GRPOConfig(loss_type=config.loss, scale_rewards=config.scale_rewards, **arguments), **parts)

    return train_in_groups(config, reward, trainer_of, progress, started)
