"""Mixed preference optimisation of Gou and Nguyen 2024 (arXiv:2403.19443): DPO on the easy pairs, then reinforcement learning on the hard prompts.

A reward model scores each pair; a pair is easy when the chosen completion's reward is above the rejected one's by more than a threshold. DPO is
run on the easy pairs; then PPO, or RLOO, on the prompts of the hard ones, with the same reward model, from the DPO model, which is also the
reference. The reward model is one of the model store, or trained on the same pairs first.

Another method of the same name, a mixture of losses (Wang et al. 2024, arXiv:2411.10442), is `mpo_multiloss`.

Rows: prompt (messages), chosen and rejected (text, or messages as TRL has them), and where it is told p_correct.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from trueloop.trainers import dpo, ppo, reward, rloo
from trueloop.trainers.frame.job_config import PLACES, JobConfig, Progress
from trueloop.trainers.frame.pair_rows import read_pairs
from trueloop.trainers.frame.training_errors import DatasetError
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.frame.training_run import state_directory
from trueloop.trainers.making.stage import require_merged, require_one_process, run_stage, staged_metrics
from trueloop.trainers.online.ppo_update import PpoSettings
from trueloop.trainers.online.reward_gaps import Split, low_confidence_share, split_by_gap
from trueloop.trainers.rewards.reward_model import RewardModel

from trueloop.adapters.model_store import ModelStore
from trueloop.errors import ConfigurationError

_SECOND: dict[str, tuple[Any, Callable[..., TrainingReport]]] = {"ppo": (PpoSettings, ppo.train), "rloo": (rloo.RlooSettings, rloo.train)}
_STAGES = ("reward", "dpo", "second")
_PARTS = 1000

Row = Mapping[str, Any]


class Config(JobConfig):
    """Settings of an MPO job. What a stage does not set itself, and is no learning rate, it takes from the job."""

    learning_rate: float = Field(default=2e-4, gt=0, lt=1, description="of DPO on the easy pairs")
    reward_model: str | None = Field(
        default=None, pattern=r"^models://[0-9a-f]{32}$", description="reward model of the model store; null trains one on the pairs first"
    )
    split_threshold: float | None = Field(
        default=None, description="reward gap above which a pair is easy, in the reward model's unit; null goes by hard_share"
    )
    hard_share: float = Field(default=0.5, gt=0, lt=1, description="share of the pairs that are hard when there is no split_threshold")
    second: Literal["ppo", "rloo"] = Field(default="ppo", description="what learns from the prompts of the hard pairs")
    reward_stage: dict[str, Any] = Field(default_factory=dict, description="settings of `reward`, for the reward model that is trained first")
    dpo_stage: dict[str, Any] = Field(default_factory=dict, description="settings of `dpo`")
    second_stage: dict[str, Any] = Field(default_factory=dict, description="settings of `ppo` or `rloo`, but for the rewards")

    @model_validator(mode="after")
    def _stages_are_sound(self) -> Self:
        """Try the settings of each stage now, not after an hour of training the one before it."""
        if self.reward_model is not None and self.reward_stage:
            raise ValueError("reward_model and reward_stage are both set; expected one: a reward model of the store, or settings to train one with")
        kinds: dict[str, Any] = {"reward_stage": reward.Config, "dpo_stage": dpo.Config, "second_stage": _SECOND[self.second][0]}
        shared = {name: getattr(self, name) for name in JobConfig.model_fields if name != "learning_rate"}
        for name, kind in kinds.items():
            settings = getattr(self, name)
            places = sorted(set(PLACES) & settings.keys())
            if places:
                raise ValueError(f"{name} sets {places}, which only the worker sets; remove them")
            if name != "reward_stage" or self.reward_model is None:
                kind(**(shared | settings))
        return self


@dataclass(frozen=True)
class _Stage:
    """A method in the form that stages have."""

    Config: Any
    main: Callable[[Any, Progress | None], TrainingReport]


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Run the stages and save the policy to `config.output_dir`. A stage that was done before a kill is not done again.

    Raises:
        ConfigurationError: there is no checkpoint or reward model, or an adapter is to be left alone.
        DatasetError: a row is malformed, there are no easy or no hard pairs, or completions have no reward.
        NonFiniteLossError: training diverged.
    """
    started = time.monotonic()
    require_one_process()
    require_merged(config)
    pairs = read_pairs(config.dataset_file).rows
    reports: dict[str, TrainingReport] = {}
    with state_directory(config) as work:
        run = partial(_run, config, work=work, told=progress)
        if config.reward_model is None:
            reports["reward"] = run("reward", reward, pairs, config.reward_stage)
        scorer = _reward_model(config, reports, progress)
        scored, gaps = _gaps(scorer, pairs)
        split = _require_both(split_by_gap(gaps, config.split_threshold, config.hard_share))
        easy, hard = ([scored[number] for number in numbers] for numbers in (split.easy, split.hard))
        first = run("dpo", dpo, easy, {"learning_rate": config.learning_rate} | config.dpo_stage)
        settings, train = _SECOND[config.second]
        stage = _Stage(settings, lambda chosen, told: train(chosen, scorer, told, time.monotonic()))
        places = {"model_dir": Path(first.checkpoint_dir), "output_dir": config.output_dir}
        last = run("second", stage, [{"prompt": row["prompt"]} for row in hard], config.second_stage | places)
        reports |= {"dpo": first, config.second: last}
    counts = {"threshold": split.threshold, "pairs_without_reward": float(len(pairs) - len(scored))}
    metrics = staged_metrics(reports) | counts | _of_half("easy", easy) | _of_half("hard", hard)
    tokens = sum(report.tokens for report in reports.values())
    return replace(last, metrics=metrics, tokens=tokens, seconds=time.monotonic() - started)


