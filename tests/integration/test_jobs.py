"""Jobs on a real broker and registry, with a toy in place of the training: dead workers, cancel, retry, queue, replays. See also test_job_slot."""

import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from trueloop.trainers.job_book import JobBook

from tests.factories import example
from tests.integration.job_house import NOW, JobHouse, ToyWorker, wait_for
from tests.toy_trainer import PHASES
from trueloop.adapters.log_positions import LogPositions
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.events import Evaluation, Event, JobOrderKind, JobStatus, TrainingResult
from trueloop.topics import EVALUATIONS, TRAINING_REQUESTS, TRAINING_RESULTS, Topic


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


def settled(house: JobHouse, job_id: str) -> TrainingResult:
    """The one final result, after the evaluation has followed it."""
    result = house.final(job_id)
    wait_for(lambda: house.events(EVALUATIONS, Evaluation, job_id=job_id), f"evaluation of {job_id}")
    return result


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
    assert house.final("job-worker-training").metrics["dataset_repeated_pairs"] == 0.0


@pytest.mark.long
@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase != "training"])
def test_a_worker_that_is_killed_in_another_phase_is_replaced(house: JobHouse, workers: list[ToyWorker], phase: str) -> None:
    kill_worker_in(house, workers, phase)


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

    assert (running.status, queued.status) == (JobStatus.CANCELLED, JobStatus.CANCELLED)
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


def test_the_book_reads_each_record_once_whatever_is_asked_how_often(house: JobHouse) -> None:
    read: list[Event] = []

    class Counting:
        def decode(self, topic: Topic, value: bytes | None) -> Event:
            read.append(house.codec.decode(topic, value))
            return read[-1]

    result = example(TrainingResult, job_id="job-read", checkpoint="read-once", occurred_at=NOW)
    other = result.model_copy(update={"checkpoint": "never-evaluated"})
    publish = house.publisher.publish
    publish([example(Evaluation, event_id=f"read-{second}", candidate="read-once", occurred_at=NOW + timedelta(seconds=second)) for second in (1, -1)])
    counting: Any = Counting()
    book = JobBook(house.settings.kafka, counting)
    try:
        book.catch_up()
        before = len(read)
        assert before >= 2
        for _ in range(3):
            book.catch_up()
            assert [book.is_evaluated(each) for each in (result, other)] == [True, False]
        assert len(read) == before
        publish([example(Evaluation, event_id="read-later", candidate="never-evaluated", occurred_at=NOW)])
        book.catch_up()
        assert [event.event_id for event in read[before:]] == ["read-later"]
        assert book.is_evaluated(other)
        assert not book.is_evaluated(other.model_copy(update={"occurred_at": NOW + timedelta(seconds=1)}))
    finally:
        book.close()


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
