"""The registry away, at the start and in flight; the dead-letter topic not writable."""

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.faults import pills
from tests.faults.conftest import SharedLoop
from tests.faults.foreign import Foreign, trace_event
from tests.faults.load import BeginLoad, trace_fields
from tests.faults.loop import Loop, until
from tests.faults.table import Table

LONG = pytest.mark.faults


@pytest.mark.parametrize("seconds", [pytest.param(2, id="short"), pytest.param(60, id="long", marks=LONG)])
def test_the_registry_away_when_workers_start(shared: SharedLoop, begin_load: BeginLoad, table: Table, seconds: float) -> None:
    loop = shared.loop
    load = begin_load(loop, "unregistered")
    load.goes_on(1.5)
    shared.registry.down()
    gone = time.monotonic()
    for worker in loop.workers.values():
        ended = len(worker.endings)
        worker.signal(signal.SIGTERM)
        until(lambda worker=worker, ended=ended: len(worker.endings) > ended, f"{worker.name} has ended")  # type: ignore[misc]
    load.goes_on(1.5)
    waiting = loop.topics.ends()
    until(lambda: time.monotonic() - gone > seconds, "the registry stays away", seconds + 60)
    assert not loop.caught_up(waiting)
    shared.registry.up()
    recovery = loop.recovery()
    table.add("registry away at the start", loop.reconcile(load.application, load.finish(), load.since), recovery, f"{time.monotonic() - gone:.0f} s away")
    for worker in loop.workers.values():
        worker.endings.clear()


@pytest.mark.parametrize("seconds", [pytest.param(2, id="short"), pytest.param(60, id="long", marks=LONG)])
def test_the_registry_away_in_flight(shared: SharedLoop, begin_load: BeginLoad, table: Table, seconds: float) -> None:
    """Producers go over to a new version of the schema while the workers cannot ask for it."""
    loop, foreign = shared.loop, Foreign(shared.loop.places)
    load = begin_load(loop, "in-flight")
    load.goes_on(1.5)
    shared.registry.down()
    gone = time.monotonic()
    old = foreign.schema("traces")
    extra = {"name": f"extra_{time.time_ns()}", "type": ["null", "string"], "default": None, "doc": "Of a newer producer."}
    foreign.register("traces", old | {"fields": [*old["fields"], extra]})
    for number in range(200):
        event = trace_event(trace_fields(load.application, 10**6 + number), load.application, datetime.now(UTC)) | {extra["name"]: "new"}
        foreign.send("traces", event["trace_id"], foreign.encode("traces", event), event["trace_id"])
    foreign.flush()
    assert foreign.refused == {}
    waiting = loop.topics.ends()
    until(lambda: time.monotonic() - gone > seconds, "the registry stays away", seconds + 60)
    assert not loop.caught_up(waiting)
    shared.registry.up()
    recovery = loop.recovery()
    sent = load.finish()
    assert [worker.endings for worker in loop.workers.values()] == [[], []], "a worker ended"
    found = loop.reconcile(load.application, type(sent)(sent.traces | foreign.acknowledged, sent.labels), load.since)
    table.add("registry away in flight", found, recovery, f"{seconds:g} s away, 200 events by a schema that came meanwhile")


def refuse_records(loop: Loop, topic: str, *, refuse: bool) -> None:
    """Let the brokers refuse every record of a topic, or take them again."""
    size = "1" if refuse else str(2 * 2**20)
    entry = ConfigEntry("max.message.bytes", size, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, loop.places.prefix + topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": loop.places.kafka})  # held: without it there is nobody to answer
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result(20)


def send_pills(loop: Loop, count: int) -> None:
    """Send records that have to be dead-lettered."""
    foreign = Foreign(loop.places)
    for number in range(count):
        foreign.send("traces", f"pill-{number}", pills.random_bytes(100), f"pill-{number}")
    foreign.flush()


@pytest.mark.parametrize("seconds", [pytest.param(0, id="short"), pytest.param(60, id="long", marks=LONG)])
def test_dead_letters_refused(shared: SharedLoop, begin_load: BeginLoad, table: Table, seconds: float) -> None:
    """The worker stops rather than pass over what it could not put away, and goes on when that is possible again."""
    loop = shared.loop
    load = begin_load(loop, "stopped")
    load.goes_on(1.5)
    streams = loop.workers["streams"]
    before = len(streams.endings)
    refuse_records(loop, "traces.dead-letters", refuse=True)
    gone = time.monotonic()
    send_pills(loop, 20)
    waiting = loop.topics.ends(("traces",))
    until(lambda: len(streams.endings) > before, "the worker has stopped")
    assert streams.endings[before] == 1
    load.goes_on(0.8)
    until(lambda: time.monotonic() - gone > seconds, "the topic stays as it is", seconds + 60)
    assert not loop.caught_up(waiting), "something was passed over"
    refuse_records(loop, "traces.dead-letters", refuse=False)
    recovery = loop.recovery()
    stops = len(streams.endings) - before
    found = loop.reconcile(load.application, load.finish(), load.since)
    table.add("dead-letter topic refuses records", found, recovery, f"{time.monotonic() - gone:.0f} s; the worker stopped {stops} times")
    streams.endings.clear()


@pytest.mark.faults
def test_the_dead_letter_topic_is_deleted(make_loop: Callable[[], Loop], begin_load: BeginLoad, table: Table) -> None:
    """The worker stops; started again it finds the topic missing and makes it anew."""
    loop = make_loop()
    loop.start_all()
    load = begin_load(loop, "deleted")
    load.goes_on(1.5)
    name = loop.places.prefix + "traces.dead-letters"
    admin = AdminClient({"bootstrap.servers": loop.places.kafka})
    admin.delete_topics([name])[name].result(20)
    until(lambda: "traces.dead-letters" not in loop.topics.names(), "the topic is gone")
    send_pills(loop, 20)
    until(lambda: len(loop.workers["streams"].endings) > 0, "the worker has stopped")
    recovery = loop.recovery()
    found = loop.reconcile(load.application, load.finish(), load.since)
    table.add("dead-letter topic deleted", found, recovery, f"the worker stopped {len(loop.workers['streams'].endings)} times")
