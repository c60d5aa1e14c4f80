"""Online DPO (Guo et al. 2024, arXiv:2402.04792): pairs of completions that the policy has just written, ordered by the rewards.

A loop of our own: TRL has its OnlineDPOTrainer under `trl.experimental`, it trains on ties as if the first completion were better, which with
checks that say 0 or 1 is most of the pairs, and a reward that is missing cannot be told to it. Rows: prompt (messages); other columns are
left out.
"""

import time

from trueloop.trainers.frame.job_config import Progress
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.online.loop import Device, train_in_loop
from trueloop.trainers.online.online_dpo_update import OnlineDpoSettings, OnlineDpoUpdate
from trueloop.trainers.rewards.open_rewards import open_rewards
from trueloop.trainers.rewards.reward import Reward
from trueloop.trainers.rewards.settings import RewardedConfig


class Config(OnlineDpoSettings, RewardedConfig):
    """Settings of an online DPO job, and its rewards."""


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Train on the prompts and save the policy to `config.output_dir`; the same settings on the same CPU give the same bytes.

    Raises:
        ConfigurationError: there is no checkpoint, reward or chat template.
        DatasetError: there is no prompt that fits, a row is malformed, or completions have no reward.
        NonFiniteLossError: training diverged.
    """
    started = time.monotonic()
    return train(config, open_rewards(config), progress, started)


def train(config: OnlineDpoSettings, reward: Reward, progress: Progress | None, started: float) -> TrainingReport:
    """Train with a reward that is open already; `started` is the job's beginning by time.monotonic(). Raises as `main` does."""

    def learner(device: Device) -> OnlineDpoUpdate:
        return OnlineDpoUpdate(config, device.model, device.pad_id, bf16=device.bf16)

    completions = config.batch_size * config.gradient_accumulation_steps * config.completions_per_prompt
    return train_in_loop(config, reward, learner, completions=completions, progress=progress, started=started)
