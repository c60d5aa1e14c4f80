"""Kafka through confluent-kafka: client configuration, a publisher that waits for delivery, and a reader of whole topics."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from trueloop.codec import Codec
from trueloop.config import KafkaSettings
from trueloop.errors import UnavailableError
from trueloop.events import Event
from trueloop.topics import Topic, topic_of

TIMEOUT_S = 15.0


def client_config(kafka: KafkaSettings) -> dict[str, Any]:
    """Return what every librdkafka client needs to reach the brokers."""
    # Level 2: librdkafka writes every failed connection to stderr at level 3, several times a second; the errors that it returns say it once.
    config: dict[str, Any] = {"bootstrap.servers": kafka.bootstrap_servers, "security.protocol": kafka.security_protocol, "log_level": 2}
    optional = {
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.username": kafka.sasl_username,
        "sasl.password": kafka.sasl_password.get_secret_value() if kafka.sasl_password else None,
        "ssl.ca.location": str(kafka.ssl_ca_location) if kafka.ssl_ca_location else None,
        "ssl.certificate.location": str(kafka.ssl_certificate_location) if kafka.ssl_certificate_location else None,
        "ssl.key.location": str(kafka.ssl_key_location) if kafka.ssl_key_location else None,
    }
    return config | {key: value for key, value in optional.items() if value is not None}


def producer_config(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the configuration of a producer whose acknowledged records are durable and not doubled by its own retries.

    The murmur2 partitioner is that of the Java client and of Faust: topics that are joined by key must agree on it.
    """
    return client_config(kafka) | {
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "linger.ms": 5,
        "message.max.bytes": 2 * 1024 * 1024,
        "compression.type": "lz4",
    }


def physical_name(kafka: KafkaSettings, name: str) -> str:
    """Return the name of a topic or group on the broker: the deployment's prefix and the registry's name."""
    return kafka.topic_prefix + name


class Publisher:
    """Publishes events and returns once the brokers have them. For command lines and workers at human pace; not for request paths."""

    def __init__(self, kafka: KafkaSettings, codec: Codec) -> None:
        self._kafka = kafka
        self._codec = codec
        self._producer = Producer(producer_config(kafka))

    def publish(self, events: Iterable[Event]) -> int:
        """Publish events, wait for delivery, return their number. Raises UnavailableError when one could not be delivered in time."""
        errors: list[str] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                errors.append(error.str())

        count = 0
        for event in events:
            topic = topic_of(event)
            payload = self._codec.encode(topic, event)
            self._send(physical_name(self._kafka, topic.name), topic.key(event).encode(), payload, delivered)
            count += 1
        left = self._producer.flush(TIMEOUT_S)
        if left or errors:
            detail = errors[0] if errors else f"no answer within {TIMEOUT_S:g} s"
            raise UnavailableError(
                f"{max(left, len(errors))} of {count} events were not delivered to {self._kafka.bootstrap_servers!r}: {detail}; "
                "is the broker up? see `trueloop doctor`"
            )
        return count

    def _send(self, name: str, key: bytes, payload: bytes, delivered: Any) -> None:
        while True:
            try:
                self._producer.produce(name, key=key, value=payload, on_delivery=delivered)
                return
            except BufferError:
                self._producer.poll(0.1)


def read_to_end(kafka: KafkaSettings, name: str) -> Iterator[Message]:
    """Yield every record that a topic holds now, per partition in order, without joining a group.

    Raises UnavailableError when the broker does not answer or the topic does not exist.
    """
    consumer = Consumer(
        client_config(kafka)
        | {
            "group.id": "trueloop-reader",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # the end of a topic is told when a fetch returns empty: after half a second by default
        }
    )
    physical = physical_name(kafka, name)
    try:
        partitions = _partitions(consumer, physical, kafka)
        open_partitions = set(partitions)
        consumer.assign([TopicPartition(physical, partition, OFFSET_BEGINNING) for partition in partitions])
        deadline = time.monotonic() + TIMEOUT_S
        while open_partitions:
            # `consume` waits for the full number or the full time, so the time is short and the patience is ours.
            messages = consumer.consume(1000, 0.05)
            if messages:
                deadline = time.monotonic() + TIMEOUT_S
            elif time.monotonic() > deadline:
                raise UnavailableError(f"topic {physical!r} did not answer within {TIMEOUT_S:g} s; is the broker up?")
            for message in messages:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(message.partition())
                else:
                    raise UnavailableError(f"reading {physical!r}: {error.str()}")
    finally:
        consumer.close()


def _partitions(consumer: Consumer, physical: str, kafka: KafkaSettings) -> list[int]:
    try:
        metadata = consumer.list_topics(physical, timeout=TIMEOUT_S).topics[physical]
    except KafkaException as error:
        raise UnavailableError(f"no broker answers at {kafka.bootstrap_servers!r}: {error.args[0].str()}; start one with `trueloop up`") from None
    if metadata.error is not None:
        raise UnavailableError(f"topic {physical!r} does not exist; create the topics with `trueloop topics create`")
    return list(metadata.partitions)


def read_events(kafka: KafkaSettings, codec: Codec, topic: Topic) -> list[Event]:
    """Return every event that a topic holds now; of a compacted topic the newest per key. Tombstones and bad records are passed over,
    because whoever consumes the topic in a group dead-letters them."""
    from trueloop.errors import DecodeError

    newest: dict[Any, Event] = {}
    for index, message in enumerate(read_to_end(kafka, topic.name)):
        try:
            event = codec.decode(topic, message.value())
        except DecodeError:
            continue
        newest[message.key() if topic.cleanup_policy == "compact" else index] = event
    return list(newest.values())
