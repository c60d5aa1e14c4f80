"""Where partitions begin and end, and how far a consumer group has come: asked of the broker, by the registry's names of topics."""

import time
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from confluent_kafka import OFFSET_INVALID, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # re-exported without saying so

from trueloop.adapters.kafka import TIMEOUT_S, client_config, physical_name
from trueloop.config import KafkaSettings
from trueloop.errors import UnavailableError

Partition = tuple[str, int]
"""A topic, as the registry names it, and one of its partitions."""
RETRY_S = 0.1
REQUEST_S = 2.0
"""After this a broker is taken for gone, and a new client asks who leads now. librdkafka would ask the lost one until it is back."""
_PASSING = frozenset({
    KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._NOENT,
})  # fmt: skip
"""A partition that was made just now has no leader for a moment, and neither has one whose leader was lost."""


class Bounds(NamedTuple):
    """The offset of the first record that a partition still holds, and the offset that its next record gets."""

    start: int
    end: int


class LogPositions:
    """Asks the brokers, by a new client when they did not answer.

    Every method raises UnavailableError when the broker does not answer or a topic does not exist.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        """Connect with the first question."""
        self._kafka = kafka
        self._connected: AdminClient | None = None

    @property
    def _admin(self) -> AdminClient:
        if self._connected is None:
            self._connected = AdminClient(client_config(self._kafka))
        return self._connected

    def partitions(self, topics: Iterable[str]) -> list[Partition]:
        """Return every partition of topics, in their order."""
        try:
            present = self._admin.list_topics(timeout=TIMEOUT_S).topics
        except KafkaException as error:
            raise UnavailableError(f"no broker answers at {self._kafka.bootstrap_servers!r}: {error.args[0].str()}; start one with `trueloop up`") from None
        found: list[Partition] = []
        for topic in topics:
            metadata = present.get(physical_name(self._kafka, topic))
            if metadata is None:
                raise UnavailableError(f"topic {physical_name(self._kafka, topic)!r} does not exist; create the topics with `trueloop topics create`")
            found += [(topic, number) for number in sorted(metadata.partitions)]
        return found

    def ends(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return the offset that the next record of each partition gets."""
        return self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def bounds(self, partitions: Collection[Partition]) -> dict[Partition, Bounds]:
        """Return where each partition begins and ends."""
        starts = self._offsets(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = self.ends(partitions)
        return {partition: Bounds(starts[partition], ends[partition]) for partition in partitions}

    def since(self, partitions: Collection[Partition], moment: datetime) -> dict[Partition, int]:
        """Return the offset of each partition's first record whose timestamp is at or after `moment`; its end when there is none."""
        milliseconds = int(moment.timestamp() * 1000)
        found = self._offsets(partitions, OffsetSpec.for_timestamp(milliseconds))
        ends = self.ends([partition for partition, offset in found.items() if offset < 0])
        return {partition: ends.get(partition, offset) for partition, offset in found.items()}

    def committed(self, group: str) -> dict[Partition, int]:
        """Return the offset that a group has committed for each partition; partitions for which it has none are left out."""
        name = physical_name(self._kafka, group)
        try:
            asked = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)], request_timeout=TIMEOUT_S)
            answer = asked[name].result(2 * TIMEOUT_S)
        except (KafkaException, TimeoutError) as error:
            reason = error.args[0].str() if isinstance(error, KafkaException) else f"no answer within {2 * TIMEOUT_S:g} s"
            raise UnavailableError(f"{self._kafka.bootstrap_servers!r} tells no offsets of group {name!r}: {reason}") from None
        prefix = self._kafka.topic_prefix
        return {(place.topic.removeprefix(prefix), place.partition): place.offset for place in answer.topic_partitions or () if place.offset >= 0}

    def _offsets(self, partitions: Collection[Partition], spec: OffsetSpec) -> dict[Partition, int]:
        """Ask for an offset per partition, and again while the brokers do not know who leads it."""
        asked = {TopicPartition(physical_name(self._kafka, topic), number): spec for topic, number in partitions}
        found: dict[Partition, int] = {}
        deadline = time.monotonic() + TIMEOUT_S
        while asked:
            failed: dict[TopicPartition, str] = {}
            until = time.monotonic() + 1.5 * REQUEST_S  # a request whose broker is lost in the middle may never be answered, whatever its timeout
            for place, answer in self._admin.list_offsets(asked, request_timeout=REQUEST_S).items():
                try:
                    offset = int(answer.result(max(until - time.monotonic(), 0.0)).offset)
                except TimeoutError:
                    failed[place] = f"no answer within {1.5 * REQUEST_S:g} s"
                except KafkaException as error:
                    failed[place] = error.args[0].str()
                    if error.args[0].code() not in _PASSING:
                        deadline = 0.0
                else:
                    if offset == OFFSET_INVALID:  # what librdkafka answers, as if all were well, when the leader did not
                        failed[place] = "its leader does not answer"
                    else:
                        found[place.topic.removeprefix(self._kafka.topic_prefix), place.partition] = offset
            asked = dict.fromkeys(failed, spec)
            if asked:
                self._connected = None
                if time.monotonic() > deadline:
                    place, reason = next(iter(failed.items()))
                    raise UnavailableError(f"{self._kafka.bootstrap_servers!r} tells no offsets of {place.topic!r}: {reason}; see `trueloop doctor`")
                time.sleep(RETRY_S)
        return found
