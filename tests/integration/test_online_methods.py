"""The online methods really learn: a tiny model that answers with one of four colours comes to name the one that is worth something."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from trueloop.trainers import grpo, mpo, online_dpo, ppo, rloo, tiny_lm
from trueloop.trainers.frame.job_config import CONFIG_FILE_NAME
from trueloop.trainers.frame.training_errors import DatasetError, NonFiniteLossError
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.online import loop_state
from trueloop.trainers.online.evidence import BARREN_STEPS

COLOURS = ("red", "green", "blue", "grey")
SETTINGS = {"ppo": ppo.PpoSettings, "grpo": grpo.GrpoSettings, "rloo": rloo.RlooSettings, "online_dpo": online_dpo.OnlineDpoSettings}
TRAIN = {"ppo": ppo.train, "grpo": grpo.train, "rloo": rloo.train, "online_dpo": online_dpo.train}
FAST = {"batch_size": 32, "max_steps": 7, "max_new_tokens": 4, "max_length_tokens": 32, "threads": 1, "learning_rate": 3e-3, "warmup_share": 0}
OF_METHOD: dict[str, dict[str, Any]] = {
    "ppo": {"batch_size": 16, "minibatches": 2, "completions_per_prompt": 2, "kl_coefficient": 0.01},
    "grpo": {"completions_per_prompt": 4, "learning_rate": 1e-2},
    "rloo": {"learning_rate": 6e-3},
    "online_dpo": {"batch_size": 16, "completions_per_prompt": 4, "learning_rate": 6e-3},
}


def prompt(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Colour {number}?"}]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("base")
    corpus = [(prompt(number % 16), COLOURS[(number // 16 + number) % 4]) for number in range(64)]
    small = {"hidden_size": 32, "layers": 1, "heads": 2, "intermediate_size": 32, "batch_size": 16, "max_length_tokens": 32, "threads": 1}
    tiny_lm.main(tiny_lm.Config(output_dir=directory, steps=60, learning_rate=1e-2, **small), corpus)
    return directory


@pytest.fixture
def settings(base: Path, tmp_path: Path) -> Callable[..., Any]:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": prompt(number), "prompt_id": str(number)}) + "\n" for number in range(16)))

    def made(method: str, output: str = "out", **changes: Any) -> Any:
        places = {"model_dir": base, "dataset_file": rows, "output_dir": tmp_path / output}
        return SETTINGS[method](**(places | FAST | OF_METHOD[method] | changes))

    return made


class Blue:
    """Worth 1 when the answer is blue; every seventh completion has no reward."""

    def score(self, prompts: Any, completions: Any) -> list[float | None]:
        return [None if number % 7 == 6 else float("blue" in text) for number, text in enumerate(completions)]


class Silent:
    """Knows no reward."""

    def score(self, prompts: Any, completions: Any) -> list[float | None]:
        return [None] * len(completions)


def train(method: str, config: Any, reward: Any, progress: Any = None) -> TrainingReport:
    found: TrainingReport = TRAIN[method](config, reward, progress, 0.0)
    return found


@pytest.mark.parametrize("method", ["ppo", "grpo", "rloo", "online_dpo"])
def test_the_reward_rises_and_the_same_seed_gives_the_same_bytes(method: str, settings: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    rewards: list[float] = []

    with caplog.at_level(logging.WARNING):
        report = train(method, settings(method), Blue(), lambda _step, _total, numbers: rewards.append(numbers.get("reward", 0.0)))

    assert len(rewards) == FAST["max_steps"]
    before, after = max(rewards[:2]), report.metrics["reward"]
    assert before < 0.55
    assert after > before + 0.15, rewards
    assert report.metrics["completions_without_reward"] >= 28
    assert report.tokens > 0
    assert (Path(report.checkpoint_dir) / "model.safetensors").is_file()
    assert "Colour" not in caplog.text, "no text of the dataset goes into the log"
    assert train(method, settings(method, "again"), Blue()).checkpoint_sha256 == report.checkpoint_sha256
    if method == "ppo":
        assert report.metrics.keys() >= {"kl", "entropy", "clip_share", "explained_variance", "value_loss", "kl_coefficient"}
        assert train(method, settings(method, "other", seed=1), Blue()).checkpoint_sha256 != report.checkpoint_sha256


class Killed(Exception):
    """Stands for a process that dies."""


@pytest.mark.parametrize("method", ["ppo", "online_dpo"])
def test_a_job_that_was_killed_goes_on_to_the_same_bytes(method: str, settings: Callable[..., Any], tmp_path: Path) -> None:
    state = {"state_dir": tmp_path / "state", "checkpoint_every_steps": 2, "max_steps": 5}
    steps: list[int] = []

    def killed(step: int, _total: int, _numbers: dict[str, float]) -> None:
        steps.append(step)
        if len(steps) == 4:
            raise Killed

    whole = train(method, settings(method, "whole", **(state | {"state_dir": None})), Blue())
    with pytest.raises(Killed):
        train(method, settings(method, **state), Blue(), killed)
    resumed = train(method, settings(method, **state), Blue(), lambda step, *_: steps.append(step))

    assert steps == [1, 2, 3, 4, 3, 4, 5]
    assert resumed.metrics["resumed_from_step"] == 2
    assert resumed.checkpoint_sha256 == whole.checkpoint_sha256
    assert resumed.tokens == whole.tokens
    assert [path.suffix for path in (tmp_path / "state").iterdir()] == [".safetensors"], "no pickle"


def test_a_state_that_is_damaged_or_of_another_job_is_not_gone_on_from(settings: Callable[..., Any], tmp_path: Path) -> None:
    state = {"state_dir": tmp_path / "state", "checkpoint_every_steps": 1, "max_steps": 1}
    train("ppo", settings("ppo", **state), Blue())
    assert "resumed_from_step" not in train("ppo", settings("ppo", **state, seed=9), Blue()).metrics
    (tmp_path / "state" / loop_state.FILE_NAME).write_bytes(b"x" * 100)
    assert "resumed_from_step" not in train("ppo", settings("ppo", **state), Blue()).metrics


@pytest.mark.parametrize("method", ["ppo", "grpo"])
def test_a_job_without_any_reward_fails_and_says_so(method: str, settings: Callable[..., Any]) -> None:
    with pytest.raises(DatasetError, match="has a reward"):
        train(method, settings(method, max_steps=2), Silent())


def test_a_job_is_given_up_when_rewards_stay_away(settings: Callable[..., Any]) -> None:
    with pytest.raises(DatasetError, match=f"last {BARREN_STEPS} steps"):
        train("online_dpo", settings("online_dpo", max_steps=100, max_new_tokens=1), Silent())


@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_training_ends_when_the_policy_has_gone_too_far(method: str, settings: Callable[..., Any]) -> None:
    steps: list[int] = []
    report = train(method, settings(method, kl_budget=0.02), Blue(), lambda step, *_: steps.append(step))
    assert report.stopped_by == "kl_budget"
    assert len(steps) < FAST["max_steps"]


@pytest.mark.parametrize("method", ["ppo", "online_dpo", "grpo"])
def test_a_lora_learns_too_and_is_merged(method: str, base: Path, settings: Callable[..., Any]) -> None:
    report = train(method, settings(method, adapter="lora", max_steps=2), Blue())
    assert {path.name for path in Path(report.checkpoint_dir).glob("*.safetensors")} == {"model.safetensors"}
    assert report.checkpoint_sha256 != train(method, settings(method, "full", max_steps=2), Blue()).checkpoint_sha256


@pytest.mark.parametrize("method", ["ppo", "online_dpo"])
def test_divergence_is_an_error_and_leaves_no_checkpoint(method: str, base: Path, settings: Callable[..., Any], tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.lm_head.weight[0] = float("nan")
    model.save_pretrained(tmp_path / "broken")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "broken")
    with pytest.raises(NonFiniteLossError, match="lower learning_rate"):
        train(method, settings(method, model_dir=tmp_path / "broken"), Blue())
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_prompts_without_room_are_left_out_and_counted(settings: Callable[..., Any]) -> None:
    config = settings("ppo", max_steps=1)
    with config.dataset_file.open("a") as rows:
        rows.write(json.dumps({"prompt": [{"role": "user", "content": "Colour " * 40}]}) + "\n")
    assert train("ppo", config, Blue()).metrics["prompts_left_out"] == 1


@pytest.fixture
def mixed(base: Path, tmp_path: Path) -> Callable[..., mpo.Config]:
    """Pairs that prefer blue; every fourth is turned round, and p_correct doubts it."""
    rows = []
    for number in range(32):
        flipped = number % 4 == 3
        chosen, rejected = ("grey", "blue") if flipped else ("blue", COLOURS[number % 2])
        rows.append({"prompt": prompt(number % 16), "chosen": chosen, "rejected": rejected, "p_correct": 0.6 if flipped else 0.95, "weight": 1.0})
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stages = {
        "reward_stage": {"stopping": {"share": 0}, "max_steps": 12, "learning_rate": 1e-2},
        "second_stage": {"minibatches": 1, "learning_rate": 3e-3, "max_new_tokens": 4},
    }
    shared = {name: value for name, value in FAST.items() if name != "max_new_tokens"}

    def made(**changes: Any) -> mpo.Config:
        places = {"model_dir": base, "dataset_file": path, "output_dir": tmp_path / "out"}
        return mpo.Config(**(places | shared | stages | {"batch_size": 16, "max_steps": 2} | changes))

    return made


def test_mpo_splits_by_the_reward_gap_and_goes_on_after_a_kill(mixed: Callable[..., mpo.Config], tmp_path: Path) -> None:
    steps: list[int] = []

    def killed(step: int, total: int, _numbers: dict[str, float]) -> None:
        steps.append(step)
        if step > 2 * total / 3:
            raise Killed

    with pytest.raises(Killed):
        mpo.main(mixed(state_dir=tmp_path / "state"), killed)
    first = list(steps)
    report = mpo.main(mixed(state_dir=tmp_path / "state"), lambda step, *_: steps.append(step))

    assert min(step for step in first if step) < 1000
    assert min(step for step in steps[len(first) :] if step) > 2000, "reward model and DPO are not trained again"
    assert report.metrics["easy_pairs"] + report.metrics["hard_pairs"] == 32
    assert report.metrics["hard_pairs"] >= 16
    assert report.metrics["hard_low_p_correct_share"] > report.metrics["easy_low_p_correct_share"], "pairs turned round are hard"
    assert report.metrics.keys() >= {"dpo/loss", "ppo/reward", "ppo/kl", "threshold"}
    assert report.tokens > 0
    assert json.loads((tmp_path / "out" / CONFIG_FILE_NAME).read_text())["second"] == "ppo"


def test_mpo_without_hard_or_easy_pairs_is_refused(mixed: Callable[..., mpo.Config]) -> None:
    with pytest.raises(DatasetError, match="0 easy and 32 hard"):
        mpo.main(mixed(split_threshold=1e6))
