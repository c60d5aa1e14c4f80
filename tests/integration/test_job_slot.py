"""A slot with a real training process and a toy in place of the training: no broker, so every phase and fault is cheap."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trueloop.trainers import job_process
from trueloop.trainers.curve import read_curve
from trueloop.trainers.job_files import AttemptFiles, JobFiles
from trueloop.trainers.slot import Limits, Slot, Surroundings

from tests import toy_trainer
from tests.factories import example
from trueloop.adapters.model_store import ModelStore, StoredCheckpoint
from trueloop.config import Settings
from trueloop.datasets.pair_log import EMPTY, extend
from trueloop.errors import TrainingError
from trueloop.events import Evaluation, Event, JobOrder, JobOrderKind, JobStatus, PreferencePair, Split, TrainingRequest, TrainingResult

SECRET = "the words of a customer, which no log may hold"
N_PAIRS = 3
PATIENCE_S = 60.0
EQUAL = 3
"""The rubric version of which the log holds nothing but a pair that is equal to itself."""


class Book:
    """What the log would say."""

    def __init__(self) -> None:
        self.orders: dict[tuple[str, int], JobOrder] = {}
        self.results: dict[tuple[str, int], TrainingResult] = {}

    def cancelled(self, job_id: str, attempt: int) -> JobOrder | None:
        return self.orders.get((job_id, attempt))

    def result(self, job_id: str, attempt: int) -> TrainingResult | None:
        return self.results.get((job_id, attempt))


class House:
    """A slot, and what it says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(state_dir=folder)
        self.store, self.files, self.book = ModelStore(self.settings.models), JobFiles(self.settings.models), Book()
        self.said: list[Event] = []
        self.slot = self.new_slot()
        self.base = self.model("base")
        pairs = [pair(number) for number in range(N_PAIRS)]
        pairs += [pair(N_PAIRS, rubric_version=2), pair(N_PAIRS + 1, rubric_version=2)]
        pairs.append(pair(N_PAIRS + 2, rubric_version=EQUAL, rejected=f"{SECRET} {N_PAIRS + 2}"))
        (folder / "pairs.jsonl").write_text("".join(found.model_dump_json() + "\n" for found in pairs))
        self.chains: dict[int, str] = {}
        for found in pairs:
            self.chains[found.rubric_version] = extend(self.chains.get(found.rubric_version, EMPTY), found.event_id)

    def new_slot(self, **limits: Any) -> Slot:
        book: Any = self.book
        around = Surroundings(self.settings, Limits(**limits), self.files, book, self.said.append, lambda _: False)
        return Slot("cpu", around)

    def model(self, name: str, **how: Any) -> StoredCheckpoint:
        return self.store.put(toy_trainer.write_model(self.folder / "made" / name, name, **how))

    def request(self, job_id: str, settings: dict[str, Any] | None = None, **changes: Any) -> TrainingRequest:
        standard: dict[str, Any] = {
            "job_id": job_id, "application": "support", "method": toy_trainer.METHOD, "config": json.dumps({"name": job_id, **(settings or {})}),
            "base_checkpoint": self.base.checkpoint, "base_uri": self.base.uri, "dataset_hash": self.chains[1], "dataset_end_offset": N_PAIRS,
            "rubric_id": "support", "rubric_version": 1, "timeout_seconds": None,
        }  # fmt: skip
        return example(TrainingRequest, **standard | changes)

    def kept(self, job_id: str, attempt: int = 1) -> AttemptFiles:
        return self.files.attempt(job_id, attempt)

    def run(self, request: TrainingRequest, attempt: int = 1, until: Callable[[], bool] = lambda: False) -> str | None:
        """Make an attempt, to its end, or until something is so; return its outcome."""
        if self.slot.attempt is None:
            self.slot.begin(request, attempt)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if until():
                return None
            outcome = self.slot.look()
            if outcome is not None:
                return outcome
            time.sleep(0.02)
        raise AssertionError(f"attempt at {request.job_id} did not end within {PATIENCE_S:g} s")

    def results(self, job_id: str, *statuses: JobStatus) -> list[TrainingResult]:
        return [event for event in self.said if isinstance(event, TrainingResult) and event.job_id == job_id and event.status in statuses]

    def final(self, job_id: str) -> TrainingResult:
        (found,) = self.results(job_id, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)
        return found

    def evaluations(self, job_id: str) -> list[Evaluation]:
        return [event for event in self.said if isinstance(event, Evaluation) and event.job_id == job_id]

    def hold(self, phase: str) -> Callable[[], bool]:
        (self.folder / f"hold-{phase}").touch()
        return (self.folder / f"at-{phase}").exists

    def go(self, phase: str) -> None:
        (self.folder / f"hold-{phase}").unlink()
        (self.folder / f"at-{phase}").unlink(missing_ok=True)

    def kill_child(self) -> None:
        assert self.slot._child is not None
        self.slot._child._process.kill()


