"""State on a real broker: kill -9, and changelogs that lost some or all of their records."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType  # type: ignore[attr-defined]
from trueloop.streams.state_guard import accept_loss
from trueloop.streams.state_topics import changelog_of, group_of

from tests.integration.stream_processors import PROCESSORS
from tests.integration.test_streams import DEADLINE_S, Stage, in_partition_of_key, trace, wait_for
from trueloop import topics
from trueloop.adapters.faust_batch.partition_states import PartitionStates
from trueloop.adapters.kafka import client_config
from trueloop.adapters.log_positions import LogPositions
from trueloop.adapters.log_reader import read_partition
from trueloop.config import load_settings
from trueloop.embedded.runtime import EmbeddedRuntime

COUNT = PROCESSORS["count"]
CHANGELOG = changelog_of(COUNT)
REBUILT = "is whole again"


@pytest.fixture
def count(tmp_path: Path) -> Iterator[Stage]:
    with EmbeddedRuntime(tmp_path / "state") as runtime:
        stage = Stage(runtime, "count", tmp_path)
        try:
            yield stage
        finally:
            stage.stop()


def recovered(stage: Stage) -> PartitionStates:
    """The state as a worker would recover it."""
    states, positions = PartitionStates(), LogPositions(stage.kafka)
    for place, bounds in positions.bounds(positions.partitions([CHANGELOG])).items():
        for chunk in read_partition(stage.kafka, place, bounds):
            states.recover(place[1], chunk.records)
    return states


def contents(stage: Stage) -> dict[int, tuple[int, dict[bytes, bytes]]]:
    states = recovered(stage)
    assert all(states.agrees(number) for number in range(topics.KEYED))
    return {number: (states.digest(number), dict(states.partition(number))) for number in range(topics.KEYED)}


def delete(stage: Stage, topic: str, share: float) -> None:
    """Delete the first records of each partition, as a retention does that somebody set where only compaction belongs."""
    admin = AdminClient(client_config(stage.kafka))
    policy = ConfigEntry("cleanup.policy", "compact,delete", incremental_operation=AlterConfigOpType.SET)
    for future in admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, stage.prefix + topic, incremental_configs=[policy])]).values():
        future.result(DEADLINE_S)
    positions = LogPositions(stage.kafka)
    bounds = positions.bounds(positions.partitions([topic]))
    cuts = [TopicPartition(stage.prefix + topic, number, start + round(share * (end - start))) for (_, number), (start, end) in bounds.items()]
    for future in admin.delete_records(cuts).values():
        future.result(DEADLINE_S)


def killed(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.wait()


def send(stage: Stage, numbers: range) -> None:
    in_partition_of_key(stage, [trace(number) for number in numbers])
    stage.producer.flush()


def derived(stage: Stage) -> int:
    positions = LogPositions(stage.kafka)
    return sum(positions.ends(positions.partitions([topics.APPEALS.name])).values())


def test_state_is_whole_rebuilt_or_refused(count: Stage) -> None:
    send(count, range(400))
    killed_once = count.start()
    wait_for(lambda: derived(count) >= 400, "all derived")
    killed(killed_once)
    worker = count.start()
    wait_for(lambda: count.committed(topics.TRACES), "everything is committed")
    assert REBUILT not in count.log.read_text(), "a killed worker left whole state, which was taken for lost"
    before, sent = contents(count), derived(count)
    assert {key: state.ids for key, state in count.states().items()} == {
        f"k-{k}": {trace(number).event_id for number in range(400) if number % 23 == k} for k in range(23)
    }

    admin, changelog = AdminClient(client_config(count.kafka)), count.prefix + CHANGELOG
    lose: list[Callable[[], None]] = [
        lambda: delete(count, CHANGELOG, 0.4),
        lambda: delete(count, CHANGELOG, 1.0),
        lambda: admin.delete_topics([changelog])[changelog].result(DEADLINE_S),
    ]
    for number, lost in enumerate(lose, 1):
        killed(worker)
        lost()
        worker = count.start()
        assert count.log.read_text().count(REBUILT) >= number * 4, "each of the four partitions had lost something"
        assert contents(count) == before, "the rebuilt state is another one"
    assert derived(count) == sent, "rebuilding sent events again"

    group = count.prefix + group_of(COUNT)
    killed(worker)
    # A killed static member stays in its group until its session is over.
    wait_for(lambda: admin.delete_consumer_groups([group])[group].exception() is None, "the group's offsets are gone")
    worker = count.start()
    send(count, range(400, 420))
    wait_for(lambda: derived(count) == sent + 20, "the worker goes on where its state stands")

    killed(worker)
    delete(count, topics.TRACES.name, 0.5)
    delete(count, CHANGELOG, 1.0)
    with pytest.raises(AssertionError, match="--accept-loss"):
        count.start()
    settings = load_settings(kafka=count.kafka)
    assert accept_loss(settings, [COUNT]) == ["count"]
    count.start()
    left = contents(count)
    assert sum(len(states) for _, states in left.values()) > 0
    assert left != before
