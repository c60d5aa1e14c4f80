"""A worker's metrics and their address, away from the settings of this machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.metrics.scenario import BATCH, Known
from trueloop.adapters.metrics.endpoint import serving
from trueloop.adapters.metrics.record_metrics import RecordMetrics
from trueloop.config import Settings


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("TRUELOOP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


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
