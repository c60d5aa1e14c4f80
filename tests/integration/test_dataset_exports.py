"""Each export is read by its consumer: by the consumer itself where it is installed, else by a mirror of what its loader does with the keys."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from trueloop.trainers import tiny_lm

from tests.pairs_logs import HOSTILE, pair, version
from trueloop.adapters.export_directory import write_export
from trueloop.datasets.export_files import ExportOrder, export_files
from trueloop.datasets.pairs_dataset import PairSelection, build_pairs_dataset
from trueloop.demo.billing import REFERENCE, corpus_pair
from trueloop.events import Message, PairSource, PreferencePair, Role

N = 12
LOG = [
    *(pair(number) for number in range(N - 2)),
    pair(98, chosen=HOSTILE, slices={HOSTILE: HOSTILE}, p_correct=None),
    pair(99, source=PairSource.REWRITE, outcomes=[], slices={}),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("base")
    settings = tiny_lm.Config(output_dir=directory, hidden_size=32, layers=2, heads=2, intermediate_size=32, batch_size=4, steps=2, threads=1)
    tiny_lm.main(settings, [(case.messages, answer) for case, answer in (corpus_pair(index, "base", REFERENCE) for index in range(40))])
    return directory


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Any:
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(base)
    found.pad_token = found.pad_token or found.eos_token
    return found


@pytest.fixture
def model(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base)


def exported(folder: Path, name: str, log: list[PreferencePair] = LOG, **changes: Any) -> Path:
    dataset = build_pairs_dataset(log, PairSelection("billing-support", "billing", 2))
    write_export(folder / name, export_files(dataset, ExportOrder(version(), name, **changes)))
    return folder / name


def rows(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "train.jsonl").read_text(encoding="utf-8").splitlines()]


def loaded(directory: Path) -> Any:
    from datasets import load_dataset

    return load_dataset("json", data_files=str(directory / "train.jsonl"), split="train", cache_dir=str(directory.parent / "cache"))


def arguments(kind: Any, folder: Path) -> Any:
    """The settings of a trainer: its own, but for what this machine has no use for."""
    return kind(output_dir=str(folder / "scratch"), per_device_train_batch_size=N, max_length=512, bf16=False, use_cpu=True, report_to="none", max_steps=1)


def first_batch(trainer: Any) -> dict[str, Any]:
    return dict(next(iter(trainer.get_train_dataloader())))


def test_trl_dpo_takes_preferences(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    data = loaded(exported(tmp_path, "trl-preference"))
    trainer = DPOTrainer(model=model, args=arguments(DPOConfig, tmp_path), train_dataset=data, processing_class=tokenizer)

    assert set(data.column_names) == {"prompt", "chosen", "rejected", "weight"}
    assert first_batch(trainer)["input_ids"].shape[0] == 2 * N
    assert trainer.train().training_loss > 0


def test_trl_reward_takes_preferences_with_margins(tmp_path: Path, base: Path, tokenizer: Any) -> None:
    from transformers import AutoModelForSequenceClassification
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    scorer = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    scorer.config.pad_token_id = tokenizer.pad_token_id
    data = loaded(exported(tmp_path, "trl-reward"))
    trainer = RewardTrainer(model=scorer, args=arguments(RewardConfig, tmp_path), train_dataset=data, processing_class=tokenizer)

    batch = first_batch(trainer)

    assert batch["input_ids"].shape[0] == 2 * N
    assert batch["margin"].tolist() == [0.5] * N


def test_trl_kto_takes_unpaired_completions(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer

    data = loaded(exported(tmp_path, "trl-unpaired"))
    trainer = KTOTrainer(model=model, args=arguments(KTOConfig, tmp_path), train_dataset=data, processing_class=tokenizer)

    assert sorted(data["label"]) == [False] * N + [True] * N
    assert trainer.train().training_loss > 0


def test_trl_sft_takes_demonstrations(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    data = loaded(exported(tmp_path, "trl-sft"))
    trainer = SFTTrainer(model=model, args=arguments(SFTConfig, tmp_path), train_dataset=data, processing_class=tokenizer)

    batch = first_batch(trainer)

    assert batch["input_ids"].shape[0] == N
    assert bool((batch["labels"] == -100).any())  # the prompt is no target


def test_trl_stepwise_as_its_documentation_has_it(tmp_path: Path, tokenizer: Any) -> None:
    """Mirrors `PRMTrainer.tokenize_row` of TRL 0.16 to 0.29 (there is none in 1.16): it tokenizes the prompt and each step, and pairs steps with labels."""
    log = [pair(1, source=PairSource.REWRITE), pair(2, source=PairSource.REWRITE, messages=[Message(role=Role.USER, content="Why?")])]
    data = loaded(exported(tmp_path, "trl-stepwise", log))

    assert set(data.column_names) == {"prompt", "completions", "labels"}
    assert data["prompt"][:3] == ["System: Rules.\n\nUser: Question 1?"] * 2 + ["Why?"]
    assert data["labels"][:2] == [[False, True], [True, True]]
    for row in data:
        assert tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]
        assert all(tokenizer(step, add_special_tokens=False)["input_ids"] for step in row["completions"])
        assert len(row["completions"]) == len(row["labels"])


def templated(tokenizer: Any, prompt: list[dict[str, str]], answer: list[dict[str, str]]) -> tuple[str, str]:
    question = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(prompt + answer, tokenize=False)
    assert whole.startswith(question)
    return question, whole[len(question) :]


@pytest.mark.parametrize(("name", "prompt", "answers"), [("openrlhf-preference", "prompt", ("chosen", "rejected")), ("openrlhf-sft", "input", ("output",))])
def test_openrlhf_takes_its_keys(name: str, prompt: str, answers: tuple[str, ...], tmp_path: Path, tokenizer: Any) -> None:
    """Mirrors what RewardDataset and SFTDataset of OpenRLHF (commit 3c3be62, August 2026) do with the keys that the manifest names: both put the prompt
    and prompt plus answer through the chat template and cut the one off the other; RewardDataset reads 'margin' as a number."""
    directory = exported(tmp_path, name)
    data = loaded(directory)

    for row in data:
        for answer in answers:
            _, text = templated(tokenizer, row[prompt], row[answer])
            assert row[answer][0]["content"] in text or "<|" in row[answer][0]["content"]  # the template takes the sting out of its own marks
        assert isinstance(row.get("margin", 0.0), float)
    consumer = json.loads((directory / "manifest.json").read_text())["consumer"]
    assert f"{prompt} " in consumer
    assert "--data.apply_chat_template" in consumer


def test_nemo_rl_takes_context_and_ranked_completions(tmp_path: Path) -> None:
    """Mirrors PreferenceDataset and preference_preprocessor of NeMo-RL 0.6 (commit 7ea279a): exactly two completions, the lower rank is preferred, each a list
    of messages that is put after the context; a column 'task_name' is added, so there must be none."""
    data = loaded(exported(tmp_path, "nemo-rl-preference"))

    assert set(data.column_names) == {"context", "completions"}
    for row, expected in zip(data, rows(exported(tmp_path, "trl-preference")), strict=True):
        first, second = sorted(row["completions"], key=lambda completion: completion["rank"])
        assert (first["rank"], second["rank"]) == (0, 1)
        assert row["context"] + first["completion"] == expected["prompt"] + expected["chosen"]
        assert row["context"] + second["completion"] == expected["prompt"] + expected["rejected"]


def openai_faults(row: dict[str, Any]) -> list[str]:
    """What OpenAI's documentation of preference and supervised fine-tuning demands of a line (developers.openai.com, guides of 2026)."""

    def is_message(message: Any, roles: set[str]) -> bool:
        return set(message) == {"role", "content"} and message["role"] in roles and isinstance(message["content"], str)

    if "messages" in row:
        *prompt, answer = row["messages"]
        outputs = [[answer]]
    else:
        prompt = row["input"]["messages"]
        outputs = [row["preferred_output"], row["non_preferred_output"]]
    checks: dict[str, Callable[[], bool]] = {
        "prompt": lambda: all(is_message(message, {"system", "user", "assistant"}) for message in prompt) and prompt[-1]["role"] == "user",
        "one answer": lambda: all(len(output) == 1 and is_message(output[0], {"assistant"}) and output[0]["content"].strip() for output in outputs),
        "keys": lambda: set(row) in ({"messages"}, {"input", "preferred_output", "non_preferred_output"}),
    }
    return [name for name, check in checks.items() if not check()]


