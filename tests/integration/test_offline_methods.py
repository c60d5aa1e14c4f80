"""The offline methods and what they share really train: reward models, KTO, the mixed loss, adapters, and going on after kill -9."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trueloop.trainers import dpo, kto, mpo_multiloss, reward, sft, tiny_lm
from trueloop.trainers.frame import watch
from trueloop.trainers.frame.policy_model import load_causal_model
from trueloop.trainers.frame.saved_steps import MARK
from trueloop.trainers.frame.training_errors import DatasetError
from trueloop.trainers.frame.training_report import checkpoint_sha256
from trueloop.trainers.rewards.reward_model import RewardModel

from trueloop.adapters.model_store import ModelStore
from trueloop.demo.billing import REFERENCE, corpus_pair, make_case, write_answer
from trueloop.errors import ConfigurationError

METHODS = {"dpo": dpo, "kto": kto, "mpo_multiloss": mpo_multiloss, "reward": reward, "sft": sft}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return ModelStore(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, store: ModelStore) -> Path:
    directory = tmp_path_factory.mktemp("base")
    config = tiny_lm.Config(output_dir=directory, hidden_size=32, layers=2, heads=2, intermediate_size=32, batch_size=4, steps=2, threads=1)
    tiny_lm.main(config, [(case.messages, answer) for case, answer in (corpus_pair(index, "base", REFERENCE) for index in range(20))])
    return store.resolve(store.put(directory).uri)


def pairs(n: int = 16) -> list[dict[str, Any]]:
    cases = [make_case(index, "pairs") for index in range(n)]
    return [
        {
            "prompt": list(case.messages),
            "chosen": write_answer(case, salt="a"),
            "rejected": "Read your bill.",
            "margin": 0.5,
            "outcomes": {"tone": -1 if index % 4 == 0 else 1, "policy": 0},
            "slices": {"lang": "en" if index % 2 else "de"},
            "pair_id": f"pair-{index}",
        }
        for index, case in enumerate(cases)
    ]


def completions(n: int = 8) -> list[dict[str, Any]]:
    return [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen", "slices": row["slices"]}
        for row in pairs(n)
        for side in ("chosen", "rejected")
    ]


def settings(method: str, base: Path, folder: Path, rows: list[dict[str, Any]], **changes: Any) -> Any:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    places = {"model_dir": base, "dataset_file": folder / "rows.jsonl", "output_dir": folder / "out"}
    return METHODS[method].Config(**(places | {"batch_size": 4, "max_steps": 2, "threads": 1} | changes))


def train(method: str, *arguments: Any, **changes: Any) -> Any:
    return METHODS[method].main(settings(method, *arguments, **changes))


def test_a_reward_model_says_how_good_it_is_and_what_to_read(base: Path, tmp_path: Path, store: ModelStore) -> None:
    report = train("reward", base, tmp_path, pairs(), learning_rate=5e-3, max_steps=20, stopping={"share": 0.3, "every_steps": 100})

    assert not report.is_candidate
    assert report.metrics["accuracy"] == 1.0, "the rejected answers are all the same text"
    assert report.metrics["pairs"] + report.metrics["pairs_held_out"] == 16.0
    assert 0 <= report.metrics["brier"] < 0.25
    packet = json.loads((tmp_path / "out" / reward.AUDIT_FILE_NAME).read_text())
    assert packet["highest"][0]["score"] > packet["lowest"][0]["score"]
    assert {entry["side"] for entry in packet["lowest"][:2]} == {"rejected"}
    assert {"all", "dimension:tone", "slice:lang=en"} <= packet["quality"].keys()
    assert "bill" not in json.dumps(packet), "ids lead to the texts"
    row = pairs()[3]
    chosen, rejected = RewardModel.load(store.resolve(store.put(tmp_path / "out").uri)).score([row["prompt"]] * 2, [row["chosen"], row["rejected"]])
    assert chosen is not None
    assert rejected is not None
    assert chosen > rejected


def test_a_reward_model_of_few_pairs_makes_more_epochs(base: Path, tmp_path: Path) -> None:
    def steps(**changes: Any) -> list[tuple[int, int]]:
        told: list[tuple[int, int]] = []
        reward.main(settings("reward", base, tmp_path, pairs(), max_steps=None, stopping={}, **changes), lambda step, total, _: told.append((step, total)))
        return told

    assert steps(min_steps=10)[-1] == (12, 12), "3 epochs of 4 steps"
    assert steps(min_steps=0)[-1] == (4, 4)


@pytest.mark.parametrize(
    ("pairs", "changes", "epochs"),
    [
        (300, {}, 5.0),
        (100, {}, 12.0),
        (5000, {}, 1.0),
        (300, {"epochs": 8}, 8.0),
        (300, {"gradient_accumulation_steps": 2}, 10.0),
        (300, {"min_steps": 0}, 1.0),
    ],
)
def test_the_epochs_of_a_reward_model_follow_the_number_of_pairs(
    pairs: int, changes: dict[str, Any], epochs: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"model_dir": tmp_path, "dataset_file": tmp_path / "rows.jsonl", "output_dir": tmp_path / "out"}
    config = reward.Config(**places | changes)
    assert reward.epochs_of(config, pairs) == epochs
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert reward.epochs_of(config, 2 * pairs) == epochs, "a step takes rows for each process"


def test_a_reward_model_of_one_dimension_learns_its_outcomes() -> None:
    rows = [row | {"outcomes": {"tone": (1, -1, 0)[index % 3]}} for index, row in enumerate(pairs(9))]
    kept, ties = reward.pairs_of_objective(rows, "tone")
    assert (len(kept), ties) == (6, 3)
    assert [row["chosen"] == "Read your bill." for row in kept] == [False, True] * 3
    assert all(row["outcomes"]["tone"] == 1 and row["margin"] == 0.0 for row in kept)
    with pytest.raises(DatasetError, match="none of 9 pairs is decided on dimension 'safety'"):
        reward.pairs_of_objective(rows, "safety")


def test_kto_trains_on_single_completions(base: Path, tmp_path: Path) -> None:
    report = train("kto", base, tmp_path, completions()[:-4])
    assert report.metrics["desirable"] == report.metrics["undesirable"] == 6.0
    assert report.checkpoint_sha256 != checkpoint_sha256(base)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([row for row in completions() if row["label"]], "8 completions are good and 0 are not"),
        ([completions()[0] | {"label": 1}], "line 1: 'label'"),
    ],
)
def test_kto_needs_both_kinds(rows: list[dict[str, Any]], says: str, base: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=says):
        train("kto", base, tmp_path, rows)


def test_the_mixed_loss_trains(base: Path, tmp_path: Path) -> None:
    assert train("mpo_multiloss", base, tmp_path, pairs()).metrics["pairs"] == 16.0


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_lora_is_merged_into_the_base(method: str, base: Path, tmp_path: Path) -> None:
    rows = pairs() if method == "dpo" else [{"prompt": row["prompt"], "completion": row["chosen"]} for row in pairs()]
    train(method, base, tmp_path, rows, adapter="lora", lora={"rank": 4}, learning_rate=1e-2)
    before, after = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (base, tmp_path / "out"))
    assert before.keys() == after.keys()
    changed = {name for name, weights in after.items() if not torch.equal(weights, before[name])}
    assert changed
    assert all("proj" in name for name in changed), "embeddings, norms and biases are not adapted"


def test_an_adapter_is_stored_as_peft_lays_it_out_and_leads_to_its_base(base: Path, tmp_path: Path, store: ModelStore) -> None:
    for name in ("merged", "adapter"):
        (tmp_path / name).mkdir()
        train("dpo", base, tmp_path / name, pairs(), adapter="lora", save=name, learning_rate=1e-2)
    stored = store.resolve(store.put(tmp_path / "adapter" / "out").uri)
    said = json.loads((stored / "adapter_config.json").read_text())

    assert (stored / "adapter_model.safetensors").is_file()
    assert said["base_model_name_or_path"] == f"models://{base.name}"
    assert str(tmp_path) not in json.dumps(said)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged" / "out")
    assembled = load_causal_model(stored, store.root)
    for (name, ours), theirs in zip(assembled.named_parameters(), merged.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)
    with pytest.raises(ConfigurationError, match="models_dir is not set"):
        load_causal_model(stored)


def test_four_bits_need_a_gpu(base: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(ConfigurationError, match="adapter is 'qlora', which needs a CUDA GPU"):
        train("sft", base, tmp_path, [{"prompt": pairs()[0]["prompt"], "completion": "Yes."}], adapter="qlora")


def test_bfloat16_passes_keep_the_precision_of_the_checkpoint(base: Path, tmp_path: Path) -> None:
    report = train("dpo", base, tmp_path, pairs(), precision="bf16", gradient_accumulation_steps=2, max_steps=1)
    assert report.metrics["loss"] == pytest.approx(0.693, abs=0.01)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").dtype is torch.float32


def demonstrations(n: int = 16) -> list[dict[str, Any]]:
    return [{"prompt": row["prompt"], "completion": row["chosen"], "slices": row["slices"]} for row in pairs(n)]


@pytest.mark.parametrize(
    ("method", "rows", "kept", "lowest", "highest"),
    [
        ("dpo", pairs(), "pairs_held_out", 0.0, 1.0),
        ("mpo_multiloss", pairs(), "pairs_held_out", 0.0, 1.0),
        ("kto", completions(16), "completions_held_out", 0.0, 1.0),
        ("sft", demonstrations(), "demonstrations_held_out", -100.0, 0.0),
    ],
)
def test_training_ends_early_on_a_plateau_and_says_so(
    method: str, rows: list[dict[str, Any]], kept: str, lowest: float, highest: float, base: Path, tmp_path: Path
) -> None:
    rules = {"share": 0.3, "every_steps": 1, "patience": 2, "min_gain": 1.0}
    report = train(method, base, tmp_path, rows, stopping=rules, max_steps=50)
    assert report.stopped_by == "plateau"
    assert lowest <= report.metrics["held_out"] <= highest
    assert 0 < report.metrics[kept] < len(rows)


@pytest.mark.parametrize(("method", "rows"), [("kto", completions(16)), ("sft", demonstrations())])
def test_the_slices_of_rows_are_looked_at(method: str, rows: list[dict[str, Any]], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(watch, "stop_reason", lambda looks, _: seen.extend(looks) or "slice_slipped:lang=de")
    assert train(method, base, tmp_path, rows, stopping={"share": 0.4, "every_steps": 1}).stopped_by == "slice_slipped:lang=de"
    assert seen[0].slices.keys() == {"lang=de", "lang=en"}
    assert sum(score.n for score in seen[0].slices.values()) == seen[0].overall.n > 0


@pytest.mark.parametrize(("method", "rows"), [("kto", completions(1)), ("sft", demonstrations(1))])
def test_a_side_without_rows_is_refused(method: str, rows: list[dict[str, Any]], base: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"stopping\.share"):
        train(method, base, tmp_path, rows, stopping={"share": 0.5})


@pytest.mark.parametrize("missing", ["tokenizer", "chat template"])
def test_a_candidate_that_nobody_can_talk_to_is_refused(missing: str, base: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(broken)
    if missing == "chat template":
        tokenizer = AutoTokenizer.from_pretrained(base)
        tokenizer.chat_template = None
        tokenizer.save_pretrained(broken)
    with pytest.raises(ConfigurationError, match=missing):
        train("dpo", broken, tmp_path, pairs())


def test_prompts_that_leave_no_room_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="raise max_length_tokens"):
        train("dpo", base, tmp_path, pairs(), max_length_tokens=8)


CHILD = """
import json, os, signal, sys
from pathlib import Path
from trueloop.trainers import dpo

