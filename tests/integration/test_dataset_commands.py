"""`trueloop dataset` on a real broker: the trigger obeys orders, every version is rebuilt from the log, and a log that lost its beginning says so."""

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.factories import example
from tests.integration.loop_runtime import settings_of, until
from tests.processors.scenario import RUBRIC, START, policy
from trueloop.adapters.dataset_log import DatasetLog
from trueloop.adapters.kafka import Publisher, client_config, physical_name
from trueloop.adapters.publication import Documents
from trueloop.adapters.registry import connect
from trueloop.cli import run
from trueloop.config import Settings
from trueloop.embedded.runtime import EmbeddedRuntime, Stack
from trueloop.embedded.service import WorkerSpec
from trueloop.embedded.stack import loop_stack
from trueloop.events import GoldAnswer, Message, PreferencePair, Role, Split
from trueloop.topics import PREFERENCE_PAIRS

NAME = "support/pairs"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A broker, a registry, and the trigger worker with its documents."""
    state_dir = tmp_path_factory.mktemp("datasets")
    trigger = WorkerSpec(name="trigger", command=(sys.executable, "-m", "trueloop.cli", "worker", "trigger", "--instance", "local"))
    with EmbeddedRuntime(state_dir, Stack((trigger,), loop_stack(state_dir).prepare)) as runtime:
        settings = settings_of(runtime)
        documents = Documents(settings)
        documents.publish_rubric(RUBRIC, START)
        documents.publish_policy(policy(training={"min_new_pairs": 3, "method": "dpo"}), START)
        yield settings


@pytest.fixture
def trueloop(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("TRUELOOP_STATE_DIR", str(settings.state_dir))

    def call(*arguments: str) -> tuple[int, str]:
        code = run(["dataset", *arguments])
        captured = capsys.readouterr()
        return code, captured.out if code == 0 else captured.err

    return call


def pair(number: int, **changes: Any) -> PreferencePair:
    values: dict[str, Any] = {
        "application": "support",
        "rubric_id": "support",
        "rubric_version": 1,
        "event_id": f"event-{number}",
        "pair_id": f"pair-{number}",
        "task_id": f"task-{number}",
        "occurred_at": START + timedelta(minutes=number),
        "split": Split.TRAIN,
        "trainable": True,
        "withdrawn": False,
        "revises": None,
        "replaced_weight": 0.0,
        "weight": 1.0,
        "messages": [Message(role=Role.USER, content=f"question {number}")],
        "chosen": f"good {number}",
        "rejected": f"bad {number}",
    }
    return example(PreferencePair, **values | changes)


def send(settings: Settings, *numbers: int) -> None:
    Publisher(settings.kafka, connect(settings.registry)).publish(pair(number) for number in numbers)


def shown(trueloop: Any, *arguments: str) -> Any:
    code, out = trueloop(*arguments, "--json")
    assert code == 0, out
    return json.loads(out)


def exported(folder: Path) -> list[str]:
    return sorted(json.loads(line)["chosen"][0]["content"] for line in (folder / "train.jsonl").read_text().splitlines())


def test_datasets_from_the_first_pair_to_a_lost_log(settings: Settings, trueloop: Any, tmp_path: Path) -> None:
    log = DatasetLog(settings)
    assert trueloop("ls") == (0, "no dataset is frozen yet; `trueloop dataset freeze APPLICATION` makes one of the pairs that are there\n")

    send(settings, 1, 2, 3)
    until(lambda: len(log.versions()) == 1, "version 1")
    send(settings, 4)
    second = shown(trueloop, "freeze", "support", "--reason", "before the holidays", "--by", "ada")
    assert (second["version"], second["n_items"], second["frozen_by"], second["ordered_by"]) == (2, 4, "PERSON", "ada")
    code, said = trueloop("freeze", "support", "--reason", "again")
    assert (code, "no pair under rubric support@1 has come since support/pairs@2; expected" in said) == (2, True)

    assert trueloop("freeze", "support", "--reason", " ")[0] == trueloop("rollback", NAME, "1", "--reason", "x" * 1001)[0] == 2

    difference = shown(trueloop, "diff", f"{NAME}@1", f"{NAME}@2")
    assert (difference["added"]["pair_ids"], difference["removed"]["pair_ids"], difference["revised"]["pair_ids"]) == (["pair-4"], [], [])

    third = shown(trueloop, "rollback", NAME, "1", "--reason", "pair 4 is wrong", "--by", "ben")
    first = shown(trueloop, "show", f"{NAME}@1")
    assert (third["version"], third["parent"], third["restores"], third["content_hash"]) == (3, 2, 1, first["content_hash"])

    send(settings, 5, 6, 7)
    until(lambda: len(log.versions()) == 4, "version 4")
    for version in range(1, 5):
        told = shown(trueloop, "show", f"{NAME}@{version}", "--verify")
        assert (told["verified"], told["splits"]) == (True, {"train": told["n_items"], "calibration": 0})
    code, page = trueloop("show", f"{NAME}@4", "--verify")
    assert code == 0
    for fact in ("without 3 to 4 (rolled back)", "identical: the log gives 6 pairs", "rolled back to version 1, 3 pairs: pair 4 is wrong", "ROLLBACK (ben)"):
        assert fact in page
    assert [row["version"] for row in shown(trueloop, "ls", "--application", "support")] == [1, 2, 3, 4]

    gold = example(GoldAnswer, application="support", task_id="task-5")
    Publisher(settings.kafka, connect(settings.registry)).publish([gold])
    told = shown(trueloop, "export", NAME, "--format", "trl-preference", "--out", str(tmp_path / "out"))
    assert told["withheld"] == {"gold": 1}
    assert exported(tmp_path / "out") == ["good 1", "good 2", "good 3", "good 6", "good 7"]
    code, said = trueloop("export", NAME, "-f", "trl-preference", "-o", str(tmp_path / "out"))
    assert (code, "is not empty" in said) == (1, True)
    code, said = trueloop("export", NAME, "-f", "trl-preference", "-o", str(tmp_path / "held"), "--split", "calibration")
    assert (code, "holds no pair" in said) == (1, True)

    physical = physical_name(settings.kafka, PREFERENCE_PAIRS.name)
    admin = AdminClient(client_config(settings.kafka))
    for future in admin.delete_records([TopicPartition(physical, 0, 2)]).values():
        future.result(30)
    code, said = trueloop("show", f"{NAME}@4", "--verify")
    assert code == 1
    assert "the log begins at offset 2 and the dataset at 0" in said
    assert trueloop("show", f"{NAME}@4")[0] == 0