@pytest.mark.parametrize("name", ["openai-preference", "openai-sft"])
def test_openai_takes_ten_or_more_lines_of_its_form(name: str, tmp_path: Path) -> None:
    tool = [Message(role=Role.USER, content="Look."), Message(role=Role.TOOL, content="Found.")]
    said_last = [Message(role=Role.USER, content="Hello."), Message(role=Role.ASSISTANT, content="Yes?")]
    directory = exported(tmp_path, name, [*LOG, pair(100, messages=tool), pair(101, messages=said_last)])

    lines = rows(directory)

    assert len(lines) == N
    assert [openai_faults(line) for line in lines] == [[]] * N
    left_out = json.loads((directory / "manifest.json").read_text())["left_out"]
    assert left_out == {"tool_messages": 1, "no_question_last": 1}


def test_the_hub_directory_loads_by_its_card(tmp_path: Path) -> None:
    import yaml
    from datasets import load_dataset

    directory = exported(tmp_path, "huggingface", licence="cc-by-4.0")

    data = load_dataset(str(directory), cache_dir=str(tmp_path / "cache"))

    assert list(data) == ["train"]
    assert len(data["train"]) == N
    found = {row["pair_id"]: row for row in data["train"]}
    assert found["pair-098"]["chosen"] == [{"role": "assistant", "content": HOSTILE}]
    assert found["pair-098"]["slices"] == [{"name": HOSTILE, "value": HOSTILE}]
    assert (found["pair-098"]["p_correct"], found["pair-099"]["outcomes"]) == (None, [])
    _, front, page = (directory / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "cc-by-4.0"
    assert yaml.safe_load(front)["size_categories"] == ["n<1K"]
    for fact in ("billing version 2", version().content_hash, "| tone | 0.750 | 50 |", "| accuracy | undefined | 0 |", "| RATINGS | 11 |", "| REWRITE | 1 |"):
        assert fact in page


def test_the_hub_directory_loads_when_its_first_rows_have_no_slices(tmp_path: Path) -> None:
    """The loader would guess the type of a column from its first rows, were it not in the card."""
    from datasets import load_dataset

    log = [pair(number, slices={}, outcomes=[], p_correct=None) for number in range(3)] + [pair(9)]
    directory = exported(tmp_path, "huggingface", log, licence="other")

    data = load_dataset(str(directory), split="train", cache_dir=str(tmp_path / "cache"))

    assert data.features["slices"].feature["name"].dtype == "string"
    assert data.features["p_correct"].dtype == "float64"
