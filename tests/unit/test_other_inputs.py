"""What a retried event waits for before it is refused for good."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Collection, Mapping

import pytest
from faust.types import TP
from trueloop.streams.other_inputs import LOOK_EVERY_S, STANDSTILL_S, until_read

from trueloop.adapters.faust_batch.batch import Batch
from trueloop.adapters.faust_batch.consumer import BatchConsumer
from trueloop.adapters.faust_batch.records import Record

TASKS = TP("tasks", 2)


def batch(partition: int, first: int, size: int) -> Batch:
    return Batch("tasks", partition, [Record(b"k", b"v", (), offset, 0, 0) for offset in range(first, first + size)])


class Reading(BatchConsumer):
    """A consumer that is told what it has fetched; partition 2 of `tasks` reaches to offset 10."""

    def __init__(self) -> None:
        self._outstanding = defaultdict(deque)
        self._finished = {}
        self._committed_offset = defaultdict(int)

    async def ends(self, topics: Collection[str], partition: int) -> Mapping[TP, int]:
        assert (list(topics), partition) == (["tasks"], 2)
        return {TASKS: 10}


class Pauses:
    """Stands in for time: what happens at which look."""

    def __init__(self, happens: Mapping[int, object]) -> None:
        self.looks = 0
        self._happens = happens

    async def __call__(self, seconds: float) -> None:
        assert seconds == LOOK_EVERY_S
        self.looks += 1
        event = self._happens.get(self.looks)
        if isinstance(event, Exception):
            raise event
        if callable(event):
            event()


def waits(consumer: Reading, happens: Mapping[int, object]) -> int:
    """Return after how many looks the wait is over."""
    pauses = Pauses(happens)
    asyncio.run(until_read(consumer, ["tasks"], 2, pauses))
    return pauses.looks


LOOKS = round(STANDSTILL_S / LOOK_EVERY_S)


def test_what_is_read_is_not_waited_for() -> None:
    consumer = Reading()
    consumer._finished[TASKS] = 10
    assert waits(consumer, {}) == 0


def test_a_batch_in_progress_is_waited_for_however_long_it_takes() -> None:
    consumer = Reading()
    consumer._outstanding[TASKS].append(slow := batch(2, 0, 10))
    assert waits(consumer, {5 * LOOKS: slow.complete}) == 5 * LOOKS


def test_those_of_other_partitions_may_stand_before_it() -> None:
    """One agent takes the batches of all partitions, one after the other."""
    consumer = Reading()
    consumer._outstanding[TP("tasks", 0)].append(other := batch(0, 0, 3))

    def fetched() -> None:
        other.complete()
        consumer._outstanding[TASKS].append(own)

    own = batch(2, 0, 10)
    assert waits(consumer, {2 * LOOKS: fetched, 4 * LOOKS: own.complete}) == 4 * LOOKS


def test_where_nothing_comes_no_waiting_helps() -> None:
    consumer = Reading()
    consumer._outstanding[TP("labels", 2)].append(Batch("labels", 2, [Record(b"k", b"v", (), 0, 0, 0)]))
    assert waits(consumer, {}) == pytest.approx(LOOKS, abs=1)


def test_what_comes_begins_the_wait_anew() -> None:
    consumer = Reading()

    def some() -> None:
        consumer._finished[TASKS] = 4

    assert waits(consumer, {LOOKS - 5: some}) == pytest.approx(2 * LOOKS - 5, abs=1)


def test_the_end_of_waiting_is_passed_on() -> None:
    with pytest.raises(InterruptedError):
        waits(Reading(), {3: InterruptedError()})
