"""The trainers' frame without torch: rules of stopping, held-out rows, whole and broken states, faults with a name, settings."""

import doctest
import errno
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from trueloop.trainers import kto, reward_quality
from trueloop.trainers.frame import held_out, stopping
from trueloop.trainers.frame.held_out import HeldOut, direction_scorer, hold_out, likelihood_scorer, look_at, split_by_prompt
from trueloop.trainers.frame.job_config import CONFIG_FILE_NAME, JobConfig, write_config
from trueloop.trainers.frame.saved_steps import MARK, job_key, mark_whole, newest_step
from trueloop.trainers.frame.stopping import HeldOutStopping, Look, Score, over_kl_budget, stop_reason
from trueloop.trainers.frame.training_errors import DatasetError, DeviceMemoryError, DiskFullError, named_faults


def looks(*values: float, n: int = 100) -> list[Look]:
    return [Look(10 * number, Score(value, n), {"lang=de": Score(value, n)}) for number, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((), None),
        ((0.5,), None),
        ((0.5, 0.6, 0.7, 0.8), None),
        ((0.5, 0.6, 0.6, 0.55), "plateau"),
        ((0.6, 0.61, 0.62), "plateau"),  # each gain is below min_gain, and the best does not creep up with them
        ((0.6, 0.5, 0.7, 0.7), None),
    ],
)
def test_training_ends_on_a_plateau(values: tuple[float, ...], reason: str | None) -> None:
    assert stop_reason(looks(*values), HeldOutStopping(share=0.1, patience=2, min_gain=0.05)) == reason


def test_training_ends_when_a_slice_slips_and_says_which() -> None:
    rules = HeldOutStopping(share=0.1, patience=9, max_slice_drop=0.1)

    def seen(de: float, n: int = 50) -> Look:
        return Look(1, Score(0.9, 100), {"lang=de": Score(de, n), "lang=en": Score(0.95, 50)})

    assert stop_reason([seen(0.8), seen(0.71)], rules) is None
    assert stop_reason([seen(0.8), seen(0.69)], rules) == "slice_slipped:lang=de"
    assert stop_reason([seen(0.8), seen(0.9), seen(0.79)], rules) == "slice_slipped:lang=de", "it is measured from the best look, not from the first"
    assert stop_reason([seen(0.8), seen(0.1, n=19)], rules) is None, "too few items say nothing"
    assert stop_reason([seen(0.8), seen(0.1)], HeldOutStopping(share=0.1)) is None


def test_a_budget_of_divergence() -> None:
    assert [over_kl_budget(kl, 5.0) for kl in (4.9, 5.0, 5.1)] == [None, None, "kl_budget"]
    assert over_kl_budget(1e9, None) is None


def test_stopping_without_held_out_rows_is_refused() -> None:
    with pytest.raises(ValidationError, match="share > 0"):
        HeldOutStopping(patience=2)


@pytest.mark.parametrize("rules", [HeldOutStopping(), HeldOutStopping(share=0.1, patience=5)])
def test_rules_survive_being_written_down(rules: HeldOutStopping) -> None:
    assert HeldOutStopping.model_validate_json(rules.model_dump_json()) == rules


def test_held_out_prompts_are_whole_steady_and_about_the_share() -> None:
    rows = [{"prompt": [{"role": "user", "content": str(number % 400)}], "chosen": str(number)} for number in range(1200)]
    train, held = split_by_prompt(rows, 0.25, seed=1)
    assert {row["prompt"][0]["content"] for row in train}.isdisjoint(row["prompt"][0]["content"] for row in held)
    assert 70 * 3 <= len(held) <= 130 * 3
    assert split_by_prompt(list(reversed(rows)), 0.25, seed=1)[1] == list(reversed(held))
    assert split_by_prompt(rows, 0.25, seed=2)[1] != held
    assert split_by_prompt(rows, 0.0, seed=1) == (rows, [])


def test_rows_of_one_prompt_cannot_be_held_out_and_trained_on() -> None:
    rows = [{"prompt": "one"}, {"prompt": "one"}]
    with pytest.raises(DatasetError, match=r"of 2 rows (0|2) are held out"):
        hold_out(rows, HeldOutStopping(share=0.5), seed=0)
    assert hold_out(rows, HeldOutStopping(), seed=0) == (rows, [])


class Told:
    """A loaded model of which the mean log-probabilities are given, in place of the weights."""

    def __init__(self, means: list[float | None], _: Any) -> None:
        self._means = means

    def mean_log_probabilities(self, prompts: Any, texts: Any) -> list[float | None]:
        assert len(prompts) == len(texts) == len(self._means)
        return self._means


def test_a_completion_is_scored_by_whether_it_went_where_its_label_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out, "LoadedModel", Told)
    labels = (True, True, False, False, True, True)
    rows = [{"prompt": [], "completion": [{"role": "assistant", "content": "x"}], "label": label, "slices": {"lang": "de"}} for label in labels]
    score = direction_scorer(None, rows, [-2.0, -2.0, -2.0, -2.0, -2.0, None])
    assert score([-1.0, -3.0, -1.0, -3.0, -2.0, -1.0]) == [1.0, 0.0, 0.0, 1.0, 0.5, None]
    look = HeldOut(rows, score, HeldOutStopping(share=0.1)).look(7, [-1.0, -3.0, -1.0, -3.0, None, -1.0])
    assert look == Look(7, Score(0.5, 4), {"lang=de": Score(0.5, 4)})
    assert likelihood_scorer(None, rows[:1])([-4.0]) == [-4.0]


