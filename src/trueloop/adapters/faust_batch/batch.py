"""What one Faust event carries."""

import time
from collections.abc import Iterator, Sequence

from trueloop.adapters.faust_batch.records import RawRecord, sizes_of

MAX_BATCH_RECORDS = 4000
"""Enough to make what is paid per batch vanish (0.5 to 2 ms: the look at the policies, delivery, a dozen array operations per field), few enough
that a crash repeats little."""
MAX_STEP_RECORDS = 500
"""Where each record is a step of its own, and hundreds of microseconds: more would save nothing, and what a worker tells again after its death is to
be known again by what others remember (`REMEMBERED_UNORDERED` of the drift processor)."""
FETCH_BYTES = 4 * 1024 * 1024
"""Asked of a partition at once: that many records of a kilobyte."""
MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Keys and values of one batch: compressed records may be many times what was fetched."""
MAX_BUFFERED_BYTES = 64 * 1024 * 1024
"""Keys and values of all batches of an app that are fetched and not committed. More is left to the broker."""


class Batch:
    """Records of one partition, in order, without those that retention or compaction removed.

    `complete()` says that every effect of every record is durable. Faust's own acknowledgement cannot say that: Faust also acknowledges
    what it skips while a rebalance is going on.
    """

    __slots__ = ("completed", "fetched_at", "next_offset", "partition", "records", "size", "topic")

    def __init__(self, topic: str, partition: int, records: Sequence[RawRecord], size: int = 0) -> None:
        """Make a batch of at least one record; `size` are the bytes of keys and values."""
        self.topic = topic
        self.size = size
        self.partition = partition
        self.records = records
        self.next_offset = records[-1].offset + 1
        self.completed = False
        self.fetched_at = time.monotonic()
        """A moment by which all of its records had been produced."""

    def complete(self) -> None:
        """Allow the offset of this batch to be committed, once all batches before it are complete too."""
        self.completed = True

    @property
    def first_offset(self) -> int:
        """Offset of the first record."""
        return self.records[0].offset


def split(topic: str, partition: int, records: Sequence[RawRecord], max_bytes: int = MAX_BATCH_BYTES) -> Iterator[Batch]:
    """Yield the records as batches of at most `max_bytes`; a larger record is a batch of its own."""
    sizes = sizes_of(records)
    if (total := int(sizes.sum())) <= max_bytes:
        if records:
            yield Batch(topic, partition, records, total)
        return
    start, size = 0, 0
    for index, length in enumerate(sizes.tolist()):
        if size + length > max_bytes and index > start:
            yield Batch(topic, partition, records[start:index], size)
            start, size = index, 0
        size += length
    yield Batch(topic, partition, records[start:], size)
