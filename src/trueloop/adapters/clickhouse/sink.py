"""The sink: every record of every topic becomes a row, once, however often the process is killed."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from trueloop.adapters.clickhouse.dead_letter_sender import DeadLetterSender
from trueloop.adapters.clickhouse.engine import ClickHouseError, Engine
from trueloop.adapters.clickhouse.pending import Batch, Pending
from trueloop.adapters.clickhouse.positions import partitions_of, sink_topics, starts, store_positions, stored_positions
from trueloop.adapters.clickhouse.rows import RowReader, Rows, warm_up
from trueloop.adapters.kafka import client_config, physical_name
from trueloop.adapters.log_positions import Partition
from trueloop.adapters.metrics.record_metrics import RecordMetrics
from trueloop.adapters.metrics.standing import Drop, Lag, Standing
from trueloop.codec import Codec
from trueloop.config import KafkaSettings
from trueloop.errors import UnavailableError

logger = logging.getLogger(__name__)

CONSUMER = "sink"
FETCH_RECORDS = 5_000
FETCH_BYTES = 16 * 1024**2
"""Records that are taken from the client at a time, and about how many bytes, judged by the records before."""
FIRST_RECORD_BYTES = 1024**2
"""What a record is taken for before the first was seen: after a long absence the client's queue is full at once."""
POLL_S = 0.1
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 5.0
LOOK_EVERY_S = 1.0
NOTE_EVERY_S = 5.0
"""Longest time until positions are noted beside the rows."""


