"""The stages of mixed preference optimisation, with stand-ins for the trainers: who trains on what, from where, and what is not done again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trueloop.trainers import mpo
from trueloop.trainers.frame.job_config import CONFIG_FILE_NAME
from trueloop.trainers.frame.training_errors import DatasetError
from trueloop.trainers.frame.training_report import TrainingReport, checkpoint_sha256

from trueloop.errors import ConfigurationError


class Scorer:
    """A reward model that likes long answers, and cannot read 'unread'."""

    def score(self, prompts: Any, completions: Any) -> list[float | None]:
        return [None if text == "unread" else float(len(text)) for text in completions]


class Stages:
    """Stand-ins for the methods; they remember what they were given."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, Any, list[Any]]] = []
        self.fails_in: str | None = None

    def main(self, name: str) -> Callable[..., TrainingReport]:
        def train(config: Any, progress: Any) -> TrainingReport:
            rows = [json.loads(line) for line in config.dataset_file.read_text().splitlines()]
            self.ran.append((name, config, rows))
            if self.fails_in == name:
                raise KeyboardInterrupt
            progress(1, 2, {"loss": 0.5})
            progress(2, 2, {"loss": 0.4})
            config.output_dir.mkdir(parents=True, exist_ok=True)
            (config.output_dir / "model.safetensors").write_text(name)
            return TrainingReport(str(config.output_dir), checkpoint_sha256(config.output_dir), {"loss": 0.4}, 1.0, 10, {}, config.seed)

        return train


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    made = Stages()
    monkeypatch.setattr(mpo.reward, "main", made.main("reward"))
    monkeypatch.setattr(mpo.dpo, "main", made.main("dpo"))
    for name, (settings, _) in dict(mpo._SECOND).items():
        second = made.main(name)
        monkeypatch.setitem(mpo._SECOND, name, (settings, lambda config, scorer, progress, started, second=second: second(config, progress)))
    monkeypatch.setattr(mpo.RewardModel, "load", lambda directory, **_: Scorer())
    return made


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., mpo.Config]:
    answers = [("a very long answer", "no", 0.9), ("no", "a very long answer", 0.55), ("longer", "short", 0.95), ("unread", "no", 0.8)]
    rows = [
        {"prompt": [{"role": "user", "content": f"Question {number}"}], "chosen": chosen, "rejected": rejected, "p_correct": sure}
        for number, (chosen, rejected, sure) in enumerate(answers)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    places = {"model_dir": tmp_path / "base", "dataset_file": tmp_path / "pairs.jsonl", "output_dir": tmp_path / "out", "state_dir": tmp_path / "state"}
    return lambda **changes: mpo.Config(**(places | {"split_threshold": 0.5, "batch_size": 8} | changes))


def questions(rows: list[Any]) -> list[str]:
    return [row["prompt"][0]["content"] for row in rows]


@pytest.mark.parametrize("second", ["ppo", "rloo"])
def test_easy_pairs_go_to_dpo_and_hard_prompts_to_the_second_stage(second: str, stages: Stages, config: Callable[..., mpo.Config], tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []

    report = mpo.main(config(second=second, dpo_stage={"beta": 0.3}, learning_rate=1e-5), lambda step, total, _numbers: steps.append((step, total)))

    (_, trained, pairs), (_, easy, chosen), (_, hard, prompts) = stages.ran
    assert [name for name, *_ in stages.ran] == ["reward", "dpo", second]
    assert len(pairs) == 4
    assert questions(chosen) == ["Question 0", "Question 2"]
    assert questions(prompts) == ["Question 1"]
    assert prompts[0].keys() == {"prompt"}
    assert (easy.beta, easy.learning_rate) == (0.3, 1e-5)
    assert trained.learning_rate == mpo.reward.Config.model_fields["learning_rate"].default
    assert hard.model_dir == easy.output_dir != easy.model_dir
    assert hard.output_dir == tmp_path / "out"
    assert (tmp_path / "out" / "model.safetensors").read_text() == second
    assert json.loads((tmp_path / "out" / CONFIG_FILE_NAME).read_text())["second"] == second
    assert steps == [(500, 3000), (1000, 3000), (1500, 3000), (2000, 3000), (2500, 3000), (3000, 3000)]
    assert report.tokens == 30
    assert report.metrics == {
        "reward/loss": 0.4, "dpo/loss": 0.4, f"{second}/loss": 0.4, "threshold": 0.5, "pairs_without_reward": 1.0,
        "easy_pairs": 2.0, "hard_pairs": 1.0, "easy_low_p_correct_share": 0.0, "hard_low_p_correct_share": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(("killed_in", "again"), [("reward", ["reward", "dpo", "ppo"]), ("dpo", ["dpo", "ppo"]), ("ppo", ["ppo"])])
def test_what_was_done_before_a_kill_is_not_done_again(killed_in: str, again: list[str], stages: Stages, config: Callable[..., mpo.Config]) -> None:
    stages.fails_in = killed_in
    with pytest.raises(KeyboardInterrupt):
        mpo.main(config(), lambda *_: None)
    stages.fails_in = None
    stages.ran.clear()
    mpo.main(config(), lambda *_: None)
    assert [name for name, *_ in stages.ran] == again


def test_a_split_that_leaves_one_side_empty_is_refused(stages: Stages, config: Callable[..., mpo.Config]) -> None:
    with pytest.raises(DatasetError, match="0 easy and 3 hard"):
        mpo.main(config(split_threshold=1000.0), lambda *_: None)


def test_a_reward_model_of_the_store_is_not_trained(stages: Stages, config: Callable[..., mpo.Config]) -> None:
    named = {"reward_model": "models://" + "0" * 32}
    with pytest.raises(ConfigurationError, match="models_dir is not set"):
        mpo.main(config(**named), lambda *_: None)
    assert stages.ran == []
    with pytest.raises(ConfigurationError, match="no checkpoint"):
        mpo.main(config(**named, models_dir=Path("absent")), lambda *_: None)


def test_an_adapter_alone_cannot_be_left(stages: Stages, config: Callable[..., mpo.Config]) -> None:
    with pytest.raises(ConfigurationError, match="adapter"):
        mpo.main(config(adapter="lora", save="adapter", reward_stage={"save": "merged"}), lambda *_: None)
