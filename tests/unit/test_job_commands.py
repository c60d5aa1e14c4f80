"""`trueloop jobs` and `trueloop train`: what is made of the log, and what is refused."""

import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from trueloop.trainers.curve import CurveWriter
from trueloop.trainers.job_files import JobFiles

from tests.factories import example
from trueloop import cli
from trueloop.adapters.documents import load_policy
from trueloop.commands import jobs as commands
from trueloop.commands import train as train_command
from trueloop.commands.job_rows import Job, check_cancel, check_retry, jobs_of, one_job
from trueloop.commands.text_plot import text_plot
from trueloop.errors import ConfigurationError
from trueloop.events import (
    DatasetKind,
    DatasetVersion,
    Evaluation,
    Event,
    JobOrder,
    JobOrderKind,
    JobStatus,
    Release,
    TrainingRequest,
    TrainingResult,
    TriggerReason,
)  # fmt: skip


def request(job_id: str = "job-1") -> TrainingRequest:
    return example(TrainingRequest, job_id=job_id)


def result(status: JobStatus, attempt: int = 1, step: int = 0, **changes: Any) -> TrainingResult:
    return example(TrainingResult, job_id="job-1", status=status, attempt=attempt, step=step, **changes)


def order(kind: JobOrderKind, attempt: int) -> JobOrder:
    return example(JobOrder, event_id=f"{kind}-{attempt}", job_id="job-1", kind=kind, attempt=attempt, reason="why\x1b[2J", ordered_by="ada")


def job(results: list[TrainingResult], orders: list[JobOrder], *evaluations: Evaluation) -> Job:
    return jobs_of([request()], results, orders, evaluations)["job-1"]


STARTED, RUNNING = result(JobStatus.STARTED), result(JobStatus.PROGRESS, step=3, metrics={"loss": 0.5})
FAILED, AGAIN = result(JobStatus.FAILED, step=3), result(JobStatus.STARTED, attempt=2)
CANCEL, RETRY = order(JobOrderKind.CANCEL, 1), order(JobOrderKind.RETRY, 2)


@pytest.mark.parametrize(
    ("results", "orders", "status", "attempt"),
    [
        ([], [], "QUEUED", 1),
        ([STARTED, RUNNING], [], "RUNNING", 1),
        ([STARTED], [CANCEL], "CANCELLING", 1),
        ([STARTED, result(JobStatus.CANCELLED)], [CANCEL], "CANCELLED", 1),
        ([STARTED, FAILED], [], "FAILED", 1),
        ([STARTED, FAILED, RUNNING], [], "FAILED", 1),
        ([STARTED, FAILED], [RETRY], "QUEUED", 2),
        ([STARTED, FAILED, AGAIN], [CANCEL, RETRY], "RUNNING", 2),
        ([STARTED, FAILED, AGAIN, result(JobStatus.SUCCEEDED, attempt=2)], [RETRY, RETRY], "SUCCEEDED", 2),
    ],
)
def test_a_job_stands_where_its_newest_attempt_does(results: list[TrainingResult], orders: list[JobOrder], status: str, attempt: int) -> None:
    found = job(results, orders)
    assert (found.status, found.attempt, len(found.orders)) == (status, attempt, len(set(orders)))


def test_what_may_be_cancelled_and_retried() -> None:
    done = result(JobStatus.SUCCEEDED, checkpoint="c")
    good, bad = example(Evaluation, job_id="job-1", error=None), example(Evaluation, job_id="job-1", error="no")
    for waiting in (job([], []), job([STARTED], []), job([done], [])):
        check_cancel(waiting)
    for ended in (job([FAILED], []), job([done], [], good)):
        with pytest.raises(ConfigurationError, match="nothing is left"):
            check_cancel(ended)
    for failed in (job([FAILED], []), job([result(JobStatus.CANCELLED)], [CANCEL]), job([done], [], bad), job([FAILED], [RETRY])):
        check_retry(failed)
    for running in (job([], []), job([STARTED], [])):
        with pytest.raises(ConfigurationError, match="cancel it first"):
            check_retry(running)
    with pytest.raises(ConfigurationError, match="the same order gives the same"):
        check_retry(job([done], [], good))


def test_a_job_is_found_by_the_beginning_of_its_id() -> None:
    known = jobs_of([request("abc1"), request("abc2"), request("abc")], [result(JobStatus.FAILED)], [CANCEL])
    assert one_job(known, "abc1").request.job_id == "abc1"
    assert one_job(known, "abc").request.job_id == "abc", "a whole id is meant as it stands"
    for wanted, said in (("ab", "3 jobs"), ("x", "no job")):
        with pytest.raises(ConfigurationError, match=said):
            one_job(known, wanted)


