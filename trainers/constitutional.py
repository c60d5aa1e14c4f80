"""Constitutional AI: the model's answers, criticised and written again by the rubric's principles, teach it (SFT); a judge's preferences between its
new answers teach it more (DPO).

Source: Bai et al. 2022, arXiv:2212.08073, section 3 (supervised stage) and section 4 (preferences of a model instead of people's), with these
differences: the preferences train by DPO and not by a reward model and PPO; a judge is asked in both orders, and by the whole rubric; the
critique's request is fenced off from what it criticises (`trueloop.judges.constitution`); SFT is on the last revision of each prompt alone.

The constitution is the `principles` of the rubric that the dataset was labelled by, so it has that version and hash. Critic and judge are the model
itself ('self', the critic only) or judges of the worker's settings ('judge:NAME'). A prompt on which one of them gives no usable answer is dropped
and counted by reason; silence is never a tie. The judge is first asked about pairs on which people decided: how often it agrees is `p_correct`
of its own preferences, and below `min_agreement` the job ends.

Rows: prompt, chosen, rejected, as for DPO: their prompts are answered, and the judge is measured on them.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field
from trueloop.trainers import dpo, sft
from trueloop.trainers.frame.job_config import JobConfig, Progress
from trueloop.trainers.frame.policy_model import prepare
from trueloop.trainers.frame.rows_file import completion, conversation, read_rows
from trueloop.trainers.frame.saved_steps import job_key
from trueloop.trainers.frame.training_errors import DatasetError
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.frame.training_run import state_directory
from trueloop.trainers.judges import open_judge
from trueloop.trainers.local_judge import LocalChat
from trueloop.trainers.making.judged_pairs import HumanPair, measured, preferred
from trueloop.trainers.making.kept_rows import KeptRows
from trueloop.trainers.making.revisions import Reviser
from trueloop.trainers.making.samples import Decoding, Messages, load_model
from trueloop.trainers.making.stage import require_merged, require_one_process, run_stage, staged_metrics

from trueloop.errors import ConfigurationError, TrainingError
from trueloop.judges import Judge, JudgeAgreement
from trueloop.rubrics import Rubric, canonical_json, content_hash

Row = dict[str, Any]
_SELF = "self"
_JUDGE = "judge:"
_NAME = r"judge:[A-Za-z0-9._-]{1,100}"


class Config(JobConfig):
    """Settings of a job. The defaults are those of the demo's model; the steps, epochs and batch size are those of each stage."""

    learning_rate: float = Field(default=3e-4, gt=0, lt=1, description="of SFT on the revisions")
    critic: str = Field(default=_SELF, pattern=rf"^(self|{_NAME})$", description="who criticises and revises: 'self', or 'judge:NAME'")
    revisions: int = Field(default=1, ge=1, le=16, description="times that each answer is criticised and written again, each by another principle")
    judge: str | None = Field(default=None, pattern=rf"^{_NAME}$", description="who compares new answers, 'judge:NAME'; null ends the job after SFT")
    dpo_learning_rate: float = Field(default=2e-4, gt=0, lt=1, description="of DPO on the judge's preferences")
    beta: float = Field(default=0.1, gt=0, le=100, description="how strongly DPO holds the policy to the model that SFT left")
    max_new_tokens: int = Field(default=128, ge=1, le=1 << 16, description="longest answer, critique and revision")
    temperature: float = Field(default=1.0, gt=0, le=5, description="of the answers; critiques and revisions of the model itself are greedy")
    top_p: float = Field(default=1.0, gt=0, le=1)
    measure_on: int = Field(default=100, ge=0, le=100_000, description="pairs of the dataset on which the judge's agreement with people is measured")
    min_agreement: float = Field(default=0.5, ge=0, le=1, description="share of agreement below which the judge's preferences are not trained on")


@dataclass(frozen=True)
class _Material:
    """What the job starts from: prompts and people's pairs, by id."""

    prompts: Mapping[str, Messages]
    pairs: Mapping[str, HumanPair]


