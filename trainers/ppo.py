"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) of a language model, as Ziegler et al. 2019 (arXiv:1909.08593) have it.

Per step: completions of some prompts are sampled; each token is charged for leaving the reference model (the checkpoint that the job starts
from), the last one is given the reward of the whole; advantages by generalised advantage estimation; a few passes of clipped steps; the
charge follows the divergence. TRL has no PPO any more, so this one is ours.

Reduced against the textbook: one process; no entropy bonus; a completion that was cut counts as ended, at a penalty, and its rest is not
estimated by the value head. Rows: prompt (messages); other columns are left out.
"""

import time

from trueloop.trainers.frame.job_config import Progress
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.online.loop import Device, train_in_loop
from trueloop.trainers.online.ppo_update import PpoSettings, PpoUpdate
from trueloop.trainers.rewards.open_rewards import open_rewards
from trueloop.trainers.rewards.reward import Reward
from trueloop.trainers.rewards.settings import RewardedConfig


class Config(PpoSettings, RewardedConfig):
    """Settings of a PPO job: those of PPO, and its rewards."""


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Train on the prompts and save the policy to `config.output_dir`; the same settings on the same CPU give the same bytes.

    Raises:
        ConfigurationError: there is no checkpoint, reward or chat template.
        DatasetError: there is no prompt that fits, a row is malformed, or completions have no reward.
        NonFiniteLossError: training diverged.
    """
    started = time.monotonic()
    return train(config, open_rewards(config), progress, started)


def train(config: PpoSettings, reward: Reward, progress: Progress | None, started: float) -> TrainingReport:
    """Train with a reward that is open already; `started` is the job's beginning by time.monotonic(). Raises as `main` does."""

    def learner(device: Device) -> PpoUpdate:
        return PpoUpdate(config, device.model, device.pad_id, bf16=device.bf16)

    completions = config.batch_size * config.gradient_accumulation_steps * config.minibatches
    return train_in_loop(config, reward, learner, completions=completions, progress=progress, started=started)
