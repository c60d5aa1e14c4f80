"""kill -9 of each worker, at random points, under load."""

import random
import signal
import statistics
import threading
import time
from collections.abc import Callable

import pytest

from tests.faults.load import BeginLoad
from tests.faults.loop import Loop, Worker, until
from tests.faults.table import Table

LONG = pytest.mark.faults


def kill_at_random(worker: Worker, times: int, seed: int) -> list[float]:
    """Kill a worker again and again, half of the times at work, half of them as it comes up; return the seconds until it worked again."""
    chance = random.Random(seed)
    back: list[float] = []
    for number in range(times):
        if number % 2:
            end = time.monotonic() + chance.uniform(0.0, 3.0)
        else:
            worker.wait_ready()
            end = time.monotonic() + chance.uniform(0.0, 1.5)
        until(lambda end=end: time.monotonic() >= end, "the moment to kill")  # type: ignore[misc]
        before, killed = len(worker.endings), time.monotonic()
        worker.signal(signal.SIGKILL)
        until(lambda before=before: len(worker.endings) > before, "it is dead")  # type: ignore[misc]
        if number % 2 or number == times - 1:
            worker.wait_ready()
            back.append(time.monotonic() - killed)
    return back


@pytest.mark.parametrize("times", [pytest.param(2, id="short"), pytest.param(56, id="long", marks=LONG)])
def test_kill_9_of_each_worker_under_load(make_loop: Callable[[], Loop], begin_load: BeginLoad, table: Table, times: int) -> None:
    loop = make_loop()
    loop.start_all()
    load = begin_load(loop, "killed")
    load.goes_on(1.5)
    back: dict[str, list[float]] = {}
    killers = [
        threading.Thread(target=lambda name=name, seed=seed: back.update({name: kill_at_random(loop.workers[name], times, seed)}))
        for seed, name in enumerate(("streams", "sink"))
    ]
    for killer in killers:
        killer.start()
    for killer in killers:
        killer.join()
    assert back.keys() == {"streams", "sink"}, "a worker did not come back"
    recovery = loop.recovery()
    sent = load.finish()
    endings = [code for worker in loop.workers.values() for code in worker.endings]
    assert endings == [-signal.SIGKILL] * (2 * times), "a worker ended by itself"
    notes = f"{len(endings)} kills; ready again after {statistics.median(back['streams']):.1f} s (streams), {statistics.median(back['sink']):.1f} s (sink)"
    table.add("kill -9 of streams and sink", loop.reconcile(load.application, sent, load.since), recovery, notes, kills=len(endings))
