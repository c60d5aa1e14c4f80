"""What `trueloop dataset` says, over a log in memory; `tests/integration/test_dataset_commands.py` runs it on a broker."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.factories import example
from tests.pairs_logs import pair
from tests.processors.scenario import RUBRIC, START, policy
from trueloop.adapters import dataset_log, publication
from trueloop.cli import run
from trueloop.datasets.pair_log import EMPTY, extend
from trueloop.events import DatasetKind, DatasetVersion, Event, FreezeCause, GoldAnswer, PreferencePair, TrainingRequest
from trueloop.rubrics.publication import policy_event, rubric_event
from trueloop.topics import DATASET_VERSIONS, GOLD, PREFERENCE_PAIRS, TRAINING_REQUESTS, Topic

SUPPORT: dict[str, Any] = {"application": "support", "rubric_id": "support", "rubric_version": 1, "occurred_at": START}
NAME = "support/pairs"


def frozen(number: int, records: list[PreferencePair], **changes: Any) -> DatasetVersion:
    chain = EMPTY
    for record in records:
        chain = extend(chain, record.event_id)
    told: dict[str, Any] = {"name": NAME, "version": number, "kind": DatasetKind.PAIRS, "content_hash": chain, "end_offset": len(records), "excluded": []}
    standard = SUPPORT | told | {"order_id": None, "ordered_by": None, "frozen_by": FreezeCause.NEW_PAIRS, "parent": number - 1 or None}
    return example(DatasetVersion, **standard | changes)


class House:
    """A log in memory, and the command line over it."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.pairs = [pair(number, **SUPPORT) for number in range(4)]
        self.events: dict[Topic, list[Event]] = {
            DATASET_VERSIONS: [frozen(1, self.pairs[:2]), frozen(2, self.pairs)],
            TRAINING_REQUESTS: [example(TrainingRequest, dataset=NAME, dataset_version=2, job_id="job-7")],
            GOLD: [example(GoldAnswer, task_id="task-3")],
            PREFERENCE_PAIRS: list(self.pairs),
        }
        self._capsys = capsys

    def read(self, _kafka: Any, _codec: Any, topic: Topic) -> list[Event]:
        return self.events[topic]

    def read_range(self, _kafka: Any, _codec: Any, topic: Topic, end_offset: int | None = None) -> Iterator[tuple[int, Event]]:
        yield from list(enumerate(self.events[topic]))[:end_offset]

    def publisher(self, *_: Any) -> Any:
        return SimpleNamespace(publish=self._obey)

    def _obey(self, orders: list[Any]) -> None:
        (order,) = orders
        restored = {"restores": order.restores, "changelog": order.reason, "order_id": order.event_id, "ordered_by": order.ordered_by}
        self.events[DATASET_VERSIONS].append(frozen(3, self.pairs, **restored))

    def call(self, *arguments: str) -> tuple[int, str]:
        code = run(["dataset", *arguments])
        captured = self._capsys.readouterr()
        return code, captured.out if code == 0 else captured.err


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> House:
    monkeypatch.chdir(tmp_path)
    found = House(capsys)
    monkeypatch.setattr(dataset_log, "connect", lambda _: None)
    monkeypatch.setattr(dataset_log, "read_events", found.read)
    monkeypatch.setattr(dataset_log, "read_range", found.read_range)
    monkeypatch.setattr(dataset_log, "Publisher", found.publisher)
    documents = SimpleNamespace(rubrics=lambda: [rubric_event(RUBRIC, START)], policies=lambda: [policy_event(policy(), START - timedelta(days=1))])
    for module in (dataset_log, publication):
        monkeypatch.setattr(module, "Documents", lambda _: documents)
    return found


def test_the_list_says_who_froze_what(house: House) -> None:
    code, out = house.call("ls")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [[NAME, "1"], [NAME, "2"]]
    assert "NEW_PAIRS" in out
    assert json.loads(house.call("ls", "--application", "other", "--json")[1]) == []


def test_a_version_is_shown_with_its_trail_and_its_jobs_and_verified(house: House) -> None:
    code, out = house.call("show", NAME, "--verify")
    assert code == 0
    for fact in (
        "support/pairs@2, pairs of application support",
        "job-7",
        "identical: the log gives 4 pairs",
        "4 pairs of split train, 0 pairs of split",
    ):
        assert fact in out
    assert "job-7" not in house.call("show", f"{NAME}@1")[1]