def pair(number: int, rubric_version: int = 1, **texts: str) -> PreferencePair:
    names = {"event_id": f"pair-event-{number}", "pair_id": f"pair-{number}", "application": "support", "rubric_id": "support"}
    texts = {"chosen": f"{SECRET} {number}"} | texts
    return example(PreferencePair, split=Split.TRAIN, trainable=True, withdrawn=False, rubric_version=rubric_version, **names, **texts)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("slot")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_process, "main", toy_trainer.child)
        patch.setenv("TOY_FOLDER", str(folder))
        made = House(folder)
        yield made
        made.slot.close()


def cancel(house: House, job_id: str, attempt: int) -> None:
    house.book.orders[job_id, attempt] = example(JobOrder, event_id=f"cancel-{job_id}", job_id=job_id, kind=JobOrderKind.CANCEL, attempt=attempt)


@pytest.mark.parametrize("phase", toy_trainer.PHASES)
def test_a_training_process_that_is_killed_is_replaced_and_the_job_resumes(house: House, phase: str) -> None:
    job_id = f"job-{phase}"
    request = house.request(job_id)
    assert house.run(request, until=house.hold(phase)) is None
    house.kill_child()
    house.go(phase)

    assert house.run(request) == "succeeded"

    result = house.final(job_id)
    assert (result.status, result.attempt, result.metrics["rows"]) == (JobStatus.SUCCEEDED, 1, N_PAIRS)
    if phase == "training":
        assert result.metrics["resumed_from"] == 2.0
    assert len(house.evaluations(job_id)) == 1
    assert house.kept(job_id).beginnings() == 0
    assert not house.files.state(job_id).exists()
    assert not (house.files.state(job_id).parent / "work").exists()


def test_log_curve_config_and_result_are_kept_and_say_nothing_of_the_data(house: House) -> None:
    assert house.run(house.request("job-kept", {"steps": 4, "fault": None})) == "succeeded"
    kept, result = house.kept("job-kept"), house.final("job-kept")
    assert [(point["step"], point["metrics"]["loss"]) for point in read_curve(kept.curve)] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3)), (4, 0.25)]
    assert json.loads(str(kept.record("config")))["steps"] == 4
    assert TrainingResult.model_validate_json(str(kept.record("result"))) == result
    assert str(result.checkpoint) in kept.log.read_text()


def test_a_cancelled_job_ends_so_wherever_it_is_and_another_attempt_begins_afresh(house: House) -> None:
    cancel(house, "job-queued", 1)
    assert house.run(house.request("job-queued")) == "cancelled"
    assert house.results("job-queued", JobStatus.STARTED) == []

    request = house.request("job-cancelled")
    house.run(request, until=house.hold("training"))
    cancel(house, "job-cancelled", 1)
    assert house.run(request) == "cancelled"
    house.go("training")
    result = house.final("job-cancelled")
    assert (result.status, result.error_class) == (JobStatus.CANCELLED, "JobCancelled")
    assert "cancel-job-cancelled" in str(result.error)
    assert house.evaluations("job-cancelled") == []

    assert house.run(request, attempt=2) == "succeeded"
    again = house.results("job-cancelled", JobStatus.SUCCEEDED)[0]
    assert (again.attempt, again.metrics["resumed_from"]) == (2, 0.0)
    assert again.event_id != result.event_id


