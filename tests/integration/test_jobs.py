"""Jobs on a real broker and registry, with a toy in place of the training: kill -9 in every phase, cancel, retry, queue, faults."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.job_house import N_PAIRS, SECRET, JobHouse, ToyWorker, wait_for
from tests.integration.toy_trainer import PHASES
from trueloop.adapters.log_positions import LogPositions
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.events import Evaluation, JobOrderKind, JobStatus, Release, TrainingResult
from trueloop.topics import EVALUATIONS, RELEASES, TRAINING_REQUESTS, TRAINING_RESULTS


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobHouse]:
    folder = tmp_path_factory.mktemp("jobs")
    with EmbeddedRuntime(folder):
        yield JobHouse(folder)


@pytest.fixture(scope="module")
def workers(house: JobHouse) -> Iterator[list[ToyWorker]]:
    """The worker that tests find running; a test that kills it puts another one there."""
    running = [ToyWorker(house.folder).wait_ready()]
    yield running
    for worker in running:
        if worker.process.poll() is None:
            worker.process.send_signal(signal.SIGCONT)
            worker.end(signal.SIGKILL)


def jobs_directory(house: JobHouse) -> Path:
    return house.settings.models / "jobs"


def settled(house: JobHouse, job_id: str) -> TrainingResult:
    """The one final result, after the evaluation has followed it."""
    result = house.final(job_id)
    wait_for(lambda: house.events(EVALUATIONS, Evaluation, job_id=job_id), f"evaluation of {job_id}")
    return result


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_training_process_is_replaced_and_the_job_resumes(house: JobHouse, workers: list[ToyWorker], phase: str) -> None:
    job_id = f"job-child-{phase}"
    house.hold(phase)
    house.request(job_id)
    house.wait_at(phase)
    (child,) = workers[0].children()
    child.kill()
    house.go(phase)

    result = settled(house, job_id)

    assert (result.status, result.attempt) == (JobStatus.SUCCEEDED, 1)
    if phase == "training":
        assert result.metrics["resumed_from"] == 2.0
    assert [found.event_id for found in house.finals(job_id)] == [result.event_id]
    assert len(house.events(EVALUATIONS, Evaluation, job_id=job_id)) == 1
    assert workers[0].process.poll() is None


def kill_worker_in(house: JobHouse, workers: list[ToyWorker], phase: str) -> None:
    job_id = f"job-worker-{phase}"
    house.hold(phase)
    house.request(job_id)
    house.wait_at(phase)
    (child,) = workers[0].children()
    workers[0].end(signal.SIGKILL)
    wait_for(lambda: not child.is_running() or child.status() == "zombie", "end of the orphan", 5)
    house.go(phase)
    workers[0] = ToyWorker(house.folder).wait_ready()

    result = settled(house, job_id)

    assert (result.status, result.attempt) == (JobStatus.SUCCEEDED, 1)
    assert len(house.finals(job_id)) == len(house.events(EVALUATIONS, Evaluation, job_id=job_id)) == 1


def test_a_killed_worker_is_replaced_and_the_job_resumes(house: JobHouse, workers: list[ToyWorker]) -> None:
    kill_worker_in(house, workers, "training")
    assert house.final("job-worker-training").metrics["resumed_from"] == 2.0


@pytest.mark.long
@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase != "training"])
def test_a_worker_that_is_killed_in_another_phase_is_replaced(house: JobHouse, workers: list[ToyWorker], phase: str) -> None:
    kill_worker_in(house, workers, phase)


FAULTS: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("nan", {"fault": "nan"}, {}, "NonFiniteLossError", "learning_rate"),
    ("memory", {"fault": "memory"}, {}, "MemoryError", "lower the batch size"),
    ("killed", {"fault": "killed"}, {}, "TrainingProcessKilled", "out of memory"),
    ("disk", {"fault": "disk"}, {}, "DiskFull", "models_dir"),
    ("library", {"fault": "library"}, {}, "RuntimeError", "withheld"),
    ("key", {"no_such_key": 1}, {}, "ValidationError", "no_such_key"),
    ("method", {}, {"method": "no-such-method"}, "ConfigurationError", "known methods"),
    ("config", {}, {"config": "[]"}, "ConfigurationError", "JSON object"),
    ("place", {"state_dir": "/etc"}, {}, "ConfigurationError", "state_dir"),
    ("hash", {}, {"dataset_hash": "0" * 64}, "IntegrityError", "0" * 64),
    ("missing", {}, {"base_uri": f"models://{'0' * 32}"}, "ConfigurationError", "no checkpoint"),
]


def test_each_fault_ends_as_a_clear_result_and_the_worker_lives(house: JobHouse, workers: list[ToyWorker]) -> None:
    tampered = house.model("tampered")
    weights = house.store.resolve(tampered.uri) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    cases = list(FAULTS)
    for case, checkpoint, error_class, says in (
        ("tampered", tampered, "IntegrityError", "model.safetensors"),
        ("tokenizer", house.model("bare", without="tokenizer.json"), "ConfigurationError", "no tokenizer"),
        ("template", house.model("untold", without="chat_template.jinja"), "ConfigurationError", "no chat template"),
    ):
        cases.append((case, {}, {"base_checkpoint": checkpoint.checkpoint, "base_uri": checkpoint.uri}, error_class, says))
    for case, config, changes, _, _ in cases:
        house.request(f"job-fault-{case}", config, **changes)

    for case, _, _, error_class, says in cases:
        result = house.final(f"job-fault-{case}")
        assert (result.status, result.error_class, result.checkpoint) == (JobStatus.FAILED, error_class, None), case
        assert says in str(result.error), case
        assert SECRET not in str(result.error), case

    house.request("job-after-faults")
    assert settled(house, "job-after-faults").status is JobStatus.SUCCEEDED
    assert workers[0].process.poll() is None
    assert house.events(RELEASES, Release) == []
    for case, *_ in cases:
        assert len(house.finals(f"job-fault-{case}")) == 1, case


def test_jobs_are_cancelled_in_training_and_in_the_queue_and_retried_once(house: JobHouse, workers: list[ToyWorker]) -> None:
    house.hold("training")
    for name in ("job-running", "job-queued", "job-behind"):
        house.request(name)
    house.wait_at("training")
    house.order("job-queued", JobOrderKind.CANCEL, 1)
    house.order("job-running", JobOrderKind.CANCEL, 1)
    running = house.final("job-running")
    house.go("training")

    queued, behind = house.final("job-queued"), settled(house, "job-behind")

    assert (running.status, running.step, queued.status, queued.step) == (JobStatus.CANCELLED, 2, JobStatus.CANCELLED, 0)
    assert "job-running-CANCEL-1" in str(running.error)
    assert house.results("job-queued", JobStatus.STARTED) == []
    assert behind.status is JobStatus.SUCCEEDED

    house.order("job-running", JobOrderKind.RETRY, 2)
    for _ in range(2):
        house.request("job-running")
    again = house.final("job-running", 2)
    assert (again.status, again.metrics["resumed_from"]) == (JobStatus.SUCCEEDED, 0.0)
    house.request("job-sentinel")
    settled(house, "job-sentinel")
    assert [found.attempt for found in house.finals("job-running")] == [1, 2]


def test_a_job_that_takes_too_long_fails(house: JobHouse, workers: list[ToyWorker]) -> None:
    house.hold("training")
    house.request("job-slow", timeout_seconds=0.5)
    result = house.final("job-slow")
    house.go("training")
    assert (result.status, result.error_class) == (JobStatus.FAILED, "JobTimedOut")


def test_a_request_starts_one_job_whoever_replays_it_where(house: JobHouse, workers: list[ToyWorker], tmp_path: Path) -> None:
    house.request("job-once")
    settled(house, "job-once")
    house.request("job-once")
    house.request("job-two", event_id="another-event-of-the-same-order")
    house.request("job-two", event_id="and-another")
    settled(house, "job-two")
    settled_position(house, "trueloop-trainer")
    before = [event.event_id for topic, kind in ((TRAINING_RESULTS, TrainingResult), (EVALUATIONS, Evaluation)) for event in house.events(topic, kind)]

    # Another group reads every request from the first one on, with a model store of its own that knows of none of them.
    other = ToyWorker(house.folder, TOY_GROUP="replay", TRUELOOP_MODELS_DIR=str(tmp_path / "empty")).wait_ready()
    try:
        settled_position(house, "replay")
    finally:
        other.end()

    after = [event.event_id for topic, kind in ((TRAINING_RESULTS, TrainingResult), (EVALUATIONS, Evaluation)) for event in house.events(topic, kind)]
    assert after == before
    assert len(house.finals("job-once")) == len(house.finals("job-two")) == 1
    assert not list((tmp_path / "empty").glob("jobs/*/work"))


def settled_position(house: JobHouse, group: str) -> None:
    """Wait until a group has committed every request."""
    positions = LogPositions(house.settings.kafka)
    place = (TRAINING_REQUESTS.name, 0)
    wait_for(lambda: positions.committed(group).get(place) == positions.ends([place])[place], f"all requests committed by {group}")


@pytest.mark.long
def test_two_workers_that_hold_one_request_through_a_rebalance_make_one_result(house: JobHouse, workers: list[ToyWorker]) -> None:
    house.hold("training")
    house.request("job-shared")
    house.wait_at("training")
    second = ToyWorker(house.folder).wait_ready()
    try:
        workers[0].process.send_signal(signal.SIGSTOP)  # its training process goes on, and has the job's directory
        positions = len(house.results("job-shared", JobStatus.STARTED))
        time.sleep(8.0)  # the group's patience with a silent member; nothing tells from outside that it has ended
        house.go("training")
        workers[0].process.send_signal(signal.SIGCONT)
        result = settled(house, "job-shared")
        settled_position(house, "trueloop-trainer")
    finally:
        second.end()
    assert positions == 1
    assert result.status is JobStatus.SUCCEEDED
    assert len(house.finals("job-shared")) == len(house.events(EVALUATIONS, Evaluation, job_id="job-shared")) == 1


def test_log_curve_config_and_result_are_kept_and_say_nothing_of_the_data(house: JobHouse, workers: list[ToyWorker]) -> None:
    house.request("job-kept", {"steps": 4})
    result = settled(house, "job-kept")

    from trueloop.trainers.curve import read_curve
    from trueloop.trainers.job_files import JobFiles

    kept = JobFiles(house.settings.models).attempt("job-kept", 1)
    assert result.metrics["rows"] == N_PAIRS
    assert [(point["step"], point["metrics"]["loss"]) for point in read_curve(kept.curve)] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3)), (4, 0.25)]
    assert json.loads(str(kept.record("config")))["steps"] == 4
    assert TrainingResult.model_validate_json(str(kept.record("result"))) == result
    assert str(result.checkpoint) in kept.log.read_text()
    wait_for(lambda: not list(jobs_directory(house).glob("*/work")), "the working directories to go", 5)
    assert not list(jobs_directory(house).glob("*/state"))
    for log in (*jobs_directory(house).glob("*/*/log.txt"), house.folder / "worker.log"):
        assert SECRET not in log.read_text(), log


def test_each_device_takes_a_job_in_the_order_of_the_queue(house: JobHouse, workers: list[ToyWorker]) -> None:
    workers[0].end()
    workers[0] = ToyWorker(house.folder, "--device", "cuda:0", "--device", "cuda:1").wait_ready()
    house.hold("training")
    for number in range(3):
        house.request(f"job-device-{number}")
    wait_for(lambda: all(house.results(f"job-device-{number}", JobStatus.STARTED) for number in range(2)), "two jobs at once")
    assert house.results("job-device-2", JobStatus.STARTED) == []
    house.go("training")
    for number in range(3):
        assert settled(house, f"job-device-{number}").status is JobStatus.SUCCEEDED