def _run(config: Config, name: str, module: Any, rows: Sequence[Row], settings: Mapping[str, Any], *, work: Path, told: Progress | None) -> TrainingReport:
    """Run a stage with the method's own learning rate, where `settings` has none."""
    rate = {"learning_rate": module.Config.model_fields["learning_rate"].default}
    return run_stage(module, config, work / name, rows, _part_of(told, name), **(rate | dict(settings)))


def _part_of(progress: Progress | None, name: str) -> Progress | None:
    """Tell a stage's steps as those of the whole, in thousandths of each stage: how long the later ones are is not known yet."""
    if progress is None:
        return None
    done = _STAGES.index(name) * _PARTS

    def told(step: int, steps: int, numbers: dict[str, float]) -> None:
        progress(done + _PARTS * step // max(1, steps), len(_STAGES) * _PARTS, {f"{name}/{key}": value for key, value in numbers.items()})

    return told


def _reward_model(config: Config, reports: Mapping[str, TrainingReport], progress: Progress | None) -> RewardModel:
    if config.reward_model is None:
        directory = Path(reports["reward"].checkpoint_dir)
    elif config.models_dir is None:
        raise ConfigurationError(f"reward model {config.reward_model!r} is named and models_dir is not set; expected the root of the model store that holds it")
    else:
        directory = ModelStore(config.models_dir).resolve(config.reward_model)
    # Step 0: no step is done by scoring, but the job is alive.
    return RewardModel.load(directory, alive=(lambda: progress(0, 0, {})) if progress else None)


def _gaps(scorer: RewardModel, pairs: Sequence[Row]) -> tuple[list[Row], list[float]]:
    """Return the pairs whose completions both fit the reward model, and their gaps."""
    prompts = [row["prompt"] for row in pairs]
    chosen, rejected = ([row[column][-1]["content"] for row in pairs] for column in ("chosen", "rejected"))
    scores = scorer.score(prompts * 2, chosen + rejected)
    both = zip(pairs, scores[: len(pairs)], scores[len(pairs) :], strict=True)
    found = [(row, better - worse) for row, better, worse in both if better is not None and worse is not None]
    if not found:
        raise DatasetError(f"none of {len(pairs)} pairs fits the reward model; expected some: train one with a longer context")
    return [row for row, _ in found], [gap for _, gap in found]


def _require_both(split: Split) -> Split:
    if not split.easy or not split.hard:
        raise DatasetError(
            f"at a reward gap of {split.threshold:.3g} there are {len(split.easy)} easy and {len(split.hard)} hard pairs; expected some of each: change "
            "split_threshold or hard_share, or look whether the reward model tells completions apart"
        )
    return split


def _of_half(name: str, rows: Sequence[Row]) -> dict[str, float]:
    shares = low_confidence_share([row.get("p_correct") for row in rows])
    return {f"{name}_pairs": float(len(rows))} | {f"{name}_{key}": value for key, value in shares.items()}
