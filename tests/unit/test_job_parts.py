"""Parts of jobs that need no broker and no torch: locks, retention, curves, what executors exchange, manifests."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel
from trueloop.trainers import job_process, launched, methods, worker
from trueloop.trainers.accelerate_executor import AccelerateLaunch
from trueloop.trainers.base_files import check_base
from trueloop.trainers.curve import POINTS, CurveWriter, read_curve
from trueloop.trainers.device_lock import DeviceLock
from trueloop.trainers.exchange import Exchange, RemoteFault
from trueloop.trainers.executor import InProcess, open_executor
from trueloop.trainers.faults import describe
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.job_files import JobFiles
from trueloop.trainers.kubernetes_executor import MANIFEST, KubernetesJob

from trueloop.config import Settings, TrainerSettings
from trueloop.errors import ConfigurationError, TrainingError

TEMPLATE = Path(__file__).parents[2] / "ops" / "kubernetes" / "training-job.yaml"


def report(directory: Path) -> TrainingReport:
    return TrainingReport(str(directory), "", {"loss": 0.5}, 1.0, 10, {}, 0)


class Config(BaseModel):
    directory: Path
    fails: bool = False


def train(config: Config, progress: Any = None) -> Any:
    progress(1, 2, {"loss": 0.5})
    if config.fails:
        raise ConfigurationError("a setting is wrong")
    return report(config.directory)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = SimpleNamespace(Config=Config, main=train)
    monkeypatch.setitem(methods.METHODS, "toy", methods.Method("toy", lambda _: iter(())))
    monkeypatch.setattr(methods.Method, "load", lambda _: module)


def test_a_device_is_one_worker_s_at_a_time(tmp_path: Path) -> None:
    first, second, other = DeviceLock(tmp_path, "cuda:0"), DeviceLock(tmp_path, "cuda:0"), DeviceLock(tmp_path, "cuda:1")
    assert first.take()
    assert first.take(), "who has it has it"
    assert not second.take()
    assert other.take()
    first.release()
    assert second.take()


@pytest.mark.parametrize(
    ("device", "shown", "seen"),
    [("auto", "2,3", "2,3"), ("cpu", "2,3", ""), ("cuda:1", "", "1"), ("cuda:1", "2,3", "3"), ("cuda:0", "GPU-a,GPU-b", "GPU-a")],
)
def test_a_process_sees_its_device(device: str, shown: str, seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    job_process._choose(device)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen


def test_devices_are_named_on_the_command_line_or_in_the_settings() -> None:
    settings = Settings()
    assert worker.on_devices(settings, []).trainer.devices == ("auto",)
    assert worker.on_devices(settings, ["cuda:0", "cpu"]).trainer.devices == ("cuda:0", "cpu")
    with pytest.raises(ConfigurationError, match="cuda:N"):
        worker.on_devices(settings, ["gpu"])


def test_only_the_newest_jobs_are_kept_and_those_that_run(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    for number in range(4):
        path = files.attempt(f"job-{number}", 1)
        path.settle("result", "{}")
        os.utime(path.directory, (number + 1, number + 1))
    with files.working_directory("job-0"):
        os.utime(files.attempt("job-0", 1).directory.parent / "work", (0, 0))
        os.utime(files.attempt("job-0", 1).directory.parent / "lock", (0, 0))
        assert files.prune(2) == 1
    assert [files.attempt(f"job-{number}", 1).record("result") for number in range(4)] == ["{}", None, "{}", "{}"]


def test_a_curve_is_bounded_and_read_whatever_a_kill_left(tmp_path: Path) -> None:
    curve = CurveWriter(tmp_path / "curve")
    assert read_curve(tmp_path / "curve") == []
    for step in range(1, 3 * POINTS + 2):
        curve.add(step, 3 * POINTS + 1, {"loss": float(step)}, 1.0)
    curve.add(3 * POINTS + 1, 3 * POINTS + 1, {"loss": float("nan")}, 2.0)
    curve.add(5, 10, {}, 1.0)
    with (tmp_path / "curve").open("a") as writer:
        writer.write('{"step": 7, "metr')

    points = read_curve(tmp_path / "curve")

    assert POINTS / 2 < len(points) <= POINTS + 1
    assert points[-1]["step"] == 3 * POINTS + 1
    assert points[-1]["metrics"] == {"loss": None}


@pytest.mark.parametrize("error", [OSError(28, "x"), OSError(27, "x"), RuntimeError("Error: No space left on device (os error 28)")])
def test_a_full_disk_is_called_so(error: Exception) -> None:
    fault = describe(error)
    assert (fault.error_class, "models_dir" in fault.message) == ("DiskFull", True)


@pytest.mark.parametrize(("missing", "says"), [("config.json", "config.json"), ("tokenizer.json", "no tokenizer"), ("chat_template.jinja", "chat template")])
def test_a_base_that_lacks_something_is_told_before_anything_is_read(tmp_path: Path, missing: str, says: str) -> None:
    for name in ("config.json", "tokenizer.json", "chat_template.jinja"):
        (tmp_path / name).write_text("{}")
    check_base(tmp_path, "base-1")
    (tmp_path / missing).unlink()
    with pytest.raises(ConfigurationError, match=says):
        check_base(tmp_path, "base-1")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    if missing == "chat_template.jinja":
        check_base(tmp_path, "base-1")


def test_the_settings_name_the_executor() -> None:
    assert isinstance(open_executor(TrainerSettings()), InProcess)
    launch = open_executor(TrainerSettings(executor="accelerate", accelerate_arguments=("--num_processes=2",)))
    assert isinstance(launch, AccelerateLaunch)
    assert launch.command(Path("/jobs/1"))[-5:] == ["--num_processes=2", "-m", "trueloop.trainers.launched", "--while-parent", "/jobs/1"]
    assert isinstance(open_executor(TrainerSettings(executor="kubernetes", kubernetes_template=TEMPLATE)), KubernetesJob)
    with pytest.raises(ConfigurationError, match="kubernetes_template"):
        open_executor(TrainerSettings(executor="kubernetes"))


@pytest.mark.usefixtures("toy")
def test_what_is_launched_tells_steps_and_report_or_fault(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    steps: list[Any] = []
    assert exchange.follow(lambda *step: steps.append(step)) is None
    exchange.write_order("toy", Config(directory=tmp_path))
    assert launched.run(tmp_path) == 0
    assert exchange.follow(lambda *step: steps.append(step)) == report(tmp_path)
    assert steps == [(1, 2, {"loss": 0.5})]

    (tmp_path / "failing").mkdir()
    failing = Exchange(tmp_path / "failing")
    failing.write_order("toy", Config(directory=tmp_path, fails=True))
    assert launched.run(tmp_path / "failing") == 1
    with pytest.raises(RemoteFault) as found:
        failing.follow(lambda *_: None)
    assert describe(found.value).error_class == "ConfigurationError"
    assert describe(found.value).message == "a setting is wrong"


def test_what_is_launched_ends_by_itself_while_its_parent_lives(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    exchange.write_order("no-such-method", Config(directory=tmp_path))
    command = [sys.executable, "-m", "trueloop.trainers.launched", "--while-parent", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        code = process.wait(120)
        assert (code, process.stderr and process.stderr.read()) == (1, b"")
    with pytest.raises(RemoteFault, match="no-such-method"):
        exchange.follow(lambda *_: None)


def test_the_other_ranks_train_and_tell_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    module: Any = SimpleNamespace(Config=Config, main=lambda config, progress: told.append(progress) or report(config.directory))
    monkeypatch.setitem(methods.METHODS, "toy", methods.Method("toy", lambda _: iter(())))
    monkeypatch.setattr(methods.Method, "load", lambda _: module)
    monkeypatch.setenv("RANK", "1")
    exchange = Exchange(tmp_path)
    exchange.write_order("toy", Config(directory=tmp_path))
    assert launched.run(tmp_path) == 0
    assert told == [None]
    assert exchange.follow(lambda *_: None) is None


def test_a_template_or_path_that_cannot_be_filled_in_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: $name")
    with pytest.raises(ConfigurationError, match=r"\$job_name"):
        KubernetesJob(bad, submit=False).manifest(tmp_path)
    with pytest.raises(ConfigurationError, match="no template"):
        KubernetesJob(tmp_path / "none.yaml", submit=False).manifest(tmp_path)
    with pytest.raises(ConfigurationError, match="characters"):
        KubernetesJob(TEMPLATE, submit=False).manifest(Path('/models/"x'))


def fake_kubectl(folder: Path, *, fails: bool) -> tuple[str, ...]:
    """What stands in for kubectl and the cluster: `apply` runs the pod's command, `get` says that the Job failed."""
    script = folder / "kubectl.py"
    script.write_text(
        "import sys, json, pathlib\n"
        f"folder = pathlib.Path({str(folder)!r})\n"
        "with (folder / 'calls').open('a') as calls: calls.write(sys.argv[1] + '\\n')\n"
        "if sys.argv[1] == 'get': print('True', end='')\n"
        f"if sys.argv[1] == 'apply' and not {fails}:\n"
        "    work = pathlib.Path(sys.argv[3]).parent\n"
        "    order = json.loads((work / 'order.json').read_text())\n"
        "    ended = dict(checkpoint_dir=order['config']['directory'], checkpoint_sha256='', metrics={}, seconds=1.0, tokens=1, versions={}, seed=0)\n"
        "    (work / 'progress.jsonl').write_text('[1, 1, {}]\\n')\n"
        "    (work / 'ended.json').write_text(json.dumps({'report': ended}))\n"
    )
    return (sys.executable, str(script))


