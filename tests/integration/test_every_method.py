"""Every training method as a policy's event orders it: through the broker, the worker and its warm process, to a checkpoint with its manifest, or to a
result that says what was wrong.

The model is tiny and was taught to say a few short things, so that what it samples comes to an end; the jobs are as short as can be.
"""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from tests.chat_server import Reply, chat_server
from tests.factories import example
from tests.integration.billing_policy import APPLICATION, billing_policy
from tests.integration.job_house import serve_topics
from tests.integration.trainer_house import NOW, TrainerHouse, WorkerProcess
from tests.scripted_critic import likes_yes
from trueloop.adapters.documents import load_rubric
from trueloop.adapters.kafka import Publisher
from trueloop.adapters.model_store import ModelStore, StoredCheckpoint
from trueloop.adapters.publication import Documents
from trueloop.adapters.registry import connect
from trueloop.config import load_settings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.events import DimensionOutcome, Evaluation, JobStatus, Message, PairSource, PreferencePair, Role, Split
from trueloop.topics import EVALUATIONS

RUBRIC = load_rubric("billing-support").model_copy(update={"id": "billing"})
POLICY = billing_policy({"dimensions": [{"dimension": "tone", "evaluator": "preference-accuracy"}]})
SAYINGS = ("Yes.", "No.", "Sure, yes.", "Never.")
N_PAIRS, N_REWRITES = 12, 4
OFFLINE = {"batch_size": 4, "max_steps": 2, "threads": 1, "max_length_tokens": 64}
ONLINE = OFFLINE | {"max_new_tokens": 4}
GROUPS = ONLINE | {"completions_per_prompt": 2}
MODEL = {"kind": "model", "uri": "the reward model"}
JUDGE = {"kind": "judge", "name": "panel", "dimension": "tone"}
SETTINGS: dict[str, dict[str, Any]] = {
    "sft": OFFLINE,
    "reward": OFFLINE | {"epochs": 1},
    "dpo": OFFLINE | {"confidence": "conservative", "weighted": True},
    "kto": OFFLINE,
    "mpo_multiloss": OFFLINE,
    "lamarckian": OFFLINE,
    "ppo": ONLINE | {"rewards": [MODEL]},
    "grpo": GROUPS | {"rewards": [MODEL]},
    "rloo": GROUPS | {"rewards": [MODEL]},
    "online_dpo": GROUPS | {"rewards": [MODEL | {"squash": True}, JUDGE]},
    "mpo": OFFLINE | {"reward_model": MODEL["uri"], "second_stage": {"max_new_tokens": 4}},
    "rejection_sampling": ONLINE | {"helpfulness": [MODEL | {"squash": True}], "safety": [JUDGE], "n": 2},
    "constitutional": ONLINE | {"critic": "judge:panel", "judge": "judge:panel", "measure_on": 4},
}
JUDGES_OF_NOTHING = ("mumbling", "late")
SHORTEST = ("sft", "reward", "kto", "ppo", "rejection_sampling")
"""What the default run trains: rows of each kind but chains, a reward model that another job names, a loop, and data that a job makes."""


def panel(request: dict[str, Any]) -> str | Reply:
    """Critic, reviser and judge in one: likes what is near to yes. As another model it says nothing usable, or too late."""
    if request["model"] != "scripted":
        return Reply("Well, well.", wait_s=5.0 if request["model"] == "late" else 0.0)
    return likes_yes(request)


def settings_of(judge: str, url: str) -> dict[str, str]:
    return {"URL": url, "MODEL": judge, "ATTEMPTS": "1", "TIMEOUT_S": "0.5"}


def question(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"question {number}"}]


def pair(number: int, split: Split, source: PairSource = PairSource.RATINGS) -> PreferencePair:
    name = f"{split}-{source}-{number}"
    names = {"event_id": f"event-{name}", "pair_id": f"pair-{name}", "task_id": f"task-{name}", "prompt_hash": f"{split}-{number}"}
    return example(
        PreferencePair, occurred_at=NOW, application=APPLICATION, rubric_id="billing", rubric_version=1, split=split, trainable=True, withdrawn=False,
        source=source, p_correct=0.9, weight=1.0, margin=1.0, outcomes=[DimensionOutcome(dimension="tone", outcome=1)], label_ids=[f"label-{name}"],
        messages=[Message(role=Role.USER, content=question(number)[0]["content"])], chosen="Sure, yes.", rejected="Never.", slices={}, **names,
    )  # fmt: skip


