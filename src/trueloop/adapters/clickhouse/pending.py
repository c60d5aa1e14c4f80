"""Records that were read and are not in ClickHouse yet, per topic: one insert takes what was read of all its partitions."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trueloop.adapters.log_positions import Partition

if TYPE_CHECKING:
    from confluent_kafka import Message

MAX_ROWS = 20_000
"""Rows at which a batch is written at once. Fewer cost more CPU per row, in merges above all; more only take more memory."""
MAX_BATCH_BYTES = 32 * 1024**2
MAX_BYTES = 64 * 1024**2
"""Bytes over all batches at which everything is written at once, so that memory is bounded however many topics there are."""
MAX_AGE_S = 1.0
"""Longest wait of a record for company: what a person who watches a query hardly notices."""


@dataclass(slots=True)
class Batch:
    """Records of one topic, those of each partition in order.

    Attributes:
        topic: As the registry names it.
        since: Monotonic time when the first was read.
        messages: The records.
        size: Their bytes.
        first: Offset of the first record of each partition.
        last: Offset of the last record of each partition.
    """

    topic: str
    since: float
    messages: "list[Message]" = field(default_factory=list)
    size: int = 0
    first: dict[int, int] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)

    def add(self, message: "Message") -> None:
        """Add a record."""
        partition, offset = int(message.partition() or 0), int(message.offset() or 0)
        self.messages.append(message)
        self.size += len(message)
        self.first.setdefault(partition, offset)
        self.last[partition] = offset

    @property
    def partitions(self) -> set[Partition]:
        """Partitions that it has records of."""
        return {(self.topic, partition) for partition in self.last}

    @property
    def token(self) -> str:
        """What names these records and no others: ClickHouse takes an insert of the same token once."""
        ranges = ",".join(f"{partition}:{self.first[partition]}-{last}" for partition, last in sorted(self.last.items()))
        return f"{self.topic}:{ranges}"


class Pending:
    """All batches of a sink."""

    def __init__(self) -> None:
        self._batches: dict[str, Batch] = {}

    @property
    def size(self) -> int:
        """Bytes of all records."""
        return sum(batch.size for batch in self._batches.values())

    def add(self, topic: str, message: "Message", now: float) -> None:
        """Add a record that was read at `now` (monotonic seconds)."""
        batch = self._batches.get(topic)
        if batch is None:
            batch = self._batches[topic] = Batch(topic, now)
        batch.add(message)

    def due(self, now: float) -> Iterator[Batch]:
        """Yield, and forget, the batches that are to be written at `now`: full ones, old ones, and all of them when memory is short."""
        everything = self.size >= MAX_BYTES
        for batch in list(self._batches.values()):
            if everything or now - batch.since >= MAX_AGE_S or len(batch.messages) >= MAX_ROWS or batch.size >= MAX_BATCH_BYTES:
                del self._batches[batch.topic]
                yield batch

    def take(self, topics: Collection[str] | None = None) -> list[Batch]:
        """Return, and forget, the batches of some topics; by default all."""
        names = list(self._batches) if topics is None else [name for name in self._batches if name in topics]
        return [self._batches.pop(name) for name in names]

    def forget(self, partitions: Collection[Partition]) -> None:
        """Forget the records of some partitions."""
        for batch in self.take({topic for topic, _ in partitions}):
            for message in batch.messages:
                if (batch.topic, int(message.partition() or 0)) not in partitions:
                    self.add(batch.topic, message, batch.since)
