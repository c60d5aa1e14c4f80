"""`trueloop top`: rates and quantiles between scrapes, what it draws, and how it starts and ends."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.unit.metrics.scenario import BATCH, Known, free_port
from trueloop import cli
from trueloop.adapters.metrics.record_metrics import RecordMetrics
from trueloop.adapters.metrics.scrape import parse
from trueloop.commands.top_rows import History
from trueloop.commands.top_view import render
from trueloop.errors import UnavailableError


def text_of(metrics: RecordMetrics, started: float = 5.0) -> str:
    from prometheus_client import generate_latest

    from trueloop.adapters.metrics.exposition import registry_of

    return generate_latest(registry_of("streams", started, metrics, Known())).decode()


def test_rates_are_taken_between_scrapes_and_quantiles_over_the_window(metrics: RecordMetrics) -> None:
    history = History("here")
    history.add(parse(text_of(metrics), at=10.0))
    (first, _) = history.row(since_start=False).topics
    assert first.events_per_s is None
    assert first.processing_s.count == 0
    for _ in range(10):
        metrics.batch(**BATCH | {"seconds": 1.5}, outcomes={"sampled": 500})
    history.add(parse(text_of(metrics), at=12.0))
    (live, sink) = history.row(since_start=False).topics
    assert live.events_per_s == 2500.0
    assert (live.processing_s.count, live.processing_s.p50) == (10, 1.5)
    assert history.row(since_start=True).topics[0].processing_s.count == 12
    assert (sink.events_per_s, sink.is_quiet) == (0.0, False)
    history.add(parse(text_of(metrics), at=75.0))
    assert history.row(since_start=False).topics[0].processing_s.count == 0, "the batches are older than the window"


def test_a_worker_that_starts_anew_begins_a_new_history(metrics: RecordMetrics) -> None:
    history = History("here")
    history.add(parse(text_of(metrics, started=5.0), at=10.0))
    history.add(parse(text_of(RecordMetrics(), started=11.0), at=12.0))
    assert all(row.events_per_s is None for row in history.row(since_start=False).topics)


def test_a_quantile_above_the_largest_bound_is_said_to_be_so() -> None:
    metrics = RecordMetrics()
    metrics.batch(**BATCH | {"seconds": 3600.0}, outcomes={"sampled": 500})
    history = History("here")
    history.add(parse(text_of(metrics), at=1.0))
    row = history.row(since_start=True)
    assert (row.topics[0].processing_s.count, row.topics[0].processing_s.p50, row.topics[0].processing_s.limit_s) == (1, None, 60.0)
    assert ">60 s" in drawn(row, 160)


def drawn(row: Any, width: int, **options: Any) -> str:
    console = Console(width=width, height=50)
    with console.capture() as capture:
        console.print(render([row], options.get("silent", []), "of a test", width, hint=False))
    return capture.get()


@pytest.mark.parametrize(("width", "shown"), [(160, "state"), (90, "p99"), (75, "end p99"), (50, "events/s")])
def test_a_narrow_terminal_shows_the_more_important_columns(metrics: RecordMetrics, width: int, shown: str) -> None:
    history = History("here")
    history.add(parse(text_of(metrics), at=10.0))
    text = drawn(history.row(since_start=True), width)
    lines = text.splitlines()
    assert all(len(line) <= width for line in lines)
    assert shown in lines[4]
    assert ("keys" in text) == (width == 160)
    assert text.index("sampling") < text.index("collection") < text.index("sink  ")


def test_what_must_not_be_missed_is_at_the_top_and_strangers_steer_no_terminal(metrics: RecordMetrics) -> None:
    metrics.batch(**BATCH | {"topic": "\x1b[2J[red]"}, outcomes={"sampled": 1})
    history = History("here")
    history.add(parse(text_of(metrics), at=10.0))
    text = drawn(history.row(since_start=True), 160, silent=["sink at nowhere"])
    assert "\x1b" not in text
    assert "\\x1b[2J[red]" in text
    assert text.splitlines()[1:4] == [
        "sink at nowhere does not answer",
        "sink never saw 7 offsets of traces: deleted by retention before they were read",
        "sink had to try 1 times more, because a service did not answer; see the log",
    ]


def test_top_says_so_when_nothing_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.run(["top"]) == cli.UNAVAILABLE
    error = capsys.readouterr().err
    assert f"no worker of {tmp_path / '.trueloop'} runs. Start them with: trueloop up" in error
    assert error.count("\n") == 1
    assert cli.run(["top", f"http://127.0.0.1:{free_port()}/metrics"]) == cli.UNAVAILABLE
    assert "no worker answers at http://127.0.0.1:" in capsys.readouterr().err
    assert cli.run(["top", "ftp://somewhere"]) == cli.USAGE
    assert "expected one such as http://127.0.0.1:9464/metrics" in capsys.readouterr().err


def test_top_finds_the_workers_of_this_machine(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trueloop.commands.top.EVERY_S", 0.05)
    assert cli.run(["top", "--json", "--state-dir", str(tmp_path)]) == cli.OK
    (worker,) = json.loads(capsys.readouterr().out)["workers"]
    topic = next(topic for topic in worker["topics"] if topic["processor"] == "sampling")
    assert (worker["worker"], worker["address"], topic["lag"], topic["outcomes"]["sampled"]) == ("streams", url, 7, 51)
    assert (topic["events_per_s"], topic["end_to_end_s"]["count"], topic["dead_letters"]) == (0.0, 501, {"TRUNCATED": 2})
    assert worker["processors"]["collection"]["state_keys"] == 12
    assert cli.run(["top", "--once", url]) == cli.OK
    assert "12 keys 3.4 KiB" in capsys.readouterr().out


def test_the_live_view_ends_with_ctrl_c_and_leaves_the_last_view_behind(url: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "trueloop.cli", "top", url]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"COLUMNS": "120", "LINES": "40", "TERM": "xterm"})
    os.close(theirs)
    seen = bytearray()

    def read(until: bytes | None) -> None:
        """Read on until something was seen, or with None until the other end is closed."""
        deadline = time.monotonic() + 60.0
        while until is None or until not in seen:
            assert time.monotonic() < deadline, seen.decode()
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    seen.extend(os.read(ours, 65536))
                except OSError:
                    return

    try:
        read(until=b"12 keys")
        assert b"Ctrl-C leaves" in seen
        process.send_signal(signal.SIGINT)
        seen.clear()
        read(until=None)
        assert process.wait(10) == cli.OK
        left_behind = seen.decode().rpartition("\x1b[?1049l")[2]
        assert "12 keys" in left_behind
        assert "Traceback" not in left_behind
    finally:
        process.kill()
        os.close(ours)


def test_what_answers_and_is_no_worker_is_not_taken_for_one() -> None:
    with pytest.raises(UnavailableError, match="no Trueloop worker"):
        parse("# TYPE up gauge\nup 1\n", at=1.0)
    with pytest.raises(UnavailableError, match="no Trueloop worker"):
        parse("<html>", at=1.0)