def main(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Make the data, train on them and save the policy to `config.output_dir`.

    Raises:
        ConfigurationError: there is no checkpoint, no constitution, or no such judge; or a second stage is to leave an adapter alone.
        DatasetError: there is no row, one is malformed, or no prompt got a revision, or none a preference.
        TrainingError: the judge agrees with people too seldom, or critic or judge do not answer.
        NonFiniteLossError: training diverged.
    """
    started = time.monotonic()
    require_one_process()
    rubric = _rubric(config)
    judge = _open(config, config.judge)
    critic = _open(config, config.critic)
    if judge is not None:
        require_merged(config)
    material = _read(config.dataset_file)
    prepare(config)
    with state_directory(config) as work:
        making = _Making(config, rubric, material, work, progress)
        agreement = making.agreement(judge) if judge else JudgeAgreement(0, 0)
        demonstrations, counts = making.revisions(critic)
        if judge is None:
            only = run_stage(sft, config, work / "sft", demonstrations, progress, output_dir=config.output_dir)
            return replace(only, metrics=staged_metrics({"sft": only}) | counts, seconds=time.monotonic() - started)
        first = run_stage(sft, config, work / "sft", demonstrations, progress)
        model = Path(first.checkpoint_dir)
        pairs, more = making.preferences(judge, agreement, model)
        second = run_stage(
            dpo, config, work / "dpo", pairs, progress,
            model_dir=model, output_dir=config.output_dir, learning_rate=config.dpo_learning_rate, beta=config.beta, confidence="conservative",
        )  # fmt: skip
    metrics = staged_metrics({"sft": first, "dpo": second}) | counts | more | _told(agreement)
    return replace(second, metrics=metrics, tokens=first.tokens + second.tokens, seconds=time.monotonic() - started)


def _open(config: Config, name: str | None) -> Judge | None:
    return open_judge(config, name.removeprefix(_JUDGE)) if name is not None and name != _SELF else None


def _rubric(config: Config) -> Rubric:
    if config.rubric is None or not config.rubric.principles:
        given = f"rubric {config.rubric.id!r} version {config.rubric.version}" if config.rubric else "this job, which has no rubric,"
        raise ConfigurationError(f"{given} holds no constitution; expected [[principles]] in the rubric: publish a version of it that has them")
    return config.rubric


def _read(path: Path) -> _Material:
    prompts: dict[str, Messages] = {}
    pairs: dict[str, HumanPair] = {}
    for line, row in read_rows(path):
        prompt = conversation(row, "prompt", line)
        chosen, rejected = (completion(row, column, line)[-1]["content"] for column in ("chosen", "rejected"))
        prompts.setdefault(_id(prompt), prompt)
        pairs.setdefault(_id([prompt, chosen, rejected]), HumanPair(prompt, chosen, rejected))
    return _Material(prompts, pairs)


def _id(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode(errors="replace")).hexdigest()[:32]


class _Making:
    """The data of one job, each part kept in `work` as it is made."""

    def __init__(self, config: Config, rubric: Rubric, material: _Material, work: Path, progress: Progress | None) -> None:
        self._config = config
        self._rubric = rubric
        self._material = material
        self._work = work
        self._progress = progress
        self._base = job_key(config)

    def agreement(self, judge: Judge) -> JudgeAgreement:
        """Measure the judge. Raises TrainingError when it agrees with people too seldom."""
        config = self._config
        kept = self._kept("measured", judge.fingerprint)
        found = measured(judge, self._rubric, self._material.pairs, config.measure_on, kept=kept, models=config.models_dir, alive=self._alive("measured"))
        if found.share is not None and found.share < config.min_agreement:
            raise TrainingError(
                f"judge {judge.name!r} agrees with people on {found.agreed} of {found.n} pairs of the dataset; expected a share of at least "
                f"{config.min_agreement}: name a better judge, or train on people's pairs"
            )
        return found

    def revisions(self, critic: Judge | None) -> tuple[list[Row], dict[str, float]]:
        """Return the demonstrations, and how many prompts there are of which kind."""
        config, prompts = self._config, self._material.prompts
        load = cache(lambda: load_model(config))
        reviser = Reviser(load, critic or LocalChat(load), self._rubric.principles, config.revisions, self._decoding(1))
        kept = self._kept("revisions", critic.fingerprint if critic else _SELF)
        rows = kept.complete({name: (name, prompt) for name, prompt in prompts.items()}, reviser.revise, self._alive("revised"))
        counts = _counts(rows, "revision")
        good = {name: row for name, row in rows.items() if "revision" in row}
        if not good:
            raise DatasetError(f"none of {len(rows)} prompts got a revision ({_said(counts)}); expected some: look at the critic, or raise max_new_tokens")
        counts["revisions"] = float(len(good))
        counts["revisions_unchanged"] = float(sum(row["revision"] == row["answer"] for row in good.values()))
        return [{"prompt": prompts[name], "completion": row["revision"]} for name, row in good.items()], counts

    def preferences(self, judge: Judge, agreement: JudgeAgreement, model: Path) -> tuple[list[Row], dict[str, float]]:
        """Return the judge's pairs between answers of the checkpoint `model`, and how many prompts there are of which kind."""
        load, how = cache(lambda: load_model(self._config, model)), self._decoding(2)
        kept = self._kept("preferences", judge.fingerprint)
        prompts = self._material.prompts
        rows = kept.complete(prompts, lambda asked: preferred(load, judge, self._rubric, asked, how), self._alive("judged"))
        counts = _counts(rows, "preference")
        good = {name: row for name, row in rows.items() if "chosen" in row}
        if not good:
            raise DatasetError(f"none of {len(rows)} prompts got a preference ({_said(counts)}); expected some: look at the judge, or raise temperature")
        shared = {"p_correct": agreement.p_correct, "weight": 1.0, "margin": 1.0}
        pairs = [{"prompt": prompts[name], "chosen": row["chosen"], "rejected": row["rejected"]} | shared for name, row in good.items()]
        return pairs, counts | {"preferences": float(len(pairs))}

    def _kept(self, name: str, asked: str) -> KeptRows:
        return KeptRows(self._work / f"{name}.jsonl", _id([self._base, content_hash(self._rubric), asked]))

    def _decoding(self, n: int) -> Decoding:
        config = self._config
        return Decoding(n, config.max_new_tokens, config.temperature, config.top_p, config.seed)

    def _alive(self, name: str) -> Callable[[int, int], None] | None:
        progress = self._progress
        # Step 0, as no step of training is done: the call shows that the job is alive.
        return (lambda done, planned: progress(0, 0, {name: float(done), f"{name}_planned": float(planned)})) if progress else None


def _counts(rows: Mapping[str, Mapping[str, Any]], what: str) -> dict[str, float]:
    """How many prompts were dropped, by reason."""
    return {f"no_{what}/{reason}": float(n) for reason, n in sorted(Counter(row["dropped"] for row in rows.values() if "dropped" in row).items())}


def _said(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {n:.0f}" for name, n in counts.items())


def _told(agreement: JudgeAgreement) -> dict[str, float]:
    if agreement.share is None:
        return {}
    low, high = agreement.interval or (0.0, 1.0)
    return {"judge_agreement": agreement.share, "judge_agreement_low": low, "judge_agreement_high": high, "judge_agreement_n": float(agreement.n)}
