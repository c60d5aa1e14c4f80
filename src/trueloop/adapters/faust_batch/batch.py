"""What one Faust event carries."""

from collections.abc import Iterator, Sequence
from typing import Protocol

MAX_BATCH_RECORDS = 500
"""Enough to make Faust's cost per event vanish (below 1 µs per record), few enough that a crash repeats little."""
MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Keys and values of one batch: records may be 2 MiB each, and a worker buffers several batches of each partition."""


class RawRecord(Protocol):
    """A record as it was read (aiokafka's ConsumerRecord, which is not copied)."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    offset: int
    timestamp: int
    """By the producer's clock or the broker's, milliseconds since the epoch."""
    timestamp_type: int


class Batch:
    """Records of one partition, in order, without those that retention or compaction removed.

    `complete()` says that every effect of every record is durable. Faust's own acknowledgement cannot say that: Faust also acknowledges
    what it skips while a rebalance is going on.
    """

    __slots__ = ("completed", "next_offset", "partition", "records", "topic")

    def __init__(self, topic: str, partition: int, records: Sequence[RawRecord]) -> None:
        self.topic = topic
        self.partition = partition
        self.records = records
        self.next_offset = records[-1].offset + 1
        self.completed = False

    def complete(self) -> None:
        """Allow the offset of this batch to be committed, once all batches before it are complete too."""
        self.completed = True

    @property
    def first_offset(self) -> int:
        """Offset of the first record."""
        return self.records[0].offset


def split(topic: str, partition: int, records: Sequence[RawRecord], max_bytes: int = MAX_BATCH_BYTES) -> Iterator[Batch]:
    """Yield the records as batches of at most `max_bytes`; a larger record is a batch of its own."""
    start, size = 0, 0
    for index, record in enumerate(records):
        length = len(record.key or b"") + len(record.value or b"")
        if size + length > max_bytes and index > start:
            yield Batch(topic, partition, records[start:index])
            start, size = index, 0
        size += length
    if len(records) > start:
        yield Batch(topic, partition, records[start:])