def test_a_plot_shows_the_fall_and_refuses_a_point() -> None:
    lines = text_plot([(float(step), 10.0 / step) for step in range(1, 41)], width=20, height=5)
    assert len(lines) == 7
    assert lines[0].strip().startswith("7.5 |*")
    assert lines[-1].split() == ["1", "40"]
    assert text_plot([(1.0, 2.0)]) == text_plot([]) == []
    assert len(text_plot([(1.0, 2.0), (2.0, 2.0)])) > 0, "a flat curve divides by nothing"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A log with one failed job, and its files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "read_jobs", lambda *_, **__: jobs_of([request()], [STARTED, RUNNING, FAILED], [CANCEL]))
    monkeypatch.setenv("TRUELOOP_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("TRUELOOP_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    return tmp_path / "models"


def test_jobs_are_listed_and_shown(known: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["jobs", "ls"]) == 0
    assert "FAILED" in capsys.readouterr().out
    assert cli.run(["jobs", "ls", "-a", "another"]) == 0
    assert "no jobs yet" in capsys.readouterr().out

    files = JobFiles(known).attempt("job-1", 1)
    files.make()
    for step in range(1, 5):
        CurveWriter(files.curve).add(step, 4, {"loss": 1.0 / step}, 1.0)
    assert cli.run(["jobs", "show", "job"]) == 0
    shown = capsys.readouterr().out
    assert "loss by step, attempt 1" in shown
    assert "CANCEL attempt 1 by ada: why\\x1b[2J" in shown
    assert cli.run(["jobs", "show", "job", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["loss"][-1], told["orders"][0]["kind"]) == ("FAILED", [4.0, 0.25], "CANCEL")


def test_the_end_of_a_log_is_printed_for_a_terminal(known: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["jobs", "logs", "job-1"]) == 2
    assert "no log of attempt 1" in capsys.readouterr().err
    files = JobFiles(known).attempt("job-1", 1)
    files.make()
    files.log.write_text("one\ntwo\x1b[2J\nthree\n")
    assert cli.run(["jobs", "logs", "job-1", "-n", "2"]) == 0
    assert capsys.readouterr().out == "two\\x1b[2J\nthree\n"


def test_following_what_has_ended_tells_the_end_and_its_exit_code(known: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["jobs", "follow", "job-1"]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_wrong_usage_is_2(known: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["jobs", "cancel", "job-1", "--reason", "why"], "nothing is left"),
        (["jobs", "retry", "job-1", "--reason", "  "], "say why"),
        (["jobs", "retry", "nothing", "--reason", "why"], "no job"),
        (["jobs", "retry", "job-1"], "--reason"),
        (["train", "support"], "--dataset"),
    ):
        assert cli.run(arguments) == 2, arguments
        assert said in capsys.readouterr().err


class FakePublisher:
    """Keeps what is published, call by call."""

    calls: ClassVar[list[list[Event]]] = []

    def __init__(self, *_: object) -> None:
        pass

    def publish(self, events: Iterable[Event]) -> int:
        self.calls.append(list(events))
        return len(self.calls[-1])


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[list[Event]]:
    monkeypatch.setattr("trueloop.adapters.kafka.Publisher", FakePublisher)
    monkeypatch.setattr("trueloop.adapters.registry.connect", lambda _: None)
    FakePublisher.calls.clear()
    return FakePublisher.calls


@pytest.mark.usefixtures("known")
def test_a_retry_is_ordered_before_its_request_is_sent_again(published: list[list[Event]]) -> None:
    assert cli.run(["jobs", "retry", "job-1", "--reason", " the disk was full ", "--by", "ada"]) == 0
    assert cli.run(["jobs", "retry", "job-1", "--reason", "again", "--by", "ada"]) == 0
    (ordered,), (requested,), (again,), _ = published
    assert isinstance(ordered, JobOrder)
    assert (ordered.kind, ordered.attempt, ordered.reason, ordered.ordered_by) == (JobOrderKind.RETRY, 2, "the disk was full", "ada")
    assert requested == request()
    assert again.event_id == ordered.event_id, "the same order twice is one"


def test_a_waiting_job_is_cancelled_by_an_order_alone(published: list[list[Event]], known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "read_jobs", lambda *_, **__: jobs_of([request()], [], []))
    assert cli.run(["jobs", "cancel", "job", "--reason", "wrong dataset", "--by", "ada", "--json"]) == 0
    ((ordered,),) = published
    assert isinstance(ordered, JobOrder)
    assert (ordered.kind, ordered.attempt, ordered.job_id) == (JobOrderKind.CANCEL, 1, "job-1")


def test_a_job_by_hand_takes_what_serves_and_the_policy_s_settings(published: list[list[Event]], known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = load_policy("billing-support")
    dataset = example(DatasetVersion, application=policy.application, name="d", version=3, kind=DatasetKind.PAIRS)
    monkeypatch.setattr(train_command, "policy_of", lambda *_: policy)
    monkeypatch.setattr("trueloop.adapters.publication.Documents", lambda _: SimpleNamespace(rubrics=list, policies=list))
    monkeypatch.setattr(train_command, "serving_release", lambda *_: example(Release, application=policy.application, checkpoint="c-1", checkpoint_uri="u-1"))
    monkeypatch.setattr("trueloop.adapters.kafka.read_events", lambda *_: [dataset])
    monkeypatch.setattr(train_command, "read_jobs", lambda _: {})
    arguments = ["train", policy.application, "--dataset", "d@3", "--config", "beta=0.3", "--timeout-minutes", "2"]

    assert cli.run(arguments) == 0

    ((made,),) = published
    assert isinstance(made, TrainingRequest)
    assert json.loads(made.config) == policy.training.config | {"beta": 0.3}
    assert (made.reason, made.method, made.timeout_seconds) == (TriggerReason.MANUAL, policy.training.method, 120.0)
    assert (made.base_checkpoint, made.baseline_uri, made.dataset_hash, made.dataset_end_offset) == ("c-1", "u-1", dataset.content_hash, dataset.end_offset)
    assert made.dataset_excluded == dataset.excluded

    monkeypatch.setattr(train_command, "read_jobs", lambda _: jobs_of([made], [], []))
    assert cli.run(arguments) == 2
    assert cli.run(["train", policy.application, "--dataset", "d@4"]) == 2
    assert cli.run(["train", policy.application, "--dataset", "d"]) == 2
    assert len(published) == 1
