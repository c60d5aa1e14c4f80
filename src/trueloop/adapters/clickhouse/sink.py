"""The sink: every record of every topic becomes a row, once, however often the process is killed."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from trueloop.adapters.clickhouse.engine import ClickHouseError, Engine
from trueloop.adapters.clickhouse.pending import Pending
from trueloop.adapters.clickhouse.positions import Partition, partitions_of, sink_topics, starts, store_position, stored_positions
from trueloop.adapters.clickhouse.rows import Rows, rows_of, warm_up
from trueloop.adapters.dead_letters import DeadLetter, history
from trueloop.adapters.kafka import TIMEOUT_S, client_config, physical_name, producer_config
from trueloop.codec import Codec
from trueloop.config import KafkaSettings
from trueloop.errors import DecodeError, UnavailableError

logger = logging.getLogger(__name__)

CONSUMER = "sink"
FETCH_RECORDS = 5_000
POLL_S = 0.1
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 15.0


class Sink:
    """Reads partitions and writes batches: rejected records to dead letters, rows to ClickHouse, then the offset to Kafka.

    The tables are the offset store: reading continues after the largest offset that they hold, so a crash between insert and commit
    doubles nothing. The commit only tells others how far the sink is. When ClickHouse, the registry or Kafka is away, reading pauses
    and the batch at hand is tried again until it goes through.
    """

    def __init__(self, kafka: KafkaSettings, codec: Codec, engine: Engine, *, alone: bool, on_assigned: Callable[[], None]) -> None:
        """Prepare a sink.

        Args:
            kafka: How to reach Kafka.
            codec: Decodes events.
            engine: Where rows go; its schema is up to date.
            alone: True when nobody else writes to this engine: the sink then takes every partition at once. Otherwise it shares them with
                the other members of its consumer group.
            on_assigned: Called whenever partitions were assigned.
        """
        self._kafka = kafka
        self._codec = codec
        self._engine = engine
        self._alone = alone
        self._on_assigned = on_assigned
        self._pending = Pending()
        self.assigned: set[Partition] = set()
        self._stop = threading.Event()
        self._producer: Producer | None = None
        self.counters: Counter[str] = Counter()
        self._consumer = Consumer(
            client_config(kafka)
            | {
                "group.id": physical_name(kafka, CONSUMER),
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",  # never guess: `_assign` decides
                "queued.max.messages.kbytes": 32 * 1024,
                "fetch.queue.backoff.ms": 20,
            }
        )

    def stop(self) -> None:
        """Make `run` write what it holds and return. Safe in a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop`.

        Raises IntegrityError when a topic ends before what ClickHouse holds of it, UnavailableError when the broker cannot be reached at
        the start or a topic is missing.
        """
        try:
            everything = partitions_of(self._consumer, self._kafka)
            if self._alone:
                self._assign(everything)
            else:
                names = [physical_name(self._kafka, name) for name in sorted(sink_topics())]
                self._consumer.subscribe(names, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
            warm_up()
            while not self._stop.is_set():
                self._take(self._consumer.consume(FETCH_RECORDS, POLL_S))
                for partition, messages in self._pending.due(time.monotonic()):
                    self._write(partition, messages)
            self._write_all(self._pending.partitions)
        finally:
            self._consumer.close()

    def _assign(self, partitions: Iterable[Partition]) -> None:
        wanted = set(partitions)
        found = starts(self._kafka, wanted, stored_positions(self._engine))
        for (topic, number), count in found.expired.items():
            logger.warning("topic %r partition %d: %d records were deleted by retention before the sink read them", topic, number, count)
        self._consumer.assign([self._topic_partition(partition, offset) for partition, offset in found.offsets.items()])
        self.assigned = wanted
        logger.info("reading %d partitions", len(wanted))
        self._on_assigned()

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assign(self._logical(tp.topic, tp.partition) for tp in partitions)

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Write what is held of the partitions, so that their next owner finds it in the tables."""
        self._write_all([self._logical(tp.topic, tp.partition) for tp in partitions])
        self._on_lost(_consumer, partitions)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Forget what is held of the partitions: their next owner has read it already."""
        for tp in partitions:
            partition = self._logical(tp.topic, tp.partition)
            self._pending.take(partition)
            self.assigned.discard(partition)

    def _take(self, messages: Iterable[Message]) -> None:
        now = time.monotonic()
        for message in messages:
            error = message.error()
            if error is None:
                self._pending.add(self._logical(str(message.topic()), int(message.partition() or 0)), message, now)
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                # Retention overtook the sink, or the topic was made anew: what is held goes in, then the positions are looked up again.
                self._write_all(self._pending.partitions)
                self._assign(self.assigned)
                return
            else:
                logger.warning("Kafka: %s", error.str())

    def _write_all(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._write(partition, self._pending.take(partition))

    def _write(self, partition: Partition, messages: list[Message]) -> None:
        """Write a batch, trying again until it is in; leave it to be read again when the sink stops or loses the partition meanwhile."""
        if not messages:
            return
        rows: list[Rows] = []
        first, last = messages[0].offset(), int(messages[-1].offset() or 0)
        steps: tuple[Callable[[], Any], ...] = (
            lambda: rows.append(rows_of(self._codec, partition[0], messages)),
            lambda: self._send_dead_letters(partition, rows[0].rejected),
            lambda: self._insert(rows[0], f"{partition[0]}:{partition[1]}:{first}-{last}"),
            lambda: self._store_position(partition, rows[0], last),
        )
        for step in steps:
            if not self._persist(partition, step):
                return
        self.counters["rows"] += rows[0].data.num_rows if rows[0].data is not None else 0
        self.counters["rejected"] += len(rows[0].rejected)
        self.counters["deletions"] += rows[0].deletions
        self._commit(partition, last + 1)

    def _persist(self, partition: Partition, step: Callable[[], Any]) -> bool:
        """Try a step until it works; False when the sink stops or no longer owns the partition."""
        delay = FIRST_BACKOFF_S
        paused = False
        while True:
            try:
                step()
                break
            except (ClickHouseError, UnavailableError) as error:
                # ClickHouse may quote data in its messages, which do not belong in a log.
                logger.warning("%r is not written yet, next attempt in %.1f s: %s", partition, delay, getattr(error, "summary", error))
                self.counters["retries"] += 1
            if self._stop.is_set():
                return False
            paused = True
            self._wait(delay)
            if partition not in self.assigned:
                return False
            delay = min(2 * delay, MAX_BACKOFF_S)
        if paused:
            self._consumer.resume(self._consumer.assignment())
        return True

    def _wait(self, seconds: float) -> None:
        """Wait without reading on, but in touch with the broker, which would else give the partitions to others."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._stop.is_set():
            self._consumer.pause(self._consumer.assignment())  # each time: a rebalance brings partitions that are not paused
            message = self._consumer.poll(min(POLL_S, seconds))
            if message is not None and message.error() is None:
                self._take([message])

    def _send_dead_letters(self, partition: Partition, rejected: list[tuple[Message, DecodeError]]) -> None:
        if not rejected:
            return
        if self._producer is None:
            self._producer = Producer(producer_config(self._kafka) | {"message.timeout.ms": int(TIMEOUT_S * 1000)})
        errors: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                errors.append(error)

        for message, error in rejected:
            letter = _dead_letter(partition, message, error)
            key, value, headers = letter.record()
            while True:
                try:
                    self._producer.produce(physical_name(self._kafka, letter.name), value, key, on_delivery=delivered, headers=list(headers))
                    break
                except BufferError:
                    self._producer.poll(0.1)
        if self._producer.flush(TIMEOUT_S) or errors:
            raise UnavailableError(f"{len(rejected)} dead letters of {partition[0]!r} were not delivered: {errors[0].str() if errors else 'no answer'}")

    def _insert(self, rows: Rows, token: str) -> None:
        if rows.data is not None:
            self._engine.insert(rows.table, rows.data, token)

    def _store_position(self, partition: Partition, rows: Rows, last: int) -> None:
        if rows.data is None or rows.data["_offset"][-1].as_py() < last:
            store_position(self._engine, partition, last)

    def _commit(self, partition: Partition, offset: int) -> None:
        try:
            self._consumer.commit(offsets=[self._topic_partition(partition, offset)], asynchronous=True)
        except KafkaException as error:
            logger.warning("the offset of %r was not committed (%s); the rows are in, only lag figures suffer", partition, error.args[0].name())

    def _logical(self, topic: str, partition: int) -> Partition:
        return topic.removeprefix(self._kafka.topic_prefix), partition

    def _topic_partition(self, partition: Partition, offset: int) -> TopicPartition:
        return TopicPartition(physical_name(self._kafka, partition[0]), partition[1], offset)


def _dead_letter(partition: Partition, message: Message, error: DecodeError) -> DeadLetter:
    past = history(message.headers())  # type: ignore[arg-type]  # confluent-kafka types a header value as str | bytes
    return DeadLetter(
        topic=partition[0],
        partition=partition[1],
        offset=int(message.offset() or 0),
        key=message.key(),
        value=message.value(),
        reason=error.reason,
        message=error.message,
        consumer=CONSUMER,
        first_failed_at=past.first_failed_at if past else datetime.now(UTC),
        attempt=past.attempt if past else 1,
    )
