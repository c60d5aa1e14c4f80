"""Workers that die exactly between two effects, where a dedup mark or an offset could run ahead of what it stands for."""

import random
import signal
import threading
from collections.abc import Callable

import pytest

from tests.faults import pills
from tests.faults.foreign import Foreign
from tests.faults.load import BeginLoad
from tests.faults.loop import SINK, STREAMS, Loop, until
from tests.faults.table import Table

SEAMS = {
    "streams": {
        "outputs-half": "streams die in the middle of their outputs",
        "outputs-state": "streams die between outputs and state (dedup mark)",
        "state-commit": "streams die between state (dedup mark) and commit",
        "complete-commit": "streams die between a complete batch and its commit",
    },
    "sink": {
        "during-insert": "sink dies during an insert",
        "insert-commit": "sink dies between insert and commit",
        "letters-insert": "sink dies between dead letters and insert",
    },
}


def die_at_each(loop: Loop, role: str, deaths: int, latest: int, seed: int, told: dict[str, int]) -> None:
    """Let a worker die at each of its seams, again and again, between the second and the `latest` time that it is there; count the deaths."""
    chance = random.Random(seed)
    for _ in range(deaths):
        for seam in SEAMS[role]:
            worker = loop.start_with_seam(role, role, "--die", seam, "--after", str(chance.randint(2, latest)))
            until(lambda worker=worker: worker.process.poll() is not None, f"{role} dies at {seam}; see {worker.log}")  # type: ignore[misc]
            assert worker.process.returncode == -signal.SIGKILL, worker.log.read_text()[-2000:]
            told[seam] = told.get(seam, 0) + 1


@pytest.mark.parametrize(("deaths", "latest"), [pytest.param(1, 5, id="short"), pytest.param(6, 12, id="long", marks=pytest.mark.faults)])
def test_dying_between_two_effects(make_loop: Callable[[], Loop], begin_load: BeginLoad, table: Table, deaths: int, latest: int) -> None:
    loop = make_loop()
    load = begin_load(loop, "dying")
    foreign, over, told = Foreign(loop.places), threading.Event(), dict[str, int]()

    def poison() -> None:
        number = 0
        while not over.wait(0.2):
            foreign.send("traces", "pill", pills.random_bytes(100), f"pill {number}")
            number += 1

    threads = [threading.Thread(target=poison)]
    dying = [threading.Thread(target=die_at_each, args=(loop, role, deaths, latest, seed, told)) for seed, role in enumerate(SEAMS)]
    for thread in threads + dying:
        thread.start()
    for thread in dying:
        thread.join()
    over.set()
    threads[0].join()
    foreign.flush()
    assert told == {seam: deaths for seams in SEAMS.values() for seam in seams}
    loop.start("streams", STREAMS)
    loop.start("sink", SINK)
    recovery = loop.recovery()
    found = loop.reconcile(load.application, load.finish(), load.since)
    table.add("death between two effects", found, recovery, f"{sum(told.values())} deaths at {len(told)} seams", deaths=told, seams=SEAMS)