def progress(step, total, metrics):
    print(step, flush=True)

settings = json.loads(sys.argv[1])
report = dpo.main(dpo.Config(**settings), progress)
print(json.dumps([report.checkpoint_sha256, report.metrics.get("resumed_from_step"), report.tokens]), flush=True)
"""


def test_a_killed_run_goes_on_where_it_was_and_ends_with_the_same_weights(base: Path, tmp_path: Path) -> None:
    config = settings("dpo", base, tmp_path, pairs(), max_steps=12, state_dir=tmp_path / "state", checkpoint_every_steps=3)
    command = [sys.executable, "-c", CHILD, config.model_dump_json()]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert first.stdout is not None
    for line in first.stdout:
        if int(line) >= 8:
            os.kill(first.pid, signal.SIGKILL)
            break
    assert first.wait(60) == -signal.SIGKILL
    assert any(path.is_file() for path in (tmp_path / "state").glob(f"checkpoint-*/{MARK}"))
    # As if the kill had come while the next state was being written.
    torn = tmp_path / "state" / "checkpoint-11"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")

    steps: list[int] = []
    resumed = dpo.main(config, lambda step, *_: steps.append(step))
    whole = dpo.main(config.model_copy(update={"state_dir": None, "output_dir": tmp_path / "whole"}))

    begun = resumed.metrics["resumed_from_step"]
    assert begun >= 6
    assert steps == list(range(int(begun) + 1, 13)), "no step is made again from 0"
    assert resumed.checkpoint_sha256 == whole.checkpoint_sha256
    assert resumed.tokens == whole.tokens
    assert not torn.exists()


def test_a_state_of_other_settings_is_not_gone_on_from(base: Path, tmp_path: Path) -> None:
    train("dpo", base, tmp_path, pairs(), state_dir=tmp_path / "state", checkpoint_every_steps=1)
    report = train("dpo", base, tmp_path, pairs(), state_dir=tmp_path / "state", checkpoint_every_steps=1, beta=0.2)
    assert "resumed_from_step" not in report.metrics
