"""Topics of a cluster through confluent-kafka: making those that are missing, and watching how far readers have come."""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, NewTopic, OffsetSpec  # type: ignore[attr-defined]  # re-exported without saying so

from trueloop.adapters.kafka import TIMEOUT_S, client_config, physical_name
from trueloop.config import KafkaSettings
from trueloop.errors import ConfigurationError, UnavailableError
from trueloop.topics import PhysicalTopic


@dataclass(frozen=True, slots=True)
class TopicsFound:
    """What `ensure_topics` made and what was there, by name on the broker."""

    created: tuple[str, ...]
    existing: tuple[str, ...]


def ensure_topics(kafka: KafkaSettings, topics: Iterable[PhysicalTopic]) -> TopicsFound:
    """Create the topics that are missing. Existing ones keep their configuration, which belongs to whoever runs the cluster.

    Raises:
        UnavailableError: When no broker answers, or the brokers refuse to create a topic.
        ConfigurationError: When an existing topic has another number of partitions than expected, for topics that are joined by key
            must have equal numbers. The missing ones are created all the same.
    """
    wanted = {physical_name(kafka, topic.name): topic for topic in topics}
    admin = AdminClient(client_config(kafka))
    present = {name: len(topic.partitions) for name, topic in _metadata(admin, kafka).topics.items()}
    missing = [name for name in wanted if name not in present]
    _create(admin, [_new_topic(name, wanted[name], kafka.replication_factor) for name in missing], kafka)
    _await_leaders(admin, missing, kafka)
    existing = [name for name in wanted if name in present]
    differing = [f"{name} has {present[name]}, expected {wanted[name].partitions}" for name in existing if present[name] != wanted[name].partitions]
    if differing:
        raise ConfigurationError(
            f"partitions of existing topics differ: {'; '.join(differing)}. Raise the lower number with the broker's tools when the topic is "
            "empty, or give this deployment other topics with TRUELOOP_KAFKA__TOPIC_PREFIX"
        )
    return TopicsFound(tuple(missing), tuple(existing))


def _new_topic(name: str, topic: PhysicalTopic, replication_factor: int) -> NewTopic:
    config = {
        "cleanup.policy": topic.cleanup_policy,
        "retention.ms": str(topic.retention_ms),
        "max.message.bytes": str(topic.max_message_bytes),
    }
    return NewTopic(name, topic.partitions, replication_factor, config=config)


def _create(admin: AdminClient, topics: list[NewTopic], kafka: KafkaSettings) -> None:
    if not topics:
        return
    for name, created in admin.create_topics(topics, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S).items():
        try:
            created.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else made it just now
                raise UnavailableError(f"the broker at {kafka.bootstrap_servers!r} did not create topic {name!r}: {error.args[0].str()}") from None


def _await_leaders(admin: AdminClient, names: list[str], kafka: KafkaSettings) -> None:
    """Return when every partition of the topics has a leader: a broker answers that a topic was made a little before it can be read."""
    deadline = time.monotonic() + TIMEOUT_S
    while names:
        topics = _metadata(admin, kafka).topics
        names = [name for name in names if name not in topics or any(partition.leader < 0 for partition in topics[name].partitions.values())]
        if names and time.monotonic() > deadline:
            raise UnavailableError(
                f"topic {names[0]!r} was created at {kafka.bootstrap_servers!r} but has no leader after {TIMEOUT_S:g} s; see `trueloop doctor`"
            )
        time.sleep(0.02 if names else 0.0)


def _metadata(admin: AdminClient, kafka: KafkaSettings) -> ClusterMetadata:
    try:
        return admin.list_topics(timeout=TIMEOUT_S)
    except KafkaException as error:
        raise UnavailableError(f"no broker answers at {kafka.bootstrap_servers!r}: {error.args[0].str()}; start one with `trueloop up`") from None


@dataclass(frozen=True, slots=True)
class TopicActivity:
    """How much went through a topic and how far its readers are.

    `end_offset` is the sum over partitions of the offset that the next record gets. `lag` holds, per consumer group that has committed
    an offset here, the sum over its partitions of records not yet committed.
    """

    name: str
    partitions: int
    end_offset: int
    lag: dict[str, int]


class TopicWatcher:
    """Asks one broker connection, again and again, what the topics hold."""

    def __init__(self, kafka: KafkaSettings, timeout_s: float = 2.0) -> None:
        """Connect lazily. `timeout_s` bounds each request, so that a status view does not stand still when the broker does."""
        self._kafka = kafka
        self._timeout_s = timeout_s
        self._admin = AdminClient(client_config(kafka) | {"log_level": 0})

    def observe(self) -> list[TopicActivity]:
        """Return the activity of all topics that are not internal to Kafka, by name. Raises UnavailableError when no broker answers."""
        try:
            topics = self._admin.list_topics(timeout=self._timeout_s).topics
            partitions = {name: sorted(topic.partitions) for name, topic in topics.items() if not name.startswith("__")}
            ends = self._end_offsets([TopicPartition(name, number) for name, numbers in partitions.items() for number in numbers])
            lags = self._lags(ends)
        except (KafkaException, TimeoutError) as error:
            reason = error.args[0].str() if isinstance(error, KafkaException) else "no answer in time"
            raise UnavailableError(f"no broker answers at {self._kafka.bootstrap_servers!r}: {reason}") from None
        return [
            TopicActivity(name, len(numbers), sum(ends.get((name, number), 0) for number in numbers), lags.get(name, {}))
            for name, numbers in sorted(partitions.items())
        ]

    def _end_offsets(self, partitions: list[TopicPartition]) -> dict[tuple[str, int], int]:
        if not partitions:
            return {}
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = self._admin.list_offsets(dict.fromkeys(partitions, latest), request_timeout=self._timeout_s)
        found = {(partition.topic, partition.partition): int(future.result(2 * self._timeout_s).offset) for partition, future in asked.items()}
        return {place: offset for place, offset in found.items() if offset >= 0}  # librdkafka tells OFFSET_INVALID where no leader answered

    def _lags(self, ends: dict[tuple[str, int], int]) -> dict[str, dict[str, int]]:
        groups = [group.group_id for group in self._admin.list_consumer_groups(request_timeout=self._timeout_s).result(2 * self._timeout_s).valid]
        # All requests are sent before the first answer is waited for; one request may name one group only.
        asked = [self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=self._timeout_s)[group] for group in groups]
        lags: dict[str, dict[str, int]] = defaultdict(dict)
        for group, future in zip(groups, asked, strict=True):
            for committed in future.result(2 * self._timeout_s).topic_partitions or ():
                end = ends.get((committed.topic, committed.partition))
                if end is not None and committed.offset >= 0:
                    lags[committed.topic][group] = lags[committed.topic].get(group, 0) + max(0, end - committed.offset)
        return lags
