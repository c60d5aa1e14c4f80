"""Events as they come: what an outside client sees of the topics, in a consumer group or on its own."""

import logging
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from trueloop.adapters.kafka import client_config, physical_name
from trueloop.codec import Codec
from trueloop.config import KafkaSettings
from trueloop.errors import DecodeError, UnavailableError
from trueloop.events import Event
from trueloop.topics import Topic

logger = logging.getLogger(__name__)

_FATAL = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError._ALL_BROKERS_DOWN}


class Subscriber:
    """Reads topics as a member of a consumer group; a context manager.

    With a group's name several clients share the partitions, and `commit` says what was dealt with: a client that was killed reads
    the rest again. Without one it reads everything from the start (or only what is new) and leaves nothing behind. Bytes that
    are no event are counted in `rejected` and passed over: the workers dead-letter them.
    """

    def __init__(self, kafka: KafkaSettings, codec: Codec, topics: Sequence[Topic], *, group: str | None = None, from_start: bool = True) -> None:
        self._kafka = kafka
        self._codec = codec
        self._topics = {physical_name(kafka, topic.name): topic for topic in topics}
        self._shared = group is not None
        self.rejected: Counter[str] = Counter()
        self._consumer = Consumer(
            client_config(kafka)
            | {
                "group.id": physical_name(kafka, group or f"trueloop-{uuid.uuid4().hex}"),
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest" if from_start else "latest",
                "allow.auto.create.topics": False,
            }
        )
        self._consumer.subscribe(list(self._topics))

    def __enter__(self) -> "Subscriber":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def poll(self, timeout_s: float, at_most: int = 500) -> list[Event]:
        """Return the events that have come, waiting up to `timeout_s` seconds for the first. Raises UnavailableError."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        # `consume` waits for the full number, so after the first only what lies ready is asked for.
        messages = [first, *self._consumer.consume(at_most - 1, 0.0)] if at_most > 1 else [first]
        return list(self._events(messages))

    def commit(self) -> None:
        """Remember that everything polled so far is dealt with. Raises UnavailableError."""
        if not self._shared:
            return
        try:
            self._consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:  # nothing was read yet
                raise UnavailableError(f"the broker did not take the offsets: {error.args[0].str()}; what was read will be read again") from None

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _events(self, messages: Sequence[Message]) -> Iterator[Event]:
        for message in messages:
            error: Any = message.error()
            if error is not None:
                if error.code() in _FATAL:
                    raise UnavailableError(f"reading {', '.join(self._topics)} at {self._kafka.bootstrap_servers!r}: {error.str()}; see `trueloop doctor`")
                continue  # librdkafka tries again by itself
            topic = self._topics[message.topic() or ""]
            value = message.value()
            try:
                yield self._codec.decode(topic, value.encode() if isinstance(value, str) else value)
            except DecodeError as refusal:
                self.rejected[refusal.reason.value] += 1