class Sink(Standing):
    """Reads partitions and writes batches: rejected records to dead letters, rows to ClickHouse, then the offset to Kafka.

    The tables are the offset store: reading continues after the largest offset that they hold, so a crash between insert and commit
    doubles nothing. Beside the rows, positions are noted of their own from time to time: a record may leave no row, and a row goes when its
    event comes again in another partition. The commit only tells others how far the sink is. When ClickHouse, the registry or Kafka is away, reading pauses
    and the batch at hand is tried again, under the same token, until it goes through. Where that cannot be (the group gave one of its
    partitions to another member), everything that is held is forgotten, and the tables are asked anew where to go on.
    """

    def __init__(self, kafka: KafkaSettings, codec: Codec, engine: Engine, *, alone: bool, on_assigned: Callable[[], None]) -> None:
        """Prepare a sink.

        Args:
            kafka: How to reach Kafka.
            codec: Decodes events.
            engine: Where rows go; its schema is up to date.
            alone: True when nobody else writes to this engine: the sink then takes every partition at once. Otherwise it shares them with
                the other members of its consumer group.
            on_assigned: Called whenever it was found where to read, for newly assigned partitions too.
        """
        self._kafka = kafka
        self._engine = engine
        self._alone = alone
        self._on_assigned = on_assigned
        self._reader = RowReader(codec)
        self._letters = DeadLetterSender(kafka, CONSUMER)
        self._pending = Pending()
        self._names: dict[str, str] = {physical_name(kafka, name): name for name in sink_topics()}
        self.assigned: set[Partition] = set()
        self._misplaced = False
        self._stop = threading.Event()
        self._mean_bytes = float(FIRST_RECORD_BYTES)
        self.counters: Counter[str] = Counter()
        self.metrics = RecordMetrics()
        self._expired: Counter[str] = Counter()
        self._written: dict[Partition, int] = {}
        self._unnoted: dict[Partition, int] = {}
        self._noted = 0.0
        self._divisions = 0
        self._ends: dict[Partition, int] = {}
        self._looked = 0.0
        self._consumer = Consumer(
            client_config(kafka)
            | {
                "group.id": physical_name(kafka, CONSUMER),
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",  # never guess: `_find_place` decides
                "queued.max.messages.kbytes": 32 * 1024,
                "fetch.queue.backoff.ms": 20,
                "max.poll.interval.ms": 900_000,  # an insert that hangs costs its partitions only long after it has timed out
            }
        )

    def stop(self) -> None:
        """Make `run` write what it holds and return. Safe in a signal handler."""
        self._stop.set()

    def lags(self) -> list[Lag]:
        """Return the lag of every partition whose end a fetch has told, as it was up to a second ago; for metrics."""
        ends = self._ends
        return [Lag(CONSUMER, *at, max(ends[at] - written, 0)) for at, written in sorted(self._written.copy().items()) if at in ends]

    def drops(self) -> list[Drop]:
        """Return what retention deleted before it was read, for metrics."""
        return [Drop(CONSUMER, topic, "expired", count) for topic, count in sorted(self._expired.copy().items())]

    def rebalances(self) -> dict[str, int]:
        """Return how often partitions were assigned; nothing when this sink has them all to itself."""
        return {} if self._alone else {CONSUMER: self._divisions}

    def run(self) -> None:
        """Work until `stop`.

        Raises IntegrityError when a topic ends before what ClickHouse holds of it, UnavailableError when the broker cannot be reached at
        the start or a topic is missing.
        """
        try:
            everything = partitions_of(self._consumer, self._kafka)
            if self._alone:
                self.assigned, self._misplaced = set(everything), True
            else:
                self._consumer.subscribe(sorted(self._names), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
            warm_up()
            while not self._stop.is_set():
                self._round()
            self._write_all(self._pending.take())
            self._done("positions", self._note_positions)
        finally:
            self._consumer.close()

    def _round(self) -> None:
        """Read some records and write what is due."""
        if self._misplaced:
            self._until_done("where to go on", self._find_place, lambda: True)
            return
        wanted = max(1, min(FETCH_RECORDS, int(FETCH_BYTES / self._mean_bytes)))
        self._take(self._consumer.consume(wanted, POLL_S))
        self._look()
        self._write_all(self._pending.due(time.monotonic()))
        if self._unnoted and time.monotonic() - self._noted >= NOTE_EVERY_S:
            self._done("positions", self._note_positions)

    def _find_place(self) -> None:
        """Forget what is held and ask the tables where to read on."""
        wanted = set(self.assigned)
        found = starts(self._kafka, wanted, stored_positions(self._engine))
        for (topic, number), count in found.expired.items():
            logger.warning("topic %r partition %d: %d records were deleted by retention before the sink read them", topic, number, count)
            self._expired[topic] += count
        self._pending.take()
        self._unnoted.clear()
        self._consumer.assign([self._topic_partition(partition, offset) for partition, offset in found.offsets.items()])
        self._consumer.resume(self._consumer.assignment())  # a wait may have ended here instead of with its batch
        self._written = dict(found.offsets)
        self._misplaced = False
        logger.info("reading %d partitions", len(wanted))
        self._on_assigned()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take partitions over. Nothing is read before the tables have said from where: they may be away, and the group must not wait."""
        self._divisions += 1
        self.assigned = {self._logical(tp.topic, tp.partition) for tp in partitions}
        self._misplaced = True
        consumer.assign([])

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Write what is held of the partitions, if that works at once, so that their next owner finds it in the tables."""
        if not self._misplaced:
            for batch in self._pending.take({self._logical(tp.topic, tp.partition)[0] for tp in partitions}):
                self._write(batch, patient=False)
        self._on_lost(consumer, partitions)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Forget what is held of the partitions: their next owner has read it already."""
        lost = {self._logical(tp.topic, tp.partition) for tp in partitions}
        self.assigned -= lost
        self._pending.forget(lost)
        for partition in lost:
            self._written.pop(partition, None)

    def _take(self, messages: list[Message]) -> None:
        now = time.monotonic()
        size = 0
        for message in messages:
            error = message.error()
            if error is None:
                self._pending.add(self._names[str(message.topic())], message, now)
                size += len(message)
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                self._misplaced = True  # retention overtook the sink, or the topic was made anew
            else:
                logger.warning("Kafka: %s", error.str())
        if size:
            self._mean_bytes = max(1.0, size / len(messages))

    def _write_all(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            if not self._misplaced:
                self._write(batch)

    def _write(self, batch: Batch, *, patient: bool = True) -> None:
        """Write a batch, trying again until it is in, unless not `patient`; what cannot be written is read again later."""
        begun = time.monotonic()
        rows: list[Rows] = []
        steps: tuple[Callable[[], Any], ...] = (
            lambda: rows.append(self._reader.rows(batch.topic, batch.messages)),
            lambda: self._letters.send(batch.topic, rows[0].rejected),
            lambda: self._insert(rows[0], batch.token),
            lambda: self._note_rowless_ends(batch, rows[0]),
        )
        for step in steps:
            if not self._until_done(batch.token, step, lambda: patient and batch.partitions <= self.assigned):
                self._misplaced = True
                return
        self._count(batch, rows[0], time.monotonic() - begun)
        self._commit(batch)

    def _count(self, batch: Batch, rows: Rows, seconds: float) -> None:
        inserted = rows.data.num_rows if rows.data is not None else 0
        outcomes = {"inserted": inserted, "rejected": len(rows.rejected), "deletion": len(rows.deletions)}
        self.counters.update(rows=inserted, rejected=len(rows.rejected), deletions=len(rows.deletions))
        self.metrics.batch(
            processor=CONSUMER,
            topic=batch.topic,
            records=len(batch.messages),
            seconds=seconds,
            oldest_ms=batch.messages[0].timestamp()[1],
            outcomes={name: count for name, count in outcomes.items() if count},
            rejected=Counter(error.reason.value for _, error in rows.rejected),
        )

    def _until_done(self, what: str, step: Callable[[], Any], may_wait: Callable[[], bool]) -> bool:
        """Try a step until it works; False when the sink stops, or when there is no waiting for it (any more)."""
        delay = FIRST_BACKOFF_S
        waited = False
        while not self._done(what, step):
            if self._stop.is_set() or not may_wait():
                return False
            waited = True
            self._wait(delay)
            if not may_wait():
                return False
            delay = min(2 * delay, MAX_BACKOFF_S)
        if waited:
            self._consumer.resume(self._consumer.assignment())
        return True

    def _done(self, what: str, step: Callable[[], Any]) -> bool:
        """Try a step; False when a service does not answer or refuses."""
        try:
            step()
        except (ClickHouseError, UnavailableError) as error:
            # ClickHouse may quote data in its messages, which do not belong in a log.
            logger.warning("%s: not done yet: %s", what, getattr(error, "summary", error))
            self.counters["retries"] += 1
            self.metrics.retried(CONSUMER)
            return False
        return True

    def _wait(self, seconds: float) -> None:
        """Wait without reading on, but in touch with the broker, which would else give the partitions to others."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._stop.is_set():
            self._consumer.pause(self._consumer.assignment())  # each time: a rebalance brings partitions that are not paused
            message = self._consumer.poll(min(POLL_S, seconds))
            self._look()
            if message is not None:
                self._take([message])

    def _insert(self, rows: Rows, token: str) -> None:
        if rows.data is not None:
            self._engine.insert(rows.table, rows.data, token)

    def _note_rowless_ends(self, batch: Batch, rows: Rows) -> None:
        """Note at once how far partitions are done whose last record became no row: no row will tell."""
        self._unnoted.update({(batch.topic, partition): last for partition, last in batch.last.items()})
        rowless = {(message.partition(), message.offset()) for message in rows.rowless}
        if any(end in rowless for end in batch.last.items()):
            self._note_positions()

    def _note_positions(self) -> None:
        self._noted = time.monotonic()
        store_positions(self._engine, self._unnoted)
        self._unnoted.clear()

    def _commit(self, batch: Batch) -> None:
        ends = {(batch.topic, partition): last + 1 for partition, last in batch.last.items()}
        self._written.update(ends)
        try:
            self._consumer.commit(offsets=[self._topic_partition(partition, end) for partition, end in ends.items()], asynchronous=True)
        except KafkaException as error:
            logger.warning("offsets of %r were not committed (%s); the rows are in, only lag figures suffer", batch.topic, error.args[0].name())

    def _look(self) -> None:
        """Note where partitions end, as fetches told it. Here, because a call from another thread would wait for a gap between two fetches."""
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            found = {at: self._consumer.get_watermark_offsets(self._topic_partition(at, 0), cached=True) for at in self._written}
            self._ends = {at: told[1] for at, told in found.items() if told is not None and told[1] >= 0}

    def _logical(self, topic: str, partition: int) -> Partition:
        return self._names[topic], partition

    def _topic_partition(self, partition: Partition, offset: int) -> TopicPartition:
        return TopicPartition(physical_name(self._kafka, partition[0]), partition[1], offset)
