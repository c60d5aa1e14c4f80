"""REINFORCE leave-one-out (Ahmadian et al. 2024, arXiv:2402.14740) with TRL's RLOOTrainer.

The advantage of a completion is its reward, less the penalty for leaving the reference model, less the mean of its prompt's other
completions; no value function. It is not PPO. Rows: prompt (messages); other columns are left out. The reference model is the checkpoint that
the job starts from.
"""

import time
from typing import Any

from pydantic import Field
from trueloop.trainers.frame.job_config import Progress
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.online.group_settings import GroupSettings
from trueloop.trainers.online.group_training import train_in_groups
from trueloop.trainers.rewards.open_rewards import open_rewards
from trueloop.trainers.rewards.reward import Reward
from trueloop.trainers.rewards.settings import RewardedConfig


class RlooSettings(GroupSettings):
    """Settings of RLOO. The defaults are those of the demo's model; a model of billions of parameters wants a learning rate of about 1e-6."""

    completions_per_prompt: int = Field(default=4, ge=2, le=1024)
    beta: float = Field(default=0.05, ge=0, le=100, description="penalty per nat of divergence from the reference model; 0 loads none")
    normalize_advantages: bool = Field(default=False, description="bring the advantages of a step to mean 0 and standard deviation 1")


class Config(RlooSettings, RewardedConfig):
    """Settings of an RLOO job, and its rewards."""


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Train on the prompts and save the policy to `config.output_dir`.

    Raises:
        ConfigurationError: there is no checkpoint, reward or chat template.
        DatasetError: there is no prompt that fits, a row is malformed, or completions have no reward.
        NonFiniteLossError: training diverged.
    """
    started = time.monotonic()
    return train(config, open_rewards(config), progress, started)


def train(config: RlooSettings, reward: Reward, progress: Progress | None, started: float) -> TrainingReport:
    """Train with a reward that is open already; `started` is the job's beginning by time.monotonic(). Raises as `main` does."""

    def trainer_of(arguments: dict[str, Any], parts: dict[str, Any]) -> Any:
        from trl.trainer.rloo_config import RLOOConfig
        from trl.trainer.rloo_trainer import RLOOTrainer

        return RLOOTrainer(args=RLOOConfig(normalize_advantages=config.normalize_advantages, **arguments), **parts)

    return train_in_groups(config, reward, trainer_of, progress, started)