def make_base(store: ModelStore, folder: Path) -> StoredCheckpoint:
    from trueloop.trainers import tiny_lm

    corpus = [(question(number), SAYINGS[number % len(SAYINGS)]) for number in range(40)]
    small = {"hidden_size": 32, "layers": 1, "heads": 2, "intermediate_size": 32, "max_length_tokens": 256, "batch_size": 8, "threads": 1}
    tiny_lm.main(tiny_lm.Config(output_dir=folder, steps=60, learning_rate=1e-2, **small), corpus)
    return store.put(folder, {"name": "base"})


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainerHouse]:
    folder = tmp_path_factory.mktemp("methods")
    with EmbeddedRuntime(folder), chat_server(panel) as endpoint:
        settings = load_settings(state_dir=folder)
        serve_topics(settings)
        others = {f"TRUELOOP_JUDGES__{name.upper()}__{key}": value for name in JUDGES_OF_NOTHING for key, value in settings_of(name, endpoint.url).items()}
        worker = WorkerProcess(folder, endpoint.url, **others)
        publisher = Publisher(settings.kafka, connect(settings.registry))
        documents = Documents(settings)
        documents.publish_rubric(RUBRIC, NOW)
        documents.publish_policy(POLICY, NOW)
        pairs = [pair(number, split) for number in range(N_PAIRS) for split in (Split.TRAIN, Split.CALIBRATION)]
        pairs += [pair(N_PAIRS + number, Split.TRAIN, PairSource.REWRITE) for number in range(N_REWRITES)]
        publisher.publish(pairs)
        base = make_base(ModelStore(settings.models), folder / "base")
        yield TrainerHouse(folder, settings, publisher, base, pairs, worker.wait_ready())
        worker.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def reward_model(house: TrainerHouse) -> str:
    """The address of what the job of the method `reward` made, as the settings of another job name it."""
    house.request("job-reward", method="reward", config=SETTINGS["reward"])
    return str(house.final("job-reward").checkpoint_uri)


@pytest.mark.parametrize("method", [name if name in SHORTEST else pytest.param(name, marks=pytest.mark.long) for name in SETTINGS])
def test_a_request_becomes_a_checkpoint_that_says_what_it_was_made_from(house: TrainerHouse, reward_model: str, method: str) -> None:
    from safetensors.numpy import load_file
    from transformers import AutoConfig

    job_id = f"job-{method}"
    config = json.loads(json.dumps(SETTINGS[method]).replace(str(MODEL["uri"]), reward_model))
    if method != "reward":
        house.request(job_id, method=method, config=config)

    result = house.final(job_id)

    assert (result.status, result.error_class, result.error) == (JobStatus.SUCCEEDED, None, None)
    store = ModelStore(house.settings.models)
    directory = store.resolve(str(result.checkpoint_uri), result.checkpoint_sha256)
    weights, before = (load_file(path / "model.safetensors") for path in (directory, store.resolve(house.base.uri)))
    assert any((weights[name] != before[name]).any() for name in weights.keys() & before.keys())
    assert not list(directory.glob("*.bin")) + list(directory.glob("*.pt"))
    manifest = store.checkpoint(str(result.checkpoint_uri)).metadata
    assert manifest["config"] == json.dumps(config)
    assert (manifest["method"], manifest["seed"], manifest["base_checkpoint"]) == (method, result.seed, house.base.checkpoint)
    assert (manifest["dataset"], manifest["rubric"]) == (f"{APPLICATION}/pairs@1", "billing@1")
    assert manifest["versions"] == result.versions
    assert result.versions.keys() >= {"torch", "transformers", "trl", "tokenizers"}
    assert AutoConfig.from_pretrained(directory).architectures == ["LlamaForSequenceClassification" if method == "reward" else "LlamaForCausalLM"]
    if result.is_candidate:  # the evaluation loads it, as a policy
        evaluation = house.evaluation(job_id)
        assert (evaluation.error, evaluation.candidate, [score.n for score in evaluation.scores]) == (None, result.checkpoint, [N_PAIRS])
    assert result.is_candidate == (method != "reward")


def broken_base(house: TrainerHouse) -> dict[str, str]:
    """A base of which one weight is not a number."""
    from safetensors.numpy import load_file, save_file

    store, folder = ModelStore(house.settings.models), house.folder / "broken"
    shutil.copytree(store.resolve(house.base.uri), folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    stored = store.put(folder)
    return {"base_checkpoint": stored.checkpoint, "base_uri": stored.uri}


def test_what_nothing_can_be_learnt_from_ends_as_a_result_and_the_worker_lives(house: TrainerHouse, reward_model: str) -> None:
    best_of_two = ONLINE | {"helpfulness": [MODEL | {"uri": reward_model, "squash": True}], "n": 2}
    wrong: dict[str, tuple[dict[str, Any], str, str]] = {
        "job-diverged": ({"method": "sft", "config": OFFLINE} | broken_base(house), "NonFiniteLossError", "lower learning_rate"),
        "job-one-sided": ({"method": "reward", "config": OFFLINE | {"objective": "policy"}}, "DatasetError", "decided on dimension 'policy'"),
    }
    for judge in JUDGES_OF_NOTHING:
        config = best_of_two | {"safety": [JUDGE | {"name": judge}]}
        wrong[f"job-{judge}"] = {"method": "rejection_sampling", "config": config}, "DatasetError", "answers without a reward"
    before = house.worker.child().pid
    for job_id, (changes, _, _) in wrong.items():
        house.request(job_id, **changes)
    house.request("job-after", method="sft", config=OFFLINE)

    for job_id, (_, error_class, says) in wrong.items():
        result = house.final(job_id)
        assert (result.status, result.error_class, result.checkpoint) == (JobStatus.FAILED, error_class, None)
        assert says in str(result.error)
    assert house.final("job-after").status is JobStatus.SUCCEEDED
    assert house.evaluation("job-after").error is None
    assert house.worker.child().pid == before
    assert not {event.job_id for event in house.events(EVALUATIONS, Evaluation)} & wrong.keys(), "no gate hears of them"


def test_there_is_a_job_for_every_method() -> None:
    from trueloop.trainers.methods import METHODS

    assert SETTINGS.keys() == METHODS.keys()
