"""Rejection sampling fine-tuning: of n answers of the model to each prompt, SFT on the best under two rewards.

Source: Touvron et al. 2023, arXiv:2307.09288, section 3.2.3: the K outputs of a prompt are ranked by reward, and the best is the new gold standard.
The rule 'safety_first' is the piecewise combination that the same section gives for PPO: an answer whose safety is below a threshold (0.15 there)
counts by its safety, any other by its helpfulness. Its other half, that prompts tagged as unsafe count by safety always, is left out: prompts carry
no such tag. 'weighted' is the mean of both by `safety_weight`.

Each reward is one or a weighted mixture of `trueloop.trainers.rewards`: reward models, checks in code, judges. An answer that one of the two
cannot score, that was cut, or that is blank is left out and counted; it never scores 0. A prompt without a scored answer teaches nothing.

Rows: prompt, prompt_id; other columns are left out.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal

from pydantic import Field, model_validator
from trueloop.trainers import sft
from trueloop.trainers.frame.job_config import JobConfig, Progress
from trueloop.trainers.frame.policy_model import prepare
from trueloop.trainers.frame.rows_file import conversation, read_rows
from trueloop.trainers.frame.saved_steps import job_key
from trueloop.trainers.frame.training_errors import DatasetError
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.frame.training_run import state_directory
from trueloop.trainers.making.best_of_n import best, growth
from trueloop.trainers.making.kept_rows import KeptRows
from trueloop.trainers.making.samples import Decoding, Messages, draw, load_model
from trueloop.trainers.making.stage import require_one_process, run_stage, staged_metrics
from trueloop.trainers.rewards.open_rewards import open_rewards
from trueloop.trainers.rewards.reward import Reward
from trueloop.trainers.rewards.settings import ModelReward, RewardedConfig, RewardSetting

Row = dict[str, Any]


class Config(JobConfig):
    """Settings of a job. The defaults are those of the demo's model; the steps, epochs and batch size are those of SFT."""

    learning_rate: float = Field(default=3e-4, gt=0, lt=1)
    helpfulness: tuple[RewardSetting, ...] = Field(min_length=1, max_length=20, description="what makes an answer good, mixed by weight")
    safety: tuple[RewardSetting, ...] = Field(default=(), max_length=20, description="what makes it safe, mixed by weight; none leaves helpfulness alone")
    rule: Literal["safety_first", "weighted"] = "safety_first"
    safety_threshold: float = Field(default=0.15, ge=0, le=1, description="safety below which an answer counts by its safety")
    safety_weight: float = Field(default=0.5, ge=0, le=1, description="share of safety under the rule 'weighted'")
    n: int = Field(default=8, ge=2, le=1024, description="answers per prompt")
    temperature: float = Field(default=1.0, gt=0, le=5)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_new_tokens: int = Field(default=128, ge=1, le=1 << 16)
    min_reward: float | None = Field(default=None, description="reward below which even the best answer is not learnt from; null learns from all")

    @model_validator(mode="after")
    def _on_one_scale(self) -> "Config":
        """Both rewards are compared with a threshold and with each other, so they must lie in [0, 1]."""
        raw = [setting.uri for setting in (*self.helpfulness, *self.safety) if isinstance(setting, ModelReward) and not setting.squash]
        if self.safety and raw:
            raise ValueError(f"reward model {raw[0]!r} has no scale of its own, and is compared with another reward; expected squash = true")
        return self


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Sample, choose, train on the best and save the model to `config.output_dir`.

    The report has the mean reward of the best of k answers for k up to n (`best_of_4`), and what was left out (`unscored`, `prompts_without_answer`).

    Raises:
        ConfigurationError: there is no checkpoint, reward model, check or judge of that name.
        DatasetError: there is no row, one is malformed, or no prompt has an answer to learn from.
        NonFiniteLossError: training diverged.
    """
    started = time.monotonic()
    require_one_process()
    prompts = {str(row.get("prompt_id") or line): conversation(row, "prompt", line) for line, row in read_rows(config.dataset_file)}
    prepare(config)
    with state_directory(config) as work:
        rows = _sampled(config, prompts, KeptRows(work / "samples.jsonl", job_key(config)), progress)
        winners, metrics = _chosen(config, rows)
        if not winners:
            raise DatasetError(
                f"none of {len(rows)} prompts has an answer to learn from ({metrics['unscored']:.0f} answers without a reward, "
                f"{metrics['prompts_without_answer']:.0f} prompts without an answer that came to an end); expected some: look at the rewards, raise "
                "max_new_tokens or lower min_reward"
            )
        demonstrations = [{"prompt": prompts[name], "completion": text} for name, text in winners.items()]
        report = run_stage(sft, config, work / "sft", demonstrations, progress, output_dir=config.output_dir)
    return replace(report, metrics=staged_metrics({"sft": report}) | metrics, seconds=time.monotonic() - started)


def combined(helpfulness: float | None, safety: float | None, config: Config) -> float | None:
    """Return what an answer is worth, in [0, 1] where both rewards are; None when one of them is missing."""
    if helpfulness is None or not config.safety:
        return helpfulness
    if safety is None:
        return None
    if config.rule == "weighted":
        return (1.0 - config.safety_weight) * helpfulness + config.safety_weight * safety
    return safety if safety < config.safety_threshold else helpfulness


def _sampled(config: Config, prompts: Mapping[str, Messages], kept: KeptRows, progress: Progress | None) -> dict[str, Row]:
    how = Decoding(config.n, config.max_new_tokens, config.temperature, config.top_p, config.seed)
    # Opened at the first sample: a job that goes on after its last one needs neither the rewards nor the model for it.
    load = cache(lambda: load_model(config))
    rewards = cache(lambda: (_open(config, config.helpfulness), _open(config, config.safety) if config.safety else None))

    def make(asked: Sequence[Messages]) -> Iterable[Row]:
        helpfulness, safety = rewards()
        drawn = draw(load(), asked, how)
        # One call for all answers: rewards batch, and a judge is asked many things at a time.
        flat = [(prompt, text) for prompt, texts in zip(asked, drawn, strict=True) for text in texts]
        helpful, safe = _scores(helpfulness, flat), _scores(safety, flat)
        place = 0
        for texts in drawn:
            until = place + len(texts)
            yield {"answers": texts, "helpfulness": helpful[place:until], "safety": safe[place:until]}
            place = until

    # Step 0, as no step of training is done: the call shows that the job is alive.
    alive = (lambda done, planned: progress(0, 0, {"sampled": float(done), "sampled_planned": float(planned)})) if progress else None
    return kept.complete(prompts, make, alive)


def _open(config: Config, settings: tuple[RewardSetting, ...]) -> Reward:
    return open_rewards(RewardedConfig(**{name: getattr(config, name) for name in JobConfig.model_fields}, rewards=settings))


def _scores(reward: Reward | None, answers: Sequence[tuple[Messages, str]]) -> list[float | None]:
    if reward is None or not answers:
        return [None] * len(answers)
    return reward.score([prompt for prompt, _ in answers], [text for _, text in answers])


def _chosen(config: Config, rows: Mapping[str, Row]) -> tuple[dict[str, str], dict[str, float]]:
    """Return the answer to learn from by prompt, and the numbers of the choice."""
    winners: dict[str, str] = {}
    scored: list[list[float]] = []
    rewards_of_winners = []
    unscored = 0
    for name, row in rows.items():
        rewards = [combined(helpful, safe, config) for helpful, safe in zip(row["helpfulness"], row["safety"], strict=True)]
        known = [reward for reward in rewards if reward is not None]
        scored.append(known)
        unscored += len(rewards) - len(known)
        place = best(rewards)
        reward = None if place is None else rewards[place]
        if place is not None and reward is not None and (config.min_reward is None or reward >= config.min_reward):
            winners[name] = row["answers"][place]
            rewards_of_winners.append(reward)
    metrics = {
        "prompts": float(len(rows)),
        "prompts_without_answer": float(sum(not row["answers"] for row in rows.values())),
        "answers": float(sum(len(row["answers"]) for row in rows.values())),
        "unscored": float(unscored),
        "winners": float(len(winners)),
    }
    if winners:
        metrics["winners_reward"] = sum(rewards_of_winners) / len(winners)
    return winners, metrics | {f"best_of_{k}": value for k, value in growth(scored, config.n).items()}
