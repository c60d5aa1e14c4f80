"""ClickHouse gone, slow to answer or frozen: the loop goes on in Kafka, memory stays bounded, and catching up doubles nothing."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from tests.faults.conftest import SharedLoop
from tests.faults.foreign import Foreign, trace_event
from tests.faults.load import BeginLoad, trace_fields
from tests.faults.loop import STREAMS, Loop, until
from tests.faults.table import Table

WAITING_MIB, CATCHING_UP_MIB = 250.0, 1000.0
"""By how much the sink may grow while ClickHouse is away: some 64 MiB of records that wait, as objects, and librdkafka's queue of 32 MiB. And while it
catches up: the records once more as rows, and the engine in its process, whose inserts and merges take some 600 MiB at full speed, however much there is
to catch up with. The long form leaves 1.3 GiB waiting."""
LONG = pytest.mark.faults


PADDING = " " * 4000


def send_bulk(loop: Loop, application: str, traces: int) -> set[str]:
    """Send traces of some 4.5 kB as fast as the brokers take them; return their ids."""
    foreign = Foreign(loop.places)
    for number in range(traces):
        fields = trace_fields(application, 10**6 + number) | {"consent": "none", "completion": PADDING}
        event = trace_event(fields, application, datetime.now(UTC))
        foreign.send("traces", event["trace_id"], foreign.encode("traces", event), event["trace_id"])
    foreign.flush()
    assert foreign.refused == {}
    return foreign.acknowledged


@contextmanager
def largest(measure: Callable[[], float]) -> Iterator[list[float]]:
    """Measure all the time; the largest value is that of the list's one element."""
    found, over = [measure()], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            found[0] = max(found[0], measure())

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield found
    finally:
        over.set()
        watching.join()


@pytest.mark.parametrize(("seconds", "bulk"), [pytest.param(3, 2_000, id="short"), pytest.param(150, 300_000, id="long", marks=LONG)])
def test_clickhouse_away(shared: SharedLoop, begin_load: BeginLoad, table: Table, seconds: float, bulk: int) -> None:
    loop = shared.loop
    load = begin_load(loop, "stored-later")
    load.goes_on(1.5)
    sink = loop.workers["sink"]
    endings, before = list(sink.endings), sink.rss_mib()
    shared.away.touch()
    gone = time.monotonic()
    with largest(sink.rss_mib) as waiting_peak:
        ids = send_bulk(loop, load.application, bulk)
        while time.monotonic() - gone < seconds:
            load.goes_on(0.3)
        waiting = loop.topics.ends()
        until(lambda: not any(line.startswith("sampling") for line in loop.behind(waiting)), "the streams go on while ClickHouse is away")
    stored = loop.tables.positions()
    assert sum(stored.get(place, 0) for place in stored if place[0] == "traces") < sum(end for place, end in waiting.items() if place[0] == "traces")
    shared.away.unlink()
    with largest(sink.rss_mib) as peak:
        recovery = loop.recovery()
        sent = load.finish()
    assert sink.endings == endings, "the sink ended"
    assert waiting_peak[0] - before < WAITING_MIB, f"the sink grew from {before:.0f} to {waiting_peak[0]:.0f} MiB while ClickHouse was away"
    assert peak[0] - before < CATCHING_UP_MIB, f"the sink grew from {before:.0f} to {peak[0]:.0f} MiB while it caught up"
    found = loop.reconcile(load.application, type(sent)(sent.traces | ids, sent.labels), load.since)
    notes = f"{seconds:g} s away; sink {before:.0f} MiB before, {waiting_peak[0]:.0f} while waiting, {peak[0]:.0f} at most while catching up"
    figures = {"rss_before_mib": round(before), "rss_waiting_mib": round(waiting_peak[0]), "rss_peak_mib": round(peak[0])}
    table.add("ClickHouse away", found, recovery, notes, **figures)


@pytest.mark.faults
def test_the_sink_frozen_with_its_engine(shared: SharedLoop, begin_load: BeginLoad, table: Table) -> None:
    loop = shared.loop
    load = begin_load(loop, "frozen")
    load.goes_on(3.0)
    sink = loop.workers["sink"]
    sink.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    until(lambda: time.monotonic() - stopped > 60, "a minute", 90)
    sink.signal(signal.SIGCONT)
    recovery = loop.recovery()
    table.add("sink and ClickHouse frozen", loop.reconcile(load.application, load.finish(), load.since), recovery, "60 s by SIGSTOP")


@pytest.mark.parametrize("answers", [pytest.param(30, id="long", marks=LONG)])
def test_the_answers_to_inserts_are_lost(make_loop: Callable[[], Loop], begin_load: BeginLoad, table: Table, answers: int) -> None:
    loop = make_loop()
    loop.start("streams", STREAMS)
    loop.start_with_seam("sink", "sink", "--lose-answers", str(answers))
    loop.wait_ready()
    load = begin_load(loop, "unanswered")
    until(lambda: loop.workers["sink"].log.read_text().count("not done yet") >= answers, f"{answers} answers were lost")
    recovery = loop.recovery()
    table.add("outcome of an insert unknown", loop.reconcile(load.application, load.finish(), load.since), recovery, f"{answers} inserts, each tried again")