def test_a_look_without_evidence_is_none() -> None:
    assert look_at(1, [None, None], [{}, {}]) is None
    look = look_at(1, [1.0, 0.0, None], [{"a": "x"}, {"a": "y"}, {"a": "z"}])
    assert look == Look(1, Score(0.5, 2), {"a=x": Score(1.0, 1), "a=y": Score(0.0, 1)})


def settings(folder: Path, **changes: Any) -> JobConfig:
    return JobConfig(**({"model_dir": folder / "m", "dataset_file": folder / "d", "output_dir": folder / "o", "learning_rate": 0.1} | changes))


def state(folder: Path, step: int, key: str = "k") -> Path:
    directory = folder / f"checkpoint-{step}"
    directory.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "training_args.bin"):
        (directory / name).write_bytes(b"bytes of " + name.encode())
    mark_whole(directory, key, step=step, tokens=step * 7)
    return directory


def test_the_newest_whole_state_is_found(tmp_path: Path) -> None:
    assert newest_step(tmp_path, "k") is None
    state(tmp_path, 9)
    state(tmp_path, 10)
    found = newest_step(tmp_path, "k")
    assert found is not None
    assert (found.step, found.tokens, found.directory.name) == (10, 70, "checkpoint-10")
    assert not (found.directory / "training_args.bin").exists(), "a pickle that nobody needs"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda newest: (newest / MARK).unlink(),
        lambda newest: (newest / MARK).write_text('{"key": "k", "st'),
        lambda newest: (newest / "optimizer.pt").unlink(),
        lambda newest: (newest / "optimizer.pt").write_bytes(b"bytes of anybody"),
        lambda newest: (newest / "scheduler.pt").write_bytes(b"added"),
        lambda newest: mark_whole(newest, "another job", step=10, tokens=0),
    ],
    ids=["being written", "torn mark", "lost file", "changed file", "added file", "another job's"],
)
def test_a_state_that_is_not_whole_or_not_of_this_job_is_not_used(tmp_path: Path, spoil: Any) -> None:
    state(tmp_path, 9)
    newest = state(tmp_path, 10)
    spoil(newest)
    found = newest_step(tmp_path, "k")
    assert found is not None
    assert found.step == 9
    assert not newest.exists(), "it only takes room"


def test_a_job_is_told_by_its_settings_and_its_dataset_and_not_by_its_places(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("{}\n")
    key = job_key(settings(tmp_path))
    assert job_key(settings(tmp_path, output_dir=tmp_path / "elsewhere", state_dir=tmp_path / "s")) == key
    assert job_key(settings(tmp_path, learning_rate=0.2)) != key
    assert job_key(settings(tmp_path, model_dir=tmp_path / "m2")) != key
    (tmp_path / "d").write_text("{}\n{}\n")
    assert job_key(settings(tmp_path)) != key


def test_the_written_settings_name_no_place(tmp_path: Path) -> None:
    write_config(settings(tmp_path, state_dir=tmp_path), tmp_path)
    text = (tmp_path / CONFIG_FILE_NAME).read_text()
    assert json.loads(text)["learning_rate"] == 0.1
    assert str(tmp_path) not in text


def test_an_adapter_can_be_saved_only_where_there_is_one(tmp_path: Path) -> None:
    assert settings(tmp_path, adapter="lora", save="adapter").save == "adapter"
    with pytest.raises(ValidationError, match="no adapter to save"):
        settings(tmp_path, save="adapter")


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    ("error", "becomes", "says"),
    [
        (MemoryError(), DeviceMemoryError, "batch_size 8; lower batch_size"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), DeviceMemoryError, "lower batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"), DeviceMemoryError, "lower batch_size"),
        (OSError(errno.ENOSPC, "No space left on device"), DiskFullError, "the disk is full"),
        (RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/3: file write failed"), DiskFullError, "the disk is full"),
        (Exception("Error while serializing: I/O error: No space left on device (os error 28)"), DiskFullError, "the disk is full"),
    ],
)
def test_memory_and_disk_run_out_under_one_name_each(error: Exception, becomes: type[Exception], says: str) -> None:
    with pytest.raises(becomes, match=says), named_faults(8):
        raise error


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), OSError(errno.EACCES, "denied"), DatasetError("No space left on device")])
def test_other_faults_keep_their_names(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, named_faults(8):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("module", [stopping, held_out, reward_quality, kto], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_hold(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_both_kinds_of_completions_weigh_the_same_unless_told_otherwise() -> None:
    for good, bad in ((30, 10), (10, 30), (7, 7)):
        desirable, undesirable = kto.kind_weights(good, bad, None, None)
        assert desirable * good == pytest.approx(undesirable * bad)
    assert kto.kind_weights(30, 10, 0.5, 0.25) == (0.5, 0.25)
    assert kto.kind_weights(30, 10, None, 3.0) == (1.0, 3.0)
