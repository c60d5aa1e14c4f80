"""Where others find the metrics of the workers of a machine: in the form of file_sd, while they run, whatever port is set."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.metrics.scenario import get
from trueloop.adapters.metrics import targets
from trueloop.adapters.metrics.endpoint import serving
from trueloop.adapters.metrics.record_metrics import RecordMetrics
from trueloop.adapters.metrics.standing import Standing
from trueloop.config import Settings, load_settings
from trueloop.embedded.stack import loop_stack


def test_a_worker_is_found_while_it_runs_in_the_form_of_file_sd(url: str, tmp_path: Path) -> None:
    (target,) = targets.running(tmp_path)
    assert (target.worker, f"http://{target.address}/metrics") == ("streams", url)
    (entry,) = json.loads((tmp_path / targets.DIRECTORY / f"streams-{os.getpid()}.json").read_text())
    assert entry["targets"] == [target.address]
    assert {label for label in entry["labels"] if not label.startswith("__meta_")} == {"worker"}


def test_what_a_killed_worker_left_is_not_believed_and_is_cleared_away(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    folder = tmp_path / targets.DIRECTORY
    folder.mkdir(parents=True)
    (folder / f"sink-{child.pid}.json").write_text(targets.Target("sink", "127.0.0.1:1", child.pid, time.time()).to_json())
    (folder / "drift-2.json").write_text(targets.Target("drift", "127.0.0.1:1", os.getpid(), 1.0).to_json())  # another process had this pid
    (folder / "notes.json").write_text("{}")
    assert targets.running(tmp_path) == []
    with targets.noted(tmp_path, "streams", "127.0.0.1:2"):
        assert sorted(path.name for path in folder.iterdir()) == ["notes.json", f"streams-{os.getpid()}.json"]
    assert [path.name for path in folder.iterdir()] == ["notes.json"]


def test_a_directory_that_cannot_be_written_stops_no_worker(metrics: RecordMetrics, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics").write_text("a file where a folder should be")
    with caplog.at_level("INFO"), serving(Settings(state_dir=tmp_path), "streams", metrics, Standing()) as url:
        assert get(url)[0] == 200
    assert "will not find this worker" in caplog.text


def test_on_one_machine_every_worker_takes_a_free_port_whatever_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRUELOOP_METRICS__PORT", "9464")
    monkeypatch.setenv("TRUELOOP_METRICS__HOST", "0.0.0.0")
    assert load_settings().metrics.port == 9464
    workers = loop_stack(tmp_path).workers
    assert workers
    for worker in workers:
        assert (worker.env["TRUELOOP_METRICS__HOST"], worker.env["TRUELOOP_METRICS__PORT"]) == ("127.0.0.1", "0")
