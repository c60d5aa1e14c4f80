"""Workers that come and go: a rebalance storm, and a rolling upgrade."""

import random
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.faults.foreign import Foreign
from tests.faults.load import BeginLoad, Load
from tests.faults.loop import SINK, STREAMS, Loop, until
from tests.faults.table import Table
from trueloop.embedded.stack import PROCESSORS

LONG = pytest.mark.faults


@pytest.mark.parametrize("changes", [pytest.param(3, id="short"), pytest.param(40, id="long", marks=LONG)])
def test_a_rebalance_storm(make_loop: Callable[[], Loop], begin_load: BeginLoad, table: Table, changes: int) -> None:
    """A worker joins or leaves every few seconds, one in four of those that leave by kill -9; one stays."""
    loop, chance = make_loop(), random.Random(11)
    loop.start("streams-0", STREAMS, instance=None)
    loop.start("sink", SINK)
    loop.wait_ready()
    load = begin_load(loop, "stormy")
    inside: list[str] = []
    killed = left = 0
    for number in range(1, changes + 1):
        if not inside or (len(inside) < 2 and chance.random() < 0.5):
            inside.append(f"streams-{number}")
            loop.start(inside[-1], STREAMS, instance=None, kept=False)
        else:
            left += 1
            hard = left % 4 == 0
            killed += hard
            loop.workers[inside.pop(0)].end(signal.SIGKILL if hard else signal.SIGTERM)
        end = time.monotonic() + chance.uniform(1.0, 4.0)
        until(lambda end=end: time.monotonic() >= end, "the next change")  # type: ignore[misc]
    recovery = loop.recovery()
    assert loop.workers["streams-0"].endings == []
    notes = f"{changes} workers joined or left, {killed} of them by kill -9"
    table.add("rebalance storm", loop.reconcile(load.application, load.finish(), load.since), recovery, notes)


@pytest.mark.parametrize("rounds", [pytest.param(1, id="short"), pytest.param(4, id="long", marks=LONG)])
def test_a_rolling_upgrade(make_loop: Callable[[], Loop], begin_load: BeginLoad, table: Table, rounds: int) -> None:
    """Two instances, one after the other stopped and started again, under load."""
    loop = make_loop()
    names = ("streams-a", "streams-b")
    for name in names:
        loop.start(name, STREAMS, instance=None, kept=False)
    loop.start("sink", SINK)
    loop.wait_ready()
    load = begin_load(loop, "upgraded")
    for _ in range(rounds):
        for name in names:
            load.goes_on(1.5)
            assert loop.workers[name].end(signal.SIGTERM) == 0, loop.workers[name].log.read_text()[-2000:]
            loop.start(name, STREAMS, instance=None, kept=False).wait_ready()
    recovery = loop.recovery()
    assert all(loop.workers[name].process.poll() is None for name in names)
    notes = f"{2 * rounds} restarts, one after the other"
    table.add("rolling upgrade", loop.reconcile(load.application, load.finish(), load.since), recovery, notes)


def test_labels_that_are_due_again_before_their_tasks_are_read(make_loop: Callable[[], Loop], table: Table) -> None:
    """A worker put labels off, because their tasks were still to be read, and died; when another goes on, their time has come already."""
    loop = make_loop()
    loop.start("sampling", ("worker", "sampling"))
    loop.start("sink", SINK)
    loop.wait_ready()
    load = Load(loop, "put-off", 120.0)
    until(lambda: len(load.panel.answered) >= 50, "tasks are labelled, and nobody collects the labels")
    load.service.finish()  # what comes later is no part of it
    assert load.client.flush(30) == 0
    labels = loop.topics.raw({"labels": loop.topics.names()["labels"]}, load.since)
    newest = sorted(labels, key=lambda record: record.offset)[-100:]
    foreign = Foreign(loop.places)
    for label in newest:
        past = {"original-topic": "labels", "original-partition": label.partition, "original-offset": label.offset, "attempt": 1}
        due = {"first-failed-at": datetime.now(UTC).isoformat(), "not-before": 1}
        foreign.send("labels.retry", (label.key or b"").decode(), label.value, str(label.at), label.partition, past | due)
    foreign.flush()
    loop.start("others", ("worker", *(name for name in PROCESSORS if name != "sampling")))
    recovery = loop.recovery()
    found = loop.reconcile(load.application, load.finish(), load.since)
    table.add("labels due again before their tasks are read", found, recovery, f"{len(newest)} labels")
