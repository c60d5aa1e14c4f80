"""State of a stream app: a Faust table by partition and key, both raw bytes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import faust
from faust.stores.memory import Store as MemoryStore
from faust.types import TP, EventT

from trueloop.adapters.faust_batch.batch import RawRecord


class PartitionedStore(MemoryStore):  # type: ignore[misc]
    """Keeps each partition apart, in memory.

    Faust's own memory store is one dictionary: it keeps keys of partitions that went to another worker and returned, and mixes equal keys
    of two partitions.
    """

    def apply_changelog_batch(self, batch: Iterable[EventT], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]) -> None:
        """Do nothing: the consumer has called `recover` with these records and those before them."""

    def put(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Replace the value under a key; None deletes it."""
        states = self.data.setdefault(partition, {})
        if value is None:
            states.pop(key, None)
        else:
            states[key] = value

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:
        """Forget partitions that arrive: they are read from the start of the changelog, which may lack what deleted an old key."""
        for tp in newly_assigned | revoked:
            if tp.topic == self.table.changelog_topic_name:
                self.data.pop(tp.partition, None)


class StateTable(faust.Table):  # type: ignore[misc]
    """A table whose changelog is written by whoever waits for its delivery, and only then put here with `put`.

    Faust's own item assignment sends to the changelog behind the caller's back and reports no failure.
    """

    def _new_store(self) -> PartitionedStore:
        return PartitionedStore("memory://", self.app, self, table_name=self.name, loop=self.loop)

    def partition(self, partition: int) -> Mapping[bytes, bytes]:
        """Return the states of one partition: what was recovered and put since."""
        states: Mapping[bytes, bytes] = self.data.data.get(partition, {})
        return states

    def recover(self, partition: int, records: Iterable[RawRecord]) -> None:
        """Apply records of the changelog, in order."""
        for record in records:
            if record.key is not None:
                self.data.put(partition, record.key, record.value)

    def put(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Take over a change that the changelog holds; None deletes."""
        self.data.put(partition, key, value)