def test_a_job_is_submitted_followed_and_taken_away(tmp_path: Path) -> None:
    work = tmp_path / "job" / "work"
    work.mkdir(parents=True)
    steps: list[Any] = []
    made = KubernetesJob(TEMPLATE, submit=True, kubectl=fake_kubectl(tmp_path, fails=False)).train(
        "toy", Config(directory=work), work, lambda *step: steps.append(step)
    )
    assert (made.checkpoint_dir, steps) == (str(work), [(1, 1, {})])
    assert (tmp_path / "calls").read_text().split() == ["delete", "apply", "delete"]
    assert (work / MANIFEST).is_file()


def test_a_job_that_fails_without_a_word_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(TrainingError, match="kubectl describe"):
        KubernetesJob(TEMPLATE, submit=True, kubectl=fake_kubectl(tmp_path, fails=True)).train("toy", Config(directory=tmp_path), tmp_path, lambda *_: None)
    assert (tmp_path / "calls").read_text().split()[-1] == "delete"


def test_a_manifest_may_be_written_for_others_to_submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pod(_: float) -> None:
        assert (tmp_path / MANIFEST).is_file()
        Exchange(tmp_path).end(report(tmp_path))

    monkeypatch.setattr(time, "sleep", pod)
    executor = KubernetesJob(TEMPLATE, submit=False, kubectl=("/no/such/kubectl",))
    assert executor.train("toy", Config(directory=tmp_path), tmp_path, lambda *_: None) == report(tmp_path)
