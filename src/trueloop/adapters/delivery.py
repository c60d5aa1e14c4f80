"""Delivery from an event loop: send records, and return when the brokers have them."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from trueloop.adapters.kafka import producer_config
from trueloop.config import KafkaSettings
from trueloop.errors import UnavailableError

DELIVERY_TIMEOUT_S = 60.0
"""Longer than a broker takes to restart or to hand over its partitions (4 to 12 s), short enough that an operator sees a worker fail."""
MISSING_TOPIC_MS = 5000
"""How long a topic may be unknown: a new one is known everywhere within a second."""


class Outgoing(NamedTuple):
    """A record to send. `topic` is the name on the broker; without `partition` the murmur2 hash of the key chooses."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


class Delivery:
    """A producer shared by the apps of a process. Connects when the first record is sent."""

    def __init__(self, kafka: KafkaSettings, timeout_s: float = DELIVERY_TIMEOUT_S) -> None:
        self._kafka = kafka
        self._timeout_s = timeout_s
        self._connected: Producer | None = None

    @property
    def _producer(self) -> Producer:
        if self._connected is None:
            limits = {"message.timeout.ms": int(self._timeout_s * 1000), "topic.metadata.propagation.max.ms": MISSING_TOPIC_MS}
            self._connected = Producer(producer_config(self._kafka) | limits)
        return self._connected

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Send records and wait until all are durable. Raises UnavailableError when one could not be delivered in time."""
        if not records:
            return
        errors: list[str] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                errors.append(f"{message.topic()}: {error.str()}")

        produce, partitioned = self._producer.produce, -1
        for topic, key, value, headers, partition in records:
            target = partitioned if partition is None else partition
            while True:
                try:
                    produce(topic, value, key, target, delivered, headers=list(headers))
                    break
                except BufferError:
                    await asyncio.to_thread(self._producer.poll, 0.1)
        left = await asyncio.to_thread(self._producer.flush, self._timeout_s)
        if left or errors:
            topics = ", ".join(sorted({record.topic for record in records}))
            raise UnavailableError(
                f"not all of {len(records)} records for {topics} were delivered to {self._kafka.bootstrap_servers!r}: "
                f"{errors[0] if errors else f'no answer within {self._timeout_s:g} s'}; is the broker up, do the topics exist? see `trueloop doctor`"
            )


def size_of(records: Iterable[Outgoing]) -> int:
    """Return the bytes of keys, values and headers.

    >>> size_of([Outgoing("t", b"key", b"value", (("name", b"v"),))])
    13
    """
    return sum(len(record.key or b"") + len(record.value or b"") + sum(len(name.encode()) + len(value) for name, value in record.headers) for record in records)
