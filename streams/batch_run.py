"""What a batch is to bring about: collected while stepping, made durable afterwards."""

from collections import Counter
from datetime import datetime

from trueloop.adapters.dead_letters import DeadLetter, History, history
from trueloop.adapters.delivery import Outgoing
from trueloop.adapters.faust_batch.batch import Batch
from trueloop.adapters.faust_batch.records import RawRecord
from trueloop.adapters.kafka import physical_name
from trueloop.config import KafkaSettings
from trueloop.processors.processor import Source
from trueloop.rejection import Rejection
from trueloop.topics import Topic

RETRY_GRACE_MS = 5000
"""How long an event waits for the one that it refers to: two producers of one application are seldom further apart than a few seconds."""
NOT_BEFORE = "not-before"
"""Header of a retried record: when it is due, milliseconds since the epoch."""
_EPOCH_MS_DIGITS = 15


class BatchRun:
    """Collects the records to send, the summaries to make and the outcomes of one batch. `reached` tells the offset after its newest record."""

    def __init__(self, kafka: KafkaSettings, consumer: str, topic: Topic, batch: Batch, now: datetime, *, retried: bool) -> None:
        self._kafka = kafka
        self._consumer = consumer
        self._topic = topic
        self._partition = batch.partition
        self._retried = retried
        self.reached = {f"{topic.retry if retried else topic.name}/{batch.partition}": batch.next_offset}
        self.now = now
        self.outgoing: list[Outgoing] = []
        self.touched: dict[str, None] = {}
        self.counts: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.drops: Counter[str] = Counter()

    def source(self, record: RawRecord) -> Source:
        """Return where the event was read; of a retried one, where it was read first."""
        past = history(record.headers) if self._retried else None
        return Source(self._topic.name, past.partition, past.offset) if past else Source(self._topic.name, self._partition, record.offset)

    def count(self, outcome: str, records: int = 1) -> None:
        """Count records under an outcome."""
        self.counts[outcome] += records

    def reject(self, record: RawRecord, rejection: Rejection) -> None:
        """Add a dead letter."""
        self.rejected[rejection.reason.value] += 1
        source, past = self.source(record), self._past(record)
        letter = DeadLetter(
            source.topic, source.partition, source.offset, record.key, record.value, rejection.reason, rejection.message,
            self._consumer, past.first_failed_at, past.attempt,
        )  # fmt: skip
        key, value, headers = letter.record()
        self.outgoing.append(Outgoing(physical_name(self._kafka, self._topic.dead_letters), key, value, headers))

    def retry(self, record: RawRecord) -> None:
        """Add a record to the retry topic. It stays in its partition, because there is its state."""
        due = int(self.now.timestamp() * 1000) + RETRY_GRACE_MS
        headers = (*self._past(record).headers(), (NOT_BEFORE, b"%d" % due))
        self.outgoing.append(Outgoing(physical_name(self._kafka, self._topic.retry), record.key, record.value, headers, self._partition))

    def _past(self, record: RawRecord) -> History:
        """Return how often the record failed before. Its own place is what was read: only our retry topic may speak of another one."""
        source, past = self.source(record), history(record.headers)
        return History(source.topic, source.partition, source.offset, past.attempt if past else 1, past.first_failed_at if past else self.now)


def due_ms(batch: Batch) -> int:
    """Return when the last record of a batch of retried records is due, milliseconds since the epoch; 0 when none says."""
    dues = (value for record in batch.records for name, value in record.headers if name == NOT_BEFORE)
    return max((int(value) for value in dues if value.isdigit() and len(value) <= _EPOCH_MS_DIGITS), default=0)
