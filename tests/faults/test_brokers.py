"""Three brokers: the leader killed; too few replicas in sync. Acknowledged is durable, and of all else the client is told."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.faults.cluster import Cluster
from tests.faults.foreign import Foreign, trace_event
from tests.faults.load import BeginLoad, trace_fields
from tests.faults.loop import Loop, until
from tests.faults.table import Table
from trueloop import Client
from trueloop.embedded.runtime import EmbeddedRuntime

LONG = pytest.mark.faults
PATIENCE_S = 4.0
"""After which a client gives an event up: five minutes in production."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers."""
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def loop(cluster: Cluster, runtime: EmbeddedRuntime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A loop on them; the registry is that of the other tests."""
    running = Loop(tmp_path_factory.mktemp("on-cluster"), cluster.addresses, runtime.endpoints.registry, "c.", replicas=3)
    running.start_all()
    yield running
    running.stop()


@pytest.mark.parametrize(("times", "down_s"), [pytest.param(1, 4, id="short"), pytest.param(6, 15, id="long", marks=LONG)])
def test_the_leader_is_killed(cluster: Cluster, loop: Loop, begin_load: BeginLoad, table: Table, times: int, down_s: float) -> None:
    load = begin_load(loop, "led")
    recovery = 0.0
    for number in range(times):
        load.goes_on(2.0)
        leader = cluster.brokers[cluster.leader("c.traces", number % 4)]
        leader.kill()
        killed = time.monotonic()
        until(lambda: cluster.leader("c.traces") != leader.number, "another one leads")  # noqa: B023 - used within the loop
        until(lambda: time.monotonic() - killed > down_s, "it stays down", 60)  # noqa: B023
        recovery = loop.recovery()
        leader.start()
        until(cluster.whole, "all replicas are in sync again", 120)
    found = loop.reconcile(load.application, load.finish(), load.since)
    restarts = sum(len(worker.endings) for worker in loop.workers.values())
    table.add("leader of three brokers killed", found, recovery, f"{times} kills, {down_s:g} s down each; workers started again {restarts} times")


def require_replicas(cluster: Cluster, topic: str, number: int) -> None:
    """Let the brokers take a record only when that many replicas have it."""
    entry = ConfigEntry("min.insync.replicas", str(number), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": cluster.addresses})  # held: without it there is nobody to answer
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result(20)


def one_is_missing(cluster: Cluster) -> list[int]:
    """Every replica is required, and one is lost: the brokers say so."""
    require_replicas(cluster, "c.traces", 3)
    lost = cluster.leader("c.traces")
    cluster.brokers[lost].kill()
    until(lambda: all(len(replicas) == 2 for replicas in cluster.in_sync("c.traces")), "two replicas are in sync")
    return [lost]


def two_are_missing(cluster: Cluster) -> list[int]:
    """Two of three are lost, and with them the quorum of the controllers: nobody says anything."""
    lost = [1, 2]
    for number in lost:
        cluster.brokers[number].kill()
    return lost


@pytest.mark.parametrize(
    ("lose", "seconds"),
    [
        pytest.param(one_is_missing, 5, id="short"),
        pytest.param(one_is_missing, 40, id="one", marks=LONG),
        pytest.param(two_are_missing, 40, id="two", marks=LONG),
    ],
)
def test_too_few_replicas(cluster: Cluster, loop: Loop, begin_load: BeginLoad, table: Table, lose: Callable[[Cluster], list[int]], seconds: float) -> None:
    application = f"insync-{lose.__name__.split('_')[0]}"
    load = begin_load(loop, application)
    load.goes_on(1.5)
    impatient = Client(application, settings=loop.settings, delivery_timeout_s=PATIENCE_S)
    foreign = Foreign(loop.places, **{"message.timeout.ms": int(PATIENCE_S * 1000)})
    number = 10**6

    def send_both() -> None:
        nonlocal number
        number += 1
        impatient.trace(**trace_fields(application, number))
        event = trace_event(trace_fields(application, -number), application, datetime.now(UTC))
        foreign.send("traces", event["trace_id"], foreign.encode("traces", event), event["trace_id"])

    for _ in range(100):
        send_both()
    foreign.flush()
    assert impatient.flush(20) == 0
    assert impatient.stats.dropped == {}
    before = len(foreign.acknowledged)
    lost = lose(cluster)
    since, told_after = time.monotonic(), number
    while time.monotonic() - since < seconds:
        send_both()
        time.sleep(0.02)  # the pace of a client
    until(lambda: impatient.flush(1.0) == 0, "the client has settled every event", 60)
    foreign.flush()
    sent = number - told_after
    stats = impatient.stats
    assert stats.accepted == stats.delivered + sum(stats.dropped.values())
    assert stats.dropped.get("delivery_failed", 0) >= sent // 2, f"{sent} events could not be acknowledged, and the client says {stats}"
    assert foreign.refused, "no producer was told"
    for each in lost:
        cluster.brokers[each].start()
    until(cluster.whole, "all replicas are in sync again", 120)
    require_replicas(cluster, "c.traces", 2)
    recovery = loop.recovery()
    impatient.close()
    acknowledged = load.finish()
    found = loop.reconcile(application, type(acknowledged)(acknowledged.traces | foreign.acknowledged, acknowledged.labels), load.since)
    notes = f"{seconds:g} s; {len(foreign.acknowledged) - before} acknowledged, {len(foreign.refused)} told that they were not"
    table.add(f"min.insync lost: {len(lost)} of 3 brokers down", found, recovery, notes)
