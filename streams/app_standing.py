"""How the apps of a process stand: lag, state and rebalances, worked out when somebody asks."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from trueloop.adapters.faust_batch import BatchApp
from trueloop.adapters.kafka import physical_name
from trueloop.adapters.metrics.standing import Drop, Lag, Standing, StateSize
from trueloop.config import KafkaSettings
from trueloop.topics import ALL

_COMPACTED = {topic.name for topic in ALL if topic.cleanup_policy == "compact"}
_SHARE = 0.01
"""Part of the time that may go into measuring state: a large one is measured less often than it is asked for."""
_CHUNK = 10_000
"""Values measured without letting other threads run."""


class AppStanding(Standing):
    """Asks Faust, in the thread of whoever asks. Reads what lies in memory; the broker is asked nothing."""

    def __init__(self, kafka: KafkaSettings, clock: Callable[[], float] = time.monotonic) -> None:
        """Of no app, until `watch`. `clock` gives monotonic seconds."""
        self._prefix = physical_name(kafka, "")
        self._clock = clock
        self._apps: tuple[tuple[str, BatchApp], ...] = ()
        self._sizes: dict[tuple[str, str], _Measured] = {}

    def watch(self, apps: Sequence[tuple[str, BatchApp]]) -> None:
        """Speak of these apps from now on, each under the name of its processor. They are started."""
        self._apps = tuple(apps)

    def lags(self) -> list[Lag]:
        """Return the lag per processor and partition."""
        return [
            Lag(processor, tp.topic.removeprefix(self._prefix), tp.partition, records)
            for processor, app in self._apps
            for tp, records in sorted(app.consumer.lags().items())
        ]

    def drops(self) -> list[Drop]:
        """Return the gaps in topics from which only retention takes records; in compacted ones they are nothing strange."""
        gaps: Counter[tuple[str, str]] = Counter()
        for processor, app in self._apps:
            for tp, offsets in app.consumer.gaps.copy().items():
                gaps[processor, tp.topic.removeprefix(self._prefix)] += offsets
        return [Drop(processor, topic, "gap", offsets) for (processor, topic), offsets in sorted(gaps.items()) if topic not in _COMPACTED]

    def states(self) -> list[StateSize]:
        """Return the size of each processor's state; of a large one, as it was some seconds ago."""
        return [
            StateSize(processor, name, *self._measured(processor, name).size(table.partition(number) for number in range(table.partitions)))
            for processor, app in self._apps
            for name, table in sorted(app.tables.items())
        ]

    def rebalances(self) -> dict[str, int]:
        """Return the rebalances per processor."""
        return {processor: app.rebalancing_count for processor, app in self._apps}

    def _measured(self, processor: str, table: str) -> "_Measured":
        return self._sizes.setdefault((processor, table), _Measured(self._clock))


class _Measured:
    """The size of a table, measured anew when that was last done a hundred times as long ago as it took."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._size = (0, 0)
        self._again_at = float("-inf")

    def size(self, partitions: Iterable[Mapping[bytes, bytes]]) -> tuple[int, int]:
        begun = self._clock()
        if begun >= self._again_at:
            sizes = [_size(states) for states in partitions]
            self._size = sum(keys for keys, _ in sizes), sum(size for _, size in sizes)
            ended = self._clock()
            self._again_at = ended + (ended - begun) / _SHARE
        return self._size


def _size(states: Mapping[bytes, bytes]) -> tuple[int, int]:
    # Copied in one step, because the event loop goes on changing them; measured in small ones, because a long one would hold it up.
    parts = [*states.keys(), *states.values()]
    return len(states), sum(sum(map(len, parts[start : start + _CHUNK])) for start in range(0, len(parts), _CHUNK))
