"""What the fault tests share: one broker and registry, one table of outcomes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.load import RUNNING, BeginLoad, Load
from tests.faults.loop import Loop
from tests.faults.proxy import Proxy
from tests.faults.table import Table
from trueloop.embedded.runtime import EmbeddedRuntime

DELIVERY_TIMEOUT_S = 3.0
"""After which a worker of the shared loop gives up a delivery: a minute in production, which no test needs to wait for."""
STEADY, LIGHT = 60.0, 25.0
"""Traces a second in the long forms and in the short ones. Of the light load, too, a dozen traces and some labels are always between fetch and commit."""
RESULTS = Path(__file__).parents[2] / "bench" / "results"
_TABLE = Table()


@pytest.fixture
def table() -> Table:
    """The table that the outcome of a fault goes into."""
    return _TABLE


@pytest.fixture(autouse=True)
def _no_load_goes_on() -> Iterator[None]:
    yield
    while RUNNING:
        RUNNING.pop().abandon()


@pytest.fixture
def begin_load(request: pytest.FixtureRequest) -> BeginLoad:
    """Begins a load on a loop, for an application, under which the fault is to happen."""
    rate = LIGHT if request.node.get_closest_marker("faults") is None else STEADY
    return lambda loop, application: Load(loop, application, rate)


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRuntime]:
    """A broker and a registry."""
    with EmbeddedRuntime(tmp_path_factory.mktemp("runtime")) as running:
        yield running


@pytest.fixture
def make_loop(runtime: EmbeddedRuntime, tmp_path: Path) -> Iterator[Callable[[], Loop]]:
    """Makes the loop of a test, whose workers the test starts."""
    loops: list[Loop] = []

    def make() -> Loop:
        loops.append(Loop(tmp_path, runtime.endpoints.kafka, runtime.endpoints.registry, f"{tmp_path.name}-{len(loops)}."))
        return loops[-1]

    yield make
    for loop in loops:
        loop.stop()


@dataclass
class SharedLoop:
    """A loop that several tests use one after the other, each with an application of its own; its parts can be taken away and given back.

    The registry is behind `registry`, as the workers see it; ClickHouse does not answer while the file `away` is there.
    """

    loop: Loop
    registry: Proxy
    away: Path


_SHARED: list[SharedLoop] = []


@pytest.fixture
def shared(runtime: EmbeddedRuntime, tmp_path_factory: pytest.TempPathFactory) -> SharedLoop:
    """The shared loop, at rest; a new one when the test before left it broken."""
    if _SHARED and all(worker.ready for worker in _SHARED[-1].loop.workers.values()):
        return _SHARED[-1]
    directory = tmp_path_factory.mktemp("shared")
    url = urlsplit(runtime.endpoints.registry)
    registry = Proxy(int(url.port or 0))
    seen = f"http://127.0.0.1:{registry.port}{url.path}"
    loop = Loop(directory, runtime.endpoints.kafka, runtime.endpoints.registry, f"{directory.name}.", worker_registry=seen)
    _SHARED.append(SharedLoop(loop, registry, directory / "away"))
    loop.start_with_seam("streams", "streams", "--delivery-timeout", str(DELIVERY_TIMEOUT_S), kept=True)
    loop.start_with_seam("sink", "sink", "--away", str(directory / "away"), kept=True)
    loop.wait_ready()
    return _SHARED[-1]


@pytest.fixture(scope="session", autouse=True)
def _stop_shared(runtime: EmbeddedRuntime) -> Iterator[None]:
    yield
    for each in _SHARED:
        each.loop.stop()
        each.registry.down()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table; after a run of the long forms, write it."""
    if not _TABLE.rows:
        return
    terminalreporter.section("faults")
    for line in _TABLE.lines():
        terminalreporter.write_line(line)
    if config.getoption("markexpr") == "faults":
        _TABLE.write(RESULTS)
        terminalreporter.write_line(f"written to {RESULTS / 'faults.md'}")
