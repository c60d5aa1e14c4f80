"""What the tests of the sink share. Other tests here have fixtures of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.sink_house import House
from trueloop.embedded.runtime import EmbeddedRuntime


@pytest.fixture(scope="module")
def sink_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRuntime]:
    """A broker and a registry."""
    with EmbeddedRuntime(tmp_path_factory.mktemp("sink")) as running:
        yield running


@pytest.fixture
def house(sink_runtime: EmbeddedRuntime, tmp_path: Path) -> Iterator[House]:
    """Topics and a ClickHouse directory of one test."""
    house = House(sink_runtime, tmp_path)
    yield house
    if house.process is not None and house.process.poll() is None:
        house.process.kill()
        house.process.wait(20)
