"""The client's way to Kafka: encodes and produces on the outbox's thread and never waits for a delivery."""

import ctypes
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from trueloop.adapters.kafka import physical_name, producer_config
from trueloop.adapters.registry import connect as connect_registry
from trueloop.config import Settings
from trueloop.errors import ConfigurationError, UnavailableError
from trueloop.events import Event
from trueloop.outbox import Done, Drop, TooLargeError
from trueloop.topics import MAX_MESSAGE_BYTES, topic_of

ENVELOPE_BYTES = 4096
"""Kept free for key, headers and the batch around a record: the broker's limit counts them too."""
QUEUE_EVENTS = 20_000
QUEUE_KIB = 32 * 1024


class Emitter:
    """A `trueloop.outbox.Transport` over confluent-kafka. Registry look-ups happen on the first event of each topic."""

    def __init__(self, settings: Settings, *, delivery_timeout_s: float) -> None:
        self._settings = settings
        self._codec = connect_registry(settings.registry)
        self._trouble: str | None = None
        config = producer_config(settings.kafka) | {
            "linger.ms": 20,
            "delivery.timeout.ms": int(delivery_timeout_s * 1000),
            "queue.buffering.max.messages": QUEUE_EVENTS,
            "queue.buffering.max.kbytes": QUEUE_KIB,
            "error_cb": self._on_error,
            "client.id": "trueloop-client",
        }
        try:
            self._producer = Producer(config)
        except KafkaException as error:
            raise UnavailableError(f"the Kafka settings are refused: {error.args[0].str()}; correct them and start again") from None

    def send(self, event: Event, done: Done) -> bool:
        """Encode and queue an event; False when the queue is full.

        Raises UnavailableError without a registry, TooLargeError, ConfigurationError when the registry or the broker refuses it.
        """
        topic = topic_of(event)
        key, payload = topic.key(event).encode(), self._codec.encode(topic, event)
        if len(payload) + len(key) > topic.max_message_bytes - ENVELOPE_BYTES:
            raise TooLargeError(len(payload), topic.max_message_bytes - ENVELOPE_BYTES - len(key))

        def delivered(error: KafkaError | None, _message: Message) -> None:
            self._trouble = None if error is None else f"delivery to {topic.name!r} failed: {error.str()}"
            done(None if error is None else Drop.DELIVERY_FAILED)

        name = physical_name(self._settings.kafka, topic.name)
        try:
            self._producer.produce(name, key=key, value=payload, on_delivery=delivered)
        except BufferError:
            return False
        except KafkaException as error:
            reason = error.args[0]
            if reason.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise TooLargeError(len(payload), MAX_MESSAGE_BYTES) from None
            raise ConfigurationError(f"topic {name!r} takes no event: {reason.str()}") from None
        return True

    def poll(self, timeout_s: float) -> None:
        """Run the callbacks of what was delivered."""
        self._producer.poll(timeout_s)

    @property
    def trouble(self) -> str | None:
        """What keeps events from being delivered just now; None when nothing is known."""
        return self._trouble

    def abandon(self) -> None:
        """Leak the producer: closing it in a forked child would wait for threads that only the parent has."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._producer))

    def _on_error(self, error: Any) -> None:
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._AUTHENTICATION):
            self._trouble = f"no broker answers at {self._settings.kafka.bootstrap_servers!r} ({error.name()}); is it up? see `trueloop doctor`"
