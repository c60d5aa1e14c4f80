"""State of a stream app: a Faust table by partition and key, both raw bytes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import faust
from faust.stores.memory import Store as MemoryStore
from faust.types import TP, EventT

from trueloop.adapters.faust_batch.partition_states import PartitionStates, StateChange
from trueloop.adapters.faust_batch.records import RawRecord


class PartitionedStore(MemoryStore):  # type: ignore[misc]
    """Keeps each partition apart, in memory.

    Faust's own memory store is one dictionary: it keeps keys of partitions that went to another worker and returned, and mixes equal keys
    of two partitions.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kept = PartitionStates()

    def apply_changelog_batch(self, batch: Iterable[EventT], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]) -> None:
        """Do nothing: the consumer has called `recover` with these records and those before them."""

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:
        """Forget partitions that arrive: they are read from the start of the changelog, which may lack what deleted an old key."""
        for tp in newly_assigned | revoked:
            if tp.topic == self.table.changelog_topic_name:
                self.kept.forget(tp.partition)


class StateTable(faust.Table):  # type: ignore[misc]
    """A table whose changelog is written by whoever waits for its delivery; what was delivered is put here with `adopt`.

    Faust's own item assignment sends to the changelog behind the caller's back and reports no failure. `active` holds the partitions that
    this worker has; they are recovered when the recover callbacks are awaited.
    """

    active: frozenset[int] = frozenset()

    def _new_store(self) -> PartitionedStore:
        return PartitionedStore("memory://", self.app, self, table_name=self.name, loop=self.loop)

    @property
    def kept(self) -> PartitionStates:
        """The states, their marks and sums."""
        states: PartitionStates = self.data.kept
        return states

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Tell the callbacks which partitions there are."""
        self.active = frozenset(tp.partition for tp in active_tps if tp.topic == self.changelog_topic_name)
        await super().on_recovery_completed(active_tps, standby_tps)

    def partition(self, partition: int) -> Mapping[bytes, bytes]:
        """Return the states of one partition: what was recovered and adopted since."""
        return self.kept.partition(partition)

    def recover(self, partition: int, records: Iterable[RawRecord]) -> None:
        """Apply records of the changelog, in order."""
        self.kept.recover(partition, records)

    def planned(self, partition: int, states: Mapping[bytes, bytes | None], offsets: Mapping[str, int]) -> StateChange:
        """Return changes with the mark that they lead to; nothing is changed yet."""
        return self.kept.planned(partition, states, offsets)

    def adopt(self, change: StateChange) -> None:
        """Take over changes that the changelog holds."""
        self.kept.adopt(change)
