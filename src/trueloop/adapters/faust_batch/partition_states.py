"""The states of each partition, with a mark that sums them up: whoever reads a changelog can tell whether it still holds all of them.

A changelog that lost records reads like one that never had them. So every batch ends with a mark in the changelog: how many states there
are, a sum of their hashes, and up to which offset of each input they stand. The sum does not depend on the order of the keys, and is kept
up with two hashes per change.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from trueloop.adapters.delivery import Outgoing
from trueloop.adapters.faust_batch.records import RawRecord

MARK_KEY = b"\xff mark"
"""Key of the mark in a changelog. It is no UTF-8, so no state has it: the keys of states are text, some of it from strangers."""
_HASH_BYTES = 8
_MODULUS = 1 << 8 * _HASH_BYTES


@dataclass(frozen=True, slots=True)
class StateMark:
    """What a partition's states are, and how far they reach.

    Attributes:
        keys: Number of states.
        digest: Sum of their hashes, in [0, 2^64).
        offsets: Per input, 'topic/partition' without the deployment's prefix, the offset after the newest record that the states know of.
        loss_accepted: Set by a person who wants to go on without what cannot be rebuilt any more.
    """

    keys: int
    digest: int
    offsets: Mapping[str, int]
    loss_accepted: bool = False

    def dump(self) -> bytes:
        """Return the mark as it lies in the changelog."""
        content = {"keys": self.keys, "digest": f"{self.digest:016x}", "offsets": dict(self.offsets), "loss_accepted": self.loss_accepted}
        return json.dumps(content).encode()

    @classmethod
    def load(cls, data: bytes | None) -> "StateMark | None":
        """Return the mark in `data`, None when there is none that can be read.

        >>> StateMark.load(StateMark(2, 255, {"labels/0": 7}).dump())
        StateMark(keys=2, digest=255, offsets={'labels/0': 7}, loss_accepted=False)
        """
        try:
            content = json.loads(data or b"")
            offsets = {str(name): int(offset) for name, offset in content["offsets"].items()}
            return cls(int(content["keys"]), int(content["digest"], 16), offsets, bool(content["loss_accepted"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class StateChange:
    """Changes of one partition that are to be made durable: the states first, then the mark of what they are then. None deletes a state."""

    partition: int
    states: Mapping[bytes, bytes | None]
    mark: StateMark

    def records(self, changelog: str) -> list[Outgoing]:
        """Return the records for the changelog, in the order in which they have to lie there."""
        found = [Outgoing(changelog, key, value, (), self.partition) for key, value in self.states.items()]
        return [*found, Outgoing(changelog, MARK_KEY, self.mark.dump(), (), self.partition)]


class KeptStates(Protocol):
    """States by partition and key, and the changelog that makes their changes durable."""

    partitions: int

    @property
    def changelog_topic_name(self) -> str:
        """Name of the changelog on the broker."""
        ...

    def partition(self, partition: int) -> Mapping[bytes, bytes]:
        """Return the states of one partition; the mapping follows what is adopted later."""
        ...

    def planned(self, partition: int, states: Mapping[bytes, bytes | None], offsets: Mapping[str, int]) -> StateChange:
        """Return changes with the mark that they lead to; nothing is changed yet."""
        ...

    def adopt(self, change: StateChange) -> None:
        """Take over changes that the changelog holds."""
        ...

    def on_recover(self, callback: Any) -> Any:
        """Have `callback` awaited whenever states were recovered."""
        ...


@dataclass(slots=True)
class _Partition:
    states: dict[bytes, bytes] = field(default_factory=dict)
    digest: int = 0
    mark: StateMark | None = None
    marked_alike: bool = True


class PartitionStates:
    """States by partition and key, in memory."""

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}

    def partition(self, partition: int) -> Mapping[bytes, bytes]:
        """Return the states of one partition; the mapping follows what is put there later."""
        return self._of(partition).states

    def mark(self, partition: int) -> StateMark | None:
        """Return the newest mark; None when there is none."""
        return self._of(partition).mark

    def agrees(self, partition: int) -> bool:
        """Return whether the states were, where the newest mark lay, what it says. True without a mark."""
        return self._of(partition).marked_alike

    def digest(self, partition: int) -> int:
        """Return the sum of the hashes of a partition's states: equal states have equal ones, whatever came before."""
        return self._of(partition).digest

    def planned(self, partition: int, states: Mapping[bytes, bytes | None], offsets: Mapping[str, int]) -> StateChange:
        """Return changes with the mark that they lead to; `offsets` tells how far the inputs are then."""
        kept = self._of(partition)
        digest, keys = kept.digest, len(kept.states)
        for key, value in states.items():
            old = kept.states.get(key)
            digest += _weight(key, value) - _weight(key, old)
            keys += (value is not None) - (old is not None)
        reached = dict(kept.mark.offsets) if kept.mark else {}
        for name, offset in offsets.items():
            reached[name] = max(offset, reached.get(name, 0))
        return StateChange(partition, states, StateMark(keys, digest % _MODULUS, reached))

    def adopt(self, change: StateChange) -> None:
        """Take over changes that were planned on the present states."""
        kept = self._of(change.partition)
        for key, value in change.states.items():
            _put(kept.states, key, value)
        kept.digest, kept.mark, kept.marked_alike = change.mark.digest, change.mark, True

    def recover(self, partition: int, records: Iterable[RawRecord]) -> None:
        """Apply records of the changelog, in order."""
        kept = self._of(partition)
        for record in records:
            if record.key == MARK_KEY:
                mark = kept.mark = StateMark.load(record.value)
                kept.marked_alike = mark is None or (mark.keys, mark.digest) == (len(kept.states), kept.digest)
            elif record.key is not None:
                delta = _weight(record.key, record.value) - _weight(record.key, kept.states.get(record.key))
                kept.digest = (kept.digest + delta) % _MODULUS
                _put(kept.states, record.key, record.value)

    def forget(self, partition: int) -> None:
        """Drop a partition: it is another worker's, or recovered from the start."""
        self._partitions.pop(partition, None)

    def _of(self, partition: int) -> _Partition:
        return self._partitions.setdefault(partition, _Partition())


def _put(states: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    if value is None:
        states.pop(key, None)
    else:
        states[key] = value


def _weight(key: bytes, value: bytes | None) -> int:
    """Return a hash of one state as a number; 0 for none. The key's length keeps ("ab", "c") and ("a", "bc") apart."""
    if value is None:
        return 0
    return int.from_bytes(hashlib.blake2b(b"%d:" % len(key) + key + value, digest_size=_HASH_BYTES).digest(), "big")
