"""Where the sink continues: the tables themselves say how far they reach, so rows and position can never disagree."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException

from trueloop.adapters.clickhouse import ddl
from trueloop.adapters.clickhouse.ddl import quote
from trueloop.adapters.clickhouse.engine import Engine
from trueloop.adapters.kafka import TIMEOUT_S, physical_name
from trueloop.adapters.log_positions import LogPositions, Partition
from trueloop.config import KafkaSettings
from trueloop.errors import IntegrityError, UnavailableError
from trueloop.topics import ALL, physical


def sink_topics() -> frozenset[str]:
    """Return the topics that the sink reads: every event topic and every dead-letter topic."""
    retries = {topic.retry for topic in ALL}
    return frozenset(topic.name for topic in physical() if topic.name not in retries)


def stored_positions(engine: Engine) -> dict[Partition, int]:
    """Return the offset after the newest record that ClickHouse has dealt with, for each partition that it has records of."""
    tables = (*ddl.all_tables(), ddl.POSITIONS)
    newest = " UNION ALL ".join(f"SELECT _topic, _partition, max(_offset) AS newest FROM {table} GROUP BY ALL" for table in tables)  # noqa: S608 - names of our own
    rows = engine.rows(f"SELECT _topic, _partition, toInt64(max(newest)) + 1 FROM ({newest}) GROUP BY ALL")  # noqa: S608 - names of our own
    return {(str(topic), int(partition)): int(offset) for topic, partition, offset in rows}


def store_positions(engine: Engine, newest: Mapping[Partition, int]) -> None:
    """Note that the records of partitions up to `newest` are dealt with, whatever rows the tables have of them."""
    if not newest:
        return
    rows = ", ".join(f"({quote(topic)}, {number}, {offset})" for (topic, number), offset in sorted(newest.items()))
    engine.execute(f"INSERT INTO {ddl.POSITIONS} VALUES {rows}")  # noqa: S608 - a name of our own, quoted


@dataclass(frozen=True, slots=True)
class Starts:
    """Where to begin: the offset per partition, and the partitions whose next records the broker has deleted by retention."""

    offsets: dict[Partition, int]
    expired: dict[Partition, int]


def starts(kafka: KafkaSettings, wanted: Collection[Partition], stored: dict[Partition, int]) -> Starts:
    """Return where to begin reading each partition.

    Raises IntegrityError when a partition ends before what ClickHouse holds of it, UnavailableError when the broker does not answer.
    """
    offsets, expired = {}, {}
    for partition, held in LogPositions(kafka).bounds(wanted).items():
        position = stored.get(partition, 0)
        if position > held.end:
            raise _foreign(kafka, partition, held.end, position)
        if position < held.start:
            expired[partition] = held.start - position
        offsets[partition] = max(position, held.start)
    return Starts(offsets, expired)


def _foreign(kafka: KafkaSettings, partition: Partition, end: int, position: int) -> IntegrityError:
    topic, number = partition
    return IntegrityError(
        f"topic {physical_name(kafka, topic)!r} partition {number} ends at offset {end}, but ClickHouse holds its records up to offset {position - 1}: "
        "the topic was made anew, or another cluster is configured. Point the sink at the cluster that the tables were filled from, or give it "
        "an empty database (TRUELOOP_CLICKHOUSE__DATABASE)"
    )


def partitions_of(consumer: Consumer, kafka: KafkaSettings) -> list[Partition]:
    """Return every partition of the sink's topics. Raises UnavailableError when the broker does not answer or a topic is missing."""
    try:
        found = consumer.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise UnavailableError(f"no broker answers at {kafka.bootstrap_servers!r}: {error.args[0].str()}; start one with `trueloop up`") from None
    missing = sorted(name for name in sink_topics() if physical_name(kafka, name) not in found)
    if missing:
        raise UnavailableError(f"{len(missing)} topics do not exist, {missing[0]!r} is one; create the topics with `trueloop topics create`")
    return [(name, number) for name in sorted(sink_topics()) for number in found[physical_name(kafka, name)].partitions]
