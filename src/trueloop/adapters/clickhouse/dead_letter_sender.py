"""Sends the dead letters of a batch, and returns when the broker has them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from confluent_kafka import KafkaError, Message, Producer

from trueloop.adapters.dead_letters import DeadLetter, history
from trueloop.adapters.kafka import TIMEOUT_S, physical_name, producer_config
from trueloop.config import KafkaSettings
from trueloop.errors import DecodeError, UnavailableError


class DeadLetterSender:
    """Sends dead letters on behalf of one consumer. Connects with the first."""

    def __init__(self, kafka: KafkaSettings, consumer: str) -> None:
        self._kafka = kafka
        self._consumer = consumer
        self._producer: Producer | None = None

    def send(self, topic: str, rejected: Sequence[tuple[Message, DecodeError]]) -> None:
        """Send refused records of a topic (as the registry names it). Raises UnavailableError when one was not delivered in time."""
        if not rejected:
            return
        if self._producer is None:
            self._producer = Producer(producer_config(self._kafka) | {"message.timeout.ms": int(TIMEOUT_S * 1000)})
        errors: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                errors.append(error)

        for message, error in rejected:
            letter = self._letter(topic, message, error)
            key, value, headers = letter.record()
            while True:
                try:
                    self._producer.produce(physical_name(self._kafka, letter.name), value, key, on_delivery=delivered, headers=list(headers))
                    break
                except BufferError:
                    self._producer.poll(0.1)
        if self._producer.flush(TIMEOUT_S) or errors:
            raise UnavailableError(f"{len(rejected)} dead letters of {topic!r} were not delivered: {errors[0].str() if errors else 'no answer'}")

    def _letter(self, topic: str, message: Message, error: DecodeError) -> DeadLetter:
        past = history(message.headers())  # type: ignore[arg-type]  # confluent-kafka types a header value as str | bytes
        return DeadLetter(
            topic=topic,
            partition=int(message.partition() or 0),
            offset=int(message.offset() or 0),
            key=message.key(),
            value=message.value(),
            reason=error.reason,
            message=error.message,
            consumer=self._consumer,
            first_failed_at=past.first_failed_at if past else datetime.now(UTC),
            attempt=past.attempt if past else 1,
        )