def test_cancelling_an_evaluation_leaves_its_gate_without_evidence(house: House) -> None:
    request = house.request("job-judged")
    house.run(request, until=house.hold("evaluation"))
    cancel(house, "job-judged", 1)
    assert house.run(request) == "not_evaluated"
    house.go("evaluation")
    assert house.final("job-judged").status is JobStatus.SUCCEEDED
    (evaluation,) = house.evaluations("job-judged")
    assert (evaluation.scores, str(evaluation.error).partition(":")[0]) == ([], "JobCancelled")


def test_a_job_that_takes_too_long_fails(house: House) -> None:
    request = house.request("job-slow", timeout_seconds=0.2)
    house.hold("training")
    assert house.run(request) == "failed"
    house.go("training")
    assert (house.final("job-slow").status, house.final("job-slow").error_class) == (JobStatus.FAILED, "JobTimedOut")


FAULTS: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"fault": "nan"}, {}, "NonFiniteLossError", "learning_rate"),
    ({"fault": "memory"}, {}, "MemoryError", "lower the batch size"),
    ({"fault": "killed"}, {}, "TrainingProcessKilled", "out of memory: lower the batch size. It was begun 3 times"),
    ({"fault": "disk"}, {}, "DiskFull", "models_dir"),
    ({"fault": "library"}, {}, "RuntimeError", "withheld"),
    ({"no_such_key": 1}, {}, "ValidationError", "no_such_key"),
    ({}, {"method": "no-such-method"}, "ConfigurationError", "known methods"),
    ({}, {"config": "[]"}, "ConfigurationError", "JSON object"),
    ({"state_dir": "/etc"}, {}, "ConfigurationError", "state_dir"),
    ({}, {"dataset_hash": "0" * 64}, "IntegrityError", "0" * 64),
    ({}, {"base_uri": f"models://{'0' * 32}"}, "ConfigurationError", "no checkpoint"),
    ({}, {"base_uri": "file:///etc"}, "ConfigurationError", "models://"),
    ({}, {"base_checkpoint": "another"}, "IntegrityError", "another"),
]


@pytest.mark.parametrize(("number", "config", "changes", "error_class", "says"), [(number, *fault) for number, fault in enumerate(FAULTS)])
def test_each_fault_ends_as_a_clear_result(house: House, number: int, config: dict[str, Any], changes: dict[str, Any], error_class: str, says: str) -> None:
    job_id = f"job-fault-{number}"
    assert house.run(house.request(job_id, config, **changes)) == "failed"
    result = house.final(job_id)
    assert (result.status, result.error_class, result.checkpoint) == (JobStatus.FAILED, error_class, None)
    assert says in str(result.error)
    assert SECRET not in str(result.error)
    assert not house.files.state(job_id).exists()
    assert house.evaluations(job_id) == [], "no gate hears of it, so no release can move"


def test_a_dataset_without_a_pair_to_learn_from_fails(house: House) -> None:
    assert house.run(house.request("job-empty", rubric_version=4, dataset_hash=EMPTY)) == "failed"
    assert house.run(house.request("job-equal", rubric_version=EQUAL, dataset_hash=house.chains[EQUAL])) == "failed"
    for job_id in ("job-empty", "job-equal"):
        assert (house.final(job_id).error_class, house.evaluations(job_id)) == ("TrainingError", [])
        assert "is empty; expected at least one pair" in str(house.final(job_id).error)


def test_labels_of_another_rubric_version_are_not_trained_on(house: House) -> None:
    assert house.run(house.request("job-first-version")) == "succeeded"
    assert house.run(house.request("job-second-version", rubric_version=2, dataset_hash=house.chains[2])) == "succeeded"
    assert [house.final(job_id).metrics["rows"] for job_id in ("job-first-version", "job-second-version")] == [N_PAIRS, 2]
    assert house.run(house.request("job-mixed", rubric_version=2, dataset_hash=house.chains[1])) == "failed"
    assert house.final("job-mixed").error_class == "IntegrityError"