def test_pairs_that_repeat_others_are_counted_and_stay_out_of_exports(house: House, tmp_path: Path) -> None:
    """By the policy's `pairs.near_duplicate_above`, under which the version was frozen."""
    again = pair(7, **SUPPORT, prompt_hash="prompt-0", chosen=house.pairs[0].chosen, rejected=house.pairs[0].rejected)
    house.events[PREFERENCE_PAIRS].append(again)
    house.events[DATASET_VERSIONS].append(frozen(3, [*house.pairs, again]))
    code, out = house.call("show", f"{NAME}@3", "--verify")
    assert (code, "identical: the log gives 4 pairs" in out, "1 more repeat what another task of their prompt says" in out) == (0, True, True)
    assert json.loads(house.call("show", f"{NAME}@3", "--verify", "--json")[1])["repeated_pairs"] == 1
    assert house.call("export", f"{NAME}@3", "-f", "trl-preference", "-o", "out")[0] == 0
    assert len((tmp_path / "out" / "train.jsonl").read_text().splitlines()) == 3
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["repeated_pairs"] == 1


def test_a_log_that_gives_something_else_says_how_they_differ(house: House) -> None:
    house.events[PREFERENCE_PAIRS][1] = pair(9, **SUPPORT)
    code, said = house.call("show", NAME, "--verify")
    assert (code, "it holds 4 pairs up to offset 4, and 640 were frozen" in said) == (1, True)


def test_an_unknown_version_names_the_known_ones(house: House) -> None:
    assert house.call("show", f"{NAME}@9") == (2, "trueloop: no dataset 'support/pairs@9'; there are: support/pairs@1 to @2. See `trueloop dataset ls`\n")


def test_the_difference_lists_ids(house: House) -> None:
    code, out = house.call("diff", f"{NAME}@1", NAME)
    assert code == 0
    assert out.splitlines()[:3] == ["2 added; 2 RATINGS; 1 locale=de; 1 locale=fr", "  pair-002", "  pair-003"]
    assert out.splitlines()[3:] == ["0 removed", "0 revised"]


def test_an_export_leaves_known_answers_behind_and_needs_a_split_that_exists(house: House, tmp_path: Path) -> None:
    code, out = house.call("export", NAME, "-f", "trl-preference", "-o", "out")
    assert (code, "1 pairs stayed behind: gold" in out) == (0, True)
    assert len((tmp_path / "out" / "train.jsonl").read_text().splitlines()) == 3
    assert house.call("export", NAME, "-f", "trl-sft", "-o", "other", "--split", "test")[0] == 2
    assert house.call("export", NAME, "-f", "csv", "-o", "other")[0] == 1


def test_orders_say_why_and_who(house: House) -> None:
    assert "no pair under rubric support@1 has come since support/pairs@2" in house.call("freeze", "support", "--reason", "now")[1]
    house.pairs.append(pair(5, **SUPPORT))
    house.events[PREFERENCE_PAIRS].append(house.pairs[-1])
    for reason in (" ", "x" * 1001):
        code, said = house.call("freeze", "support", "--reason", reason)
        assert (code, "expected 1 to 1000" in said) == (2, True)
    assert "expected at most 256" in house.call("freeze", "support", "--reason", "now", "--by", "x" * 257)[1]
    code, out = house.call("freeze", "support", "--reason", "now", "--by", "ada", "--json")
    assert (code, json.loads(out)["ordered_by"], json.loads(out)["changelog"]) == (0, "ada", "now")


def test_going_back_wants_an_earlier_version_that_the_log_still_gives(house: House) -> None:
    assert "is the newest version; expected an earlier one" in house.call("rollback", NAME, "2", "--reason", "wrong")[1]
    code, out = house.call("rollback", NAME, "1", "--reason", "wrong", "--by", "ben", "--json")
    assert (code, json.loads(out)["restores"]) == (0, 1)
    house.events[PREFERENCE_PAIRS][0] = pair(9, **SUPPORT)
    assert house.call("rollback", NAME, "1", "--reason", "wrong")[0] == 1


def test_an_order_that_nobody_obeys_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "_obey", lambda _: None)
    monkeypatch.setattr(dataset_log, "time", SimpleNamespace(monotonic=iter((0.0, 1.0, 99.0)).__next__, sleep=lambda _: None))
    code, said = house.call("rollback", NAME, "1", "--reason", "wrong")
    assert (code, "no version came of it within 20 s" in said) == (3, True)
