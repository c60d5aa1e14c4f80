"""Records that were read and are not in ClickHouse yet, per partition."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trueloop.adapters.clickhouse.positions import Partition

if TYPE_CHECKING:
    from confluent_kafka import Message

MAX_ROWS = 10_000
"""Rows at which a batch is written at once: beyond it, an insert gets no cheaper per row."""
MAX_BATCH_BYTES = 16 * 1024**2
MAX_BYTES = 64 * 1024**2
"""Bytes over all batches at which everything is written at once, so that memory is bounded however many partitions there are."""
MAX_AGE_S = 0.5
"""Longest wait of a record for company: what a person who watches a query hardly notices."""


@dataclass(slots=True)
class Batch:
    """Records of one partition, in order. `since` is the monotonic time of the first."""

    since: float
    messages: "list[Message]" = field(default_factory=list)
    size: int = 0


class Pending:
    """All batches of a sink."""

    def __init__(self) -> None:
        self._batches: dict[Partition, Batch] = {}
        self._size = 0

    def add(self, partition: Partition, message: "Message", now: float) -> None:
        """Add a record that was read at `now` (monotonic seconds)."""
        batch = self._batches.get(partition)
        if batch is None:
            batch = self._batches[partition] = Batch(now)
        size = len(message)
        batch.messages.append(message)
        batch.size += size
        self._size += size

    def due(self, now: float) -> Iterator[tuple[Partition, "list[Message]"]]:
        """Yield, and forget, the batches that are to be written at `now`: full ones, old ones, and all of them when memory is short."""
        everything = self._size >= MAX_BYTES
        for partition, batch in list(self._batches.items()):
            if everything or now - batch.since >= MAX_AGE_S or len(batch.messages) >= MAX_ROWS or batch.size >= MAX_BATCH_BYTES:
                yield partition, self.take(partition)

    def take(self, partition: Partition) -> "list[Message]":
        """Return the records of a partition and forget them; none when there are none."""
        batch = self._batches.pop(partition, None)
        if batch is None:
            return []
        self._size -= batch.size
        return batch.messages

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """Partitions that have records waiting."""
        return tuple(self._batches)
