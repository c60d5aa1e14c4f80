"""Metrics: counted right and cheaply, told as Prometheus expects, found by `trueloop top`, and never in a worker's way."""

import asyncio
import http.client
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from trueloop.streams.app_standing import AppStanding
from trueloop.streams.counters import Counters

from trueloop import cli
from trueloop.adapters.faust_batch.consumer import BatchConsumer
from trueloop.adapters.metrics import targets
from trueloop.adapters.metrics.distribution import SECONDS, Buckets, Distribution
from trueloop.adapters.metrics.endpoint import serving
from trueloop.adapters.metrics.record_metrics import RecordMetrics
from trueloop.adapters.metrics.scrape import parse, scrape
from trueloop.adapters.metrics.standing import Drop, Lag, Standing, StateSize
from trueloop.commands.top_rows import History
from trueloop.commands.top_view import render
from trueloop.config import KafkaSettings, Settings, load_settings
from trueloop.embedded.stack import loop_stack
from trueloop.errors import ConfigurationError, UnavailableError

LABELS = {"processor", "topic", "outcome", "reason", "partition", "table", "le", "name", "version"}
BATCH: dict[str, Any] = {"processor": "sampling", "topic": "traces", "records": 500, "seconds": 0.012, "oldest_ms": 1000}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("TRUELOOP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


class Known(Standing):
    def lags(self) -> list[Lag]:
        return [Lag("sampling", "traces", 0, 3), Lag("sampling", "traces", 1, 4)]

    def drops(self) -> list[Drop]:
        return [Drop("sink", "traces", "expired", 7)]

    def states(self) -> list[StateSize]:
        return [StateSize("collection", "state", 12, 3456)]

    def rebalances(self) -> dict[str, int]:
        return {"sampling": 2}


@pytest.fixture
def metrics() -> RecordMetrics:
    metrics = RecordMetrics(now=lambda: 1.25)
    metrics.batch(**BATCH, outcomes={"sampled": 50, "not_sampled": 448, "TRUNCATED": 2}, rejected={"TRUNCATED": 2}, drops={"near_duplicate": 3})
    metrics.batch(**BATCH | {"records": 1, "seconds": 0.4, "oldest_ms": 1249}, outcomes={"sampled": 1})
    metrics.retried("sink")
    return metrics


@pytest.fixture
def url(metrics: RecordMetrics, tmp_path: Path) -> Iterator[str]:
    with serving(Settings(state_dir=tmp_path), "streams", metrics, Known()) as url:
        yield url


def get(url: str, path: str = "/metrics") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.headers["Content-Type"], response.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Distributions


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    spread = Distribution(SECONDS)
    for value in values:
        spread.add(value)
    found = spread.read()
    assert found.count == len(values)
    assert found.total == pytest.approx(sum(values))
    true = next(value for rank, value in enumerate(sorted(values), 1) if rank >= share * len(values) - 1e-9)
    bound = next((bound for bound in SECONDS if true <= bound), None)
    told = found.quantile(share)
    if bound is None:
        assert told is None
    else:
        assert told is not None
        assert max((other for other in SECONDS if other < bound), default=0.0) <= told <= bound


def test_a_value_may_count_more_than_once_and_an_earlier_state_can_be_taken_off() -> None:
    spread = Distribution((1.0, 2.0))
    spread.add(0.5, times=9)
    before = spread.read()
    spread.add(1.0)
    spread.add(7.0, times=2)
    assert spread.read() == Buckets((1.0, 2.0), (10.0, 0.0, 2.0), 19.5)
    assert spread.read().since(before) == Buckets((1.0, 2.0), (1.0, 0.0, 2.0), 15.0)
    assert before.since(before).quantile(0.5) is None


# Counting


def test_a_batch_is_counted_once_per_record_and_timed_by_its_first_record(metrics: RecordMetrics) -> None:
    (sampling,) = metrics.flows()
    assert sampling.outcomes == {"sampled": 51, "not_sampled": 448, "TRUNCATED": 2}
    assert sampling.rejected == {"TRUNCATED": 2}
    assert sampling.batch_seconds.count == 2
    assert sampling.end_to_end_seconds.count == 501
    assert sampling.end_to_end_seconds.total == pytest.approx(500 * 0.25 + 0.001)
    assert metrics.retries() == {"sink": 1}


@pytest.mark.parametrize(("oldest_ms", "count", "total"), [(-1, 0, 0.0), (9000, 500, 0.0)], ids=["no timestamp", "of a clock that is ahead"])
def test_an_age_is_never_made_up(oldest_ms: int, count: int, total: float) -> None:
    metrics = RecordMetrics(now=lambda: 1.25)
    metrics.batch(**BATCH | {"oldest_ms": oldest_ms}, outcomes={"sampled": 500})
    (flow,) = metrics.flows()
    assert (flow.end_to_end_seconds.count, flow.end_to_end_seconds.total) == (count, total)


def test_counting_a_batch_costs_less_than_20_microseconds() -> None:
    metrics = RecordMetrics()
    outcomes, rejected = {"sampled": 50, "not_sampled": 440, "no_policy": 8, "TRUNCATED": 2}, {"TRUNCATED": 2}
    costs = []
    for _ in range(5):
        begun = time.thread_time()
        for _ in range(2000):
            metrics.batch(**BATCH, outcomes=outcomes, rejected=rejected)
        costs.append((time.thread_time() - begun) / 2000)
    assert min(costs) < 20e-6


def test_the_log_is_told_what_is_new() -> None:
    counters = Counters()
    assert counters.news() is None
    counters.batch(**BATCH, outcomes={"sampled": 50, "not_sampled": 450})
    assert counters.news() == "sampling traces not_sampled=450 sampled=50"
    assert counters.news() is None


# What Prometheus reads


def test_what_is_told_is_what_was_counted(url: str) -> None:
    reading = scrape(url)
    assert (reading.worker, reading.version) == ("streams", "0.1.0")
    assert reading.memory_bytes is None or reading.memory_bytes > 1e6
    topic = reading.topics["sampling", "traces"]
    assert topic.outcomes == {"sampled": 51, "not_sampled": 448, "TRUNCATED": 2}
    assert topic.dead_letters == {"TRUNCATED": 2}
    assert topic.lag == 7
    assert topic.end_to_end_seconds is not None
    assert topic.end_to_end_seconds.bounds == SECONDS
    assert topic.end_to_end_seconds.counts == tuple(float({0.001: 1, 0.3: 500}.get(bound, 0)) for bound in (*SECONDS, None))
    assert reading.topics["sink", "traces"].dropped == {"expired": 7}
    assert reading.topics["sink", "traces"].lag is None
    assert reading.processors["collection"].state_bytes == 3456
    assert (reading.processors["sampling"].rebalances, reading.processors["sink"].retries) == (2, 1)


def test_names_help_and_labels_follow_the_conventions(url: str) -> None:
    status, content_type, text = get(url)
    assert status == 200
    assert content_type.startswith("text/plain; version=0.0.4")
    ours = [family for family in text_string_to_metric_families(text) if not family.name.startswith("process_")]
    assert 'trueloop_dropped_outputs_total{processor="sampling",reason="near_duplicate",topic="traces"} 3.0' in text
    assert len(ours) == 13
    for family in ours:
        assert re.fullmatch(r"trueloop_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert {label for sample in family.samples for label in sample.labels} <= LABELS
        assert all(sample.name.endswith("_total") for sample in family.samples if family.type == "counter")
        for unit in ("seconds", "bytes"):
            assert (unit in family.name) == (unit in family.documentation.lower()) or "records" in family.name
    histograms = [family for family in ours if family.type == "histogram"]
    assert {family.name for family in histograms} == {"trueloop_batch_records", "trueloop_batch_seconds", "trueloop_end_to_end_seconds"}
    bounds = {float(sample.labels["le"]) for sample in histograms[1].samples if "le" in sample.labels}
    assert (min(bounds), sorted(bounds)[-2]) == (0.001, 60.0)


def test_openmetrics_is_told_to_those_who_ask_for_it(url: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    response = connection.getresponse()
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert response.read().endswith(b"# EOF\n")


def test_nothing_else_is_served(url: str) -> None:
    assert get(url, "/")[0] == 404
    assert get(url, "/metrics?x=1")[0] == 200


# The endpoint


def test_the_endpoint_stops_with_its_context_and_gives_the_port_back(metrics: RecordMetrics, tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(state_dir=tmp_path, metrics={"port": port})
    for _ in range(2):
        with serving(settings, "streams", metrics, Standing()) as url:
            assert url == f"http://127.0.0.1:{port}/metrics"
            assert get(url)[0] == 200
        assert not any(thread.name == "trueloop-metrics" for thread in threading.enumerate())
        with pytest.raises(UnavailableError, match="does not answer"):
            scrape(url)


def test_a_port_that_is_set_and_taken_is_an_error_that_says_what_to_do(metrics: RecordMetrics, url: str, tmp_path: Path) -> None:
    port = urlsplit(url).port
    settings = Settings(state_dir=tmp_path, metrics={"port": port})
    with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}, but Address already in use; expected a free port.*TRUELOOP_METRICS__PORT"):
        serving(settings, "sink", metrics, Standing()).__enter__()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_not_this_machine_is_an_error(metrics: RecordMetrics, tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(host)):
        serving(Settings(state_dir=tmp_path, metrics={"host": host}), "sink", metrics, Standing()).__enter__()


def test_by_default_it_listens_on_loopback_at_any_free_port(metrics: RecordMetrics, url: str, tmp_path: Path) -> None:
    with serving(Settings(state_dir=tmp_path), "sink", metrics, Standing()) as other:
        assert url != other
        assert all(address.startswith("http://127.0.0.1:") for address in (url, other))


def test_whoever_connects_and_says_nothing_holds_up_nobody(metrics: RecordMetrics, url: str) -> None:
    address = "127.0.0.1", urlsplit(url).port or 0
    with socket.create_connection(address), socket.create_connection(address) as half:
        half.sendall(b"GET /metr")
        begun = time.monotonic()
        assert get(url)[0] == 200
        metrics.batch(**BATCH, outcomes={"sampled": 500})
        assert time.monotonic() - begun < 2.0


def test_a_scrape_that_fails_says_nothing_of_what_it_read(metrics: RecordMetrics, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Standing):
        def lags(self) -> list[Lag]:
            raise RuntimeError("words of a user")

    with serving(Settings(state_dir=tmp_path), "streams", metrics, Broken()) as url:
        assert get(url)[::2] == (500, "failed with RuntimeError\n")
    assert "RuntimeError" in caplog.text
    assert "words" not in caplog.text


# Where others find it


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


# How the apps stand


def app_of(lags: dict[TP, int], states: dict[int, dict[bytes, bytes]]) -> Any:
    gaps = Counter({TP("shadow-traces", 0): 5, TP("shadow-traces", 1): 6, TP("shadow-releases", 0): 9})
    table = SimpleNamespace(partitions=2, partition=lambda number: states.get(number, {}))
    return SimpleNamespace(consumer=SimpleNamespace(lags=lambda: lags, gaps=gaps), tables={"state": table}, rebalancing_count=3)


def test_apps_tell_lag_state_and_rebalances() -> None:
    standing = AppStanding(KafkaSettings(topic_prefix="shadow-"))
    assert (standing.lags(), standing.drops(), standing.states(), standing.rebalances()) == ([], [], [], {})
    states = {0: {b"a": b"12345", b"bc": b""}, 1: {b"d": b"x" * 10_000 * 3}}
    standing.watch([("drift", app_of({TP("shadow-traces", 1): 7, TP("shadow-traces", 0): 2}, states))])
    assert standing.lags() == [Lag("drift", "traces", 0, 2), Lag("drift", "traces", 1, 7)]
    assert standing.states() == [StateSize("drift", "state", 3, 1 + 5 + 2 + 1 + 30_000)]
    assert standing.rebalances() == {"drift": 3}
    assert standing.drops() == [Drop("drift", "traces", "gap", 11)]


def test_a_state_that_takes_long_to_measure_is_measured_seldom() -> None:
    times = iter([0.0, 0.1, 5.0, 11.0, 11.1])
    states = {0: {b"a": b"1"}}
    standing = AppStanding(KafkaSettings(), clock=lambda: next(times))
    standing.watch([("drift", app_of({}, states))])
    assert standing.states()[0].keys == 1
    states[0][b"b"] = b"2"
    assert standing.states()[0].keys == 1
    assert standing.states()[0].keys == 2


def batch(first: int, following: int, *, completed: bool) -> Any:
    return SimpleNamespace(first_offset=first, next_offset=following, completed=completed)


@pytest.mark.parametrize(
    ("end", "outstanding", "finished", "committed", "lag"),
    [
        (0, [], None, None, 0),
        (100, [], None, None, None),
        (None, [], None, 40, None),
        (100, [], None, 40, 60),
        (100, [], 90, 40, 10),
        (100, [batch(50, 60, completed=True), batch(60, 70, completed=False), batch(70, 80, completed=True)], 50, 40, 40),
        (100, [batch(50, 60, completed=True), batch(60, 100, completed=True)], 50, 40, 0),
        (5, [batch(0, 5, completed=False)], None, None, 5),
    ],
)  # fmt: skip
def test_lag_counts_from_the_longest_completed_prefix(
    end: int | None, outstanding: list[Any], finished: int | None, committed: int | None, lag: int | None
) -> None:
    tp, gone, changelog = TP("traces", 0), TP("labels", 0), TP("group-state-changelog", 0)

    def highwater(asked: TP) -> int | None:
        assert asked == tp, "Partition is not assigned"
        return end

    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer.assignment = lambda: {tp, gone, changelog}
    consumer._is_changelog_tp = lambda asked: asked == changelog
    consumer.highwater = highwater
    consumer._outstanding = {tp: deque(outstanding)}
    consumer._finished = {} if finished is None else {tp: finished}
    consumer._committed_offset = {tp: committed}
    assert consumer.lags() == ({} if lag is None else {tp: lag})


def test_offsets_that_retention_took_before_they_were_read_are_counted_once() -> None:
    tp = TP("traces", 0)

    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer._read_offset = {tp: None}
    consumer._outstanding = defaultdict(deque)
    consumer.gaps = Counter()
    consumer._hand_over = SimpleNamespace(put=lambda _message: None)
    consumer.app = SimpleNamespace(consumer_generation_id=1)
    for first, last in ((40, 42), (43, 50), (60, 61), (58, 70)):  # from the start of the topic; on; after a gap; fetched again in part
        records: Any = [SimpleNamespace(offset=offset, timestamp=0, timestamp_type=0, key=None, value=b"") for offset in range(first, last)]
        asyncio.run(consumer._take_batches(tp, records))
    assert consumer.gaps == {tp: 1 + 10}
    assert [(found.first_offset, found.next_offset) for found in consumer._outstanding[tp]] == [(40, 42), (43, 50), (60, 61), (61, 70)]


# trueloop top


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


def test_a_worker_whose_port_is_taken_does_not_start(url: str) -> None:
    port = str(urlsplit(url).port)
    command = [sys.executable, "-m", "trueloop.cli", "worker", "sampling"]
    done = subprocess.run(command, env=os.environ | {"TRUELOOP_METRICS__PORT": port}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == cli.USAGE
    assert f"trueloop: metrics are to be served at 127.0.0.1:{port}, but Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_answers_and_is_no_worker_is_not_taken_for_one() -> None:
    with pytest.raises(UnavailableError, match="no Trueloop worker"):
        parse("# TYPE up gauge\nup 1\n", at=1.0)
    with pytest.raises(UnavailableError, match="no Trueloop worker"):
        parse("<html>", at=1.0)
