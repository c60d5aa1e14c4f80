"""Delivery from an event loop: send records, and return when the brokers have them."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from trueloop.adapters.kafka import producer_config
from trueloop.config import KafkaSettings
from trueloop.errors import UnavailableError

DELIVERY_TIMEOUT_S = 60.0
"""Longer than a broker takes to restart or to hand over its partitions (4 to 12 s), short enough that an operator sees a worker fail."""
MARGIN_S = 5.0
"""librdkafka gives a record up by itself when its time is over; this much later it is taken for stuck."""
LINGER_MS = 1
"""A batch has all its records at hand, and somebody waits: there is little to be gained by waiting for more."""
HEAR_S, FULL_PAUSE_S = 1.0, 0.01
"""How long the thread that hears of deliveries stays after the last (to start one for each batch cost a fifteenth of a trace), and how long a full
queue is left to empty."""
MISSING_TOPIC_MS = 5000
"""How long a topic may be unknown: a new one is known everywhere within a second."""


class Outgoing(NamedTuple):
    """A record to send. `topic` is the name on the broker; without `partition` the murmur2 hash of the key chooses."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


class _Sent:
    """Records of one `send`, until the last of them is delivered or given up."""

    def __init__(self, over: Callable[[], None]) -> None:
        self._over = over
        self._left = 0
        self._complete = False
        self._lock = threading.Lock()
        self.errors: list[str] = []

    def added(self) -> None:
        """Count a record that is about to be produced."""
        with self._lock:
            self._left += 1

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        """Count a record that was delivered, or was not."""
        if error is not None:
            self.errors.append(f"{message.topic()}: {error.str()}")
        self._count_off(complete=False)

    def complete(self) -> None:
        """Say that no record will be added."""
        self._count_off(complete=True)

    def refused(self) -> None:
        """Count off a record that the client did not take."""
        self._count_off(complete=False)

    def _count_off(self, *, complete: bool) -> None:
        with self._lock:
            if complete:
                self._complete = True
            else:
                self._left -= 1
            over = self._complete and self._left == 0
        if over:
            self._over()


class Delivery:
    """A producer shared by the apps of a process. Connects when the first record is sent.

    Each `send` waits for its own records. librdkafka's `flush` would wait until nobody has any left, which under load is long after.
    """

    def __init__(self, kafka: KafkaSettings, timeout_s: float = DELIVERY_TIMEOUT_S) -> None:
        self._kafka = kafka
        self._timeout_s = timeout_s
        self._connected: Producer | None = None
        self._lock = threading.Lock()
        self._unfinished = 0
        self._serving = False

    @property
    def _producer(self) -> Producer:
        if self._connected is None:
            limits = {"message.timeout.ms": int(self._timeout_s * 1000), "topic.metadata.propagation.max.ms": MISSING_TOPIC_MS, "linger.ms": LINGER_MS}
            self._connected = Producer(producer_config(self._kafka) | limits)
        return self._connected

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Send records and wait until all are durable. Raises UnavailableError when one could not be delivered in time."""
        if not records:
            return
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def over() -> None:
            with self._lock:
                self._unfinished -= 1
            with contextlib.suppress(RuntimeError):  # whoever waited is gone, and its loop with it
                loop.call_soon_threadsafe(done.set)

        def give_up() -> None:
            sent.errors.append(f"no answer within {self._timeout_s:g} s")
            done.set()

        sent, producer = _Sent(over), self._producer
        self._serve(producer)
        try:
            await _produce(producer, records, sent)
        finally:
            sent.complete()
        # A cancelled timer stays with the loop for its time, and so does its context: that of the agents holds the batch in progress.
        timer = loop.call_later(self._timeout_s + MARGIN_S, give_up, context=contextvars.Context())
        try:
            await done.wait()
        finally:
            timer.cancel()
        if sent.errors:
            topics = ", ".join(sorted({record.topic for record in records}))
            raise UnavailableError(
                f"not all of {len(records)} records for {topics} were delivered to {self._kafka.bootstrap_servers!r}: "
                f"{sent.errors[0]}; is the broker up, do the topics exist? see `trueloop doctor`"
            )

    def _serve(self, producer: Producer) -> None:
        """Count a send, and see to it that somebody hears what becomes of it."""
        with self._lock:
            self._unfinished += 1
            if self._serving:
                return
            self._serving = True
        threading.Thread(target=self._hear, args=(producer,), name="delivery-reports", daemon=True).start()

    def _hear(self, producer: Producer) -> None:
        """Run the callbacks of deliveries until nobody has waited for one for a while."""
        while True:
            heard = producer.poll(HEAR_S)
            with self._lock:
                if not heard and not self._unfinished:
                    self._serving = False
                    return


async def _produce(producer: Producer, records: Sequence[Outgoing], sent: _Sent) -> None:
    produce, partitioned = producer.produce, -1
    for topic, key, value, headers, partition in records:
        target = partitioned if partition is None else partition
        sent.added()
        while True:
            try:
                produce(topic, value, key, target, sent.delivered, headers=list(headers))
                break
            except BufferError:
                await asyncio.sleep(FULL_PAUSE_S)
            except BaseException:
                sent.refused()
                raise


def size_of(records: Iterable[Outgoing]) -> int:
    """Return the bytes of keys, values and headers.

    >>> size_of([Outgoing("t", b"key", b"value", (("name", b"v"),))])
    13
    """
    return sum(len(record.key or b"") + len(record.value or b"") + sum(len(name.encode()) + len(value) for name, value in record.headers) for record in records)
