"""From a job's settings to the reward that they name."""

from pathlib import Path

from trueloop.trainers.evaluators import find_check
from trueloop.trainers.judges import open_judge
from trueloop.trainers.rewards.check_reward import CheckScore
from trueloop.trainers.rewards.judge_reward import JudgeScore
from trueloop.trainers.rewards.mixture import Mixture
from trueloop.trainers.rewards.reward import Reward
from trueloop.trainers.rewards.reward_model import RewardModel
from trueloop.trainers.rewards.settings import CheckReward, JudgeReward, ModelReward, RewardedConfig

from trueloop.adapters.model_store import ModelStore
from trueloop.errors import ConfigurationError
from trueloop.rubrics import Rubric


def open_rewards(config: RewardedConfig) -> Mixture:
    """Return the mixture that a job's settings name.

    Raises ConfigurationError when a check is not installed, a judge is not in the worker's settings, or a checkpoint is no reward model or not
    in the store; IntegrityError when a checkpoint was changed.
    """
    parts = [(setting.weight, _open(setting, config)) for setting in config.rewards]
    return Mixture(parts, clip=config.reward_clip, whitened=config.whiten_rewards)


def _open(setting: ModelReward | CheckReward | JudgeReward, config: RewardedConfig) -> Reward:
    if isinstance(setting, ModelReward):
        return RewardModel.load(_resolve(setting, config.models_dir), squash=setting.squash)
    if isinstance(setting, CheckReward):
        check = find_check(setting.name)
        if check is None:
            raise ConfigurationError(
                f"no check {setting.name!r} is installed here, or more than one; expected one entry point of that name in group 'trueloop.checks': install it, "
                "or correct `rewards`"
            )
        return CheckScore(setting.name, check, setting.dimension)
    return JudgeScore(open_judge(config, setting.name), _rubric(config, setting), setting.dimension)


def _rubric(config: RewardedConfig, setting: JudgeReward) -> Rubric:
    if config.rubric is None:
        raise ConfigurationError(f"judge {setting.name!r} is to judge by a rubric, and this job has none; expected that of its dataset")
    if config.rubric.dimension(setting.dimension) is None:
        known = ", ".join(dimension.name for dimension in config.rubric.dimensions)
        raise ConfigurationError(f"rubric {config.rubric.id!r} has no dimension {setting.dimension!r}; expected one of: {known}. Correct `rewards`")
    return config.rubric


def _resolve(setting: ModelReward, models_dir: Path | None) -> Path:
    if models_dir is None:
        raise ConfigurationError(f"reward model {setting.uri!r} is named and models_dir is not set; expected the root of the model store that holds it")
    return ModelStore(models_dir).resolve(setting.uri, setting.sha256)
