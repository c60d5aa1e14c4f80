"""The endpoint of metrics: told as Prometheus expects, and never in a worker's way."""

import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.metrics.scenario import BATCH, free_port, get
from trueloop import cli
from trueloop.adapters.metrics.distribution import SECONDS
from trueloop.adapters.metrics.endpoint import serving
from trueloop.adapters.metrics.record_metrics import RecordMetrics
from trueloop.adapters.metrics.scrape import scrape
from trueloop.adapters.metrics.standing import Lag, Standing
from trueloop.config import Settings
from trueloop.errors import ConfigurationError, UnavailableError

LABELS = {"processor", "topic", "outcome", "reason", "partition", "table", "le", "name", "version"}


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


def test_a_worker_whose_port_is_taken_does_not_start(url: str) -> None:
    port = str(urlsplit(url).port)
    command = [sys.executable, "-m", "trueloop.cli", "worker", "sampling"]
    done = subprocess.run(command, env=os.environ | {"TRUELOOP_METRICS__PORT": port}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == cli.USAGE
    assert f"trueloop: metrics are to be served at 127.0.0.1:{port}, but Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