@pytest.mark.parametrize(
    ("case", "error_class", "says"),
    [
        ("tampered", "IntegrityError", "model.safetensors"),
        ("tokenizer.json", "ConfigurationError", "no tokenizer"),
        ("chat_template.jinja", "ConfigurationError", "no chat template"),
    ],
)
def test_a_base_that_is_not_whole_fails(house: House, case: str, error_class: str, says: str) -> None:
    base = house.model(f"base-{case}", without=case)
    if case == "tampered":
        weights = house.store.resolve(base.uri) / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert house.run(house.request(f"job-{case}", base_checkpoint=base.checkpoint, base_uri=base.uri)) == "failed"
    assert (house.final(f"job-{case}").error_class, says in str(house.final(f"job-{case}").error)) == (error_class, True)


def test_after_all_that_jobs_succeed_and_no_log_holds_the_data(house: House) -> None:
    assert house.run(house.request("job-leak", {"fault": "library"})) == "failed"
    assert house.run(house.request("job-last")) == "succeeded"
    logs = list((house.settings.models / "jobs").glob("*/*/log.txt"))
    assert len(logs) >= 2
    for log in logs:
        assert SECRET not in log.read_text(), log


def test_what_the_log_has_is_not_said_again(house: House) -> None:
    assert house.run(house.request("job-said")) == "succeeded"
    house.book.results["job-said", 1] = house.final("job-said")
    before = len(house.said)
    assert house.run(house.request("job-said")) == "succeeded"
    assert [type(event).__name__ for event in house.said[before:]] == ["Evaluation"]
    assert house.said[-1] == house.evaluations("job-said")[0]


def test_a_job_in_which_workers_die_again_and_again_is_given_up(house: House) -> None:
    for _ in range(3):
        house.kept("job-deadly").begin()
    assert house.run(house.request("job-deadly")) == "failed"
    assert house.final("job-deadly").error_class == "WorkerDied"


def test_two_slots_of_one_device_wait_for_each_other(house: House) -> None:
    request = house.request("job-first")
    house.run(request, until=house.hold("training"))
    other = house.new_slot()
    try:
        other.begin(house.request("job-second"), 1)
        for _ in range(5):
            assert other.look() is None
        assert house.results("job-second", JobStatus.STARTED) == []
        assert house.kept("job-second").beginnings() == 0
        cancel(house, "job-second", 1)
        assert other.look() == "cancelled", "who waits for a device hears of it too"
    finally:
        other.close()
    house.go("training")
    assert house.run(request) == "succeeded"


def test_an_attempt_that_is_called_off_counts_as_none(house: House) -> None:
    house.run(house.request("job-off"), until=house.hold("training"))
    house.slot.call_off()
    house.go("training")
    assert (house.slot.attempt, house.kept("job-off").beginnings()) == (None, 0)
    assert house.files.state("job-off").exists(), "whoever begins it again resumes"
    house.slot._spawn()
    assert house.run(house.request("job-off")) == "succeeded"
    assert house.final("job-off").metrics["resumed_from"] == 2.0


def test_a_process_that_cannot_start_stops_the_worker_and_fails_no_job(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_process, "main", end_at_once)
    slot = house.new_slot()
    slot.begin(house.request("job-unlucky"), 1)
    try:
        with pytest.raises(TrainingError, match="exit code 3"):
            look_until_it_stops(slot)
    finally:
        slot.close()
    assert house.kept("job-unlucky").beginnings() == 0
    assert house.results("job-unlucky", JobStatus.FAILED) == []


def look_until_it_stops(slot: Slot) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        slot.look()
        time.sleep(0.02)


def end_at_once(*_: object) -> None:
    raise SystemExit(3)
