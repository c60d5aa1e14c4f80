"""Batches on their way from the fetcher to the agents of each topic."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from trueloop.adapters.faust_batch.hand_over import HandOver


class Agents:
    """Agents that take a message when they are told to, by topic."""

    def __init__(self) -> None:
        self.taken: defaultdict[str, list[int]] = defaultdict(list)
        self._allowed: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(0))
        self._tasks: set[asyncio.Task[None]] = set()
        self.hand_over = HandOver(self._deliver, self._spawn)

    async def _deliver(self, message: Any) -> None:
        await self._allowed[message.topic].acquire()
        self.taken[message.topic].append(message.offset)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def put(self, topic: str, *offsets: int) -> None:
        for offset in offsets:
            message: Any = SimpleNamespace(topic=topic, offset=offset)
            self.hand_over.put(message)

    async def take(self, topic: str, count: int) -> list[int]:
        for _ in range(count):
            self._allowed[topic].release()
        for _ in range(10 * count + 10):
            await asyncio.sleep(0)
        return self.taken[topic]


def run(test: Any) -> None:
    async def main() -> None:
        await test(Agents())

    asyncio.run(main())


def test_a_topic_that_nobody_takes_holds_up_no_other() -> None:
    async def case(agents: Agents) -> None:
        agents.put("labels.retry", 1, 2, 3)
        agents.put("review-queue", 10, 11)
        assert agents.hand_over.busy == {"labels.retry", "review-queue"}
        assert await agents.take("review-queue", 2) == [10, 11]
        assert agents.hand_over.busy == {"labels.retry"}
        agents.put("review-queue", 12)
        assert await agents.take("review-queue", 1) == [10, 11, 12]

    run(case)


def test_a_topic_keeps_its_order_and_is_busy_until_the_last_is_taken() -> None:
    async def case(agents: Agents) -> None:
        agents.put("traces", 1, 2)
        assert await agents.take("traces", 1) == [1]
        agents.put("traces", 3)
        assert agents.hand_over.busy == {"traces"}
        assert await agents.take("traces", 2) == [1, 2, 3]
        assert agents.hand_over.busy == set()

    run(case)


@pytest.mark.parametrize("again", [(), (7, 8)])
def test_what_was_forgotten_is_not_handed_over_and_what_comes_after_is(again: tuple[int, ...]) -> None:
    async def case(agents: Agents) -> None:
        agents.put("traces", 1, 2, 3)
        assert await agents.take("traces", 1) == [1]
        agents.hand_over.clear()
        assert agents.hand_over.busy == set()
        agents.put("traces", *again)
        # The one that was being delivered cannot be called back: Faust passes over it, by its generation.
        assert sorted(await agents.take("traces", 5)) == sorted([1, 2, *again])
        assert agents.hand_over.busy == set()

    run(case)


def test_who_waits_is_told_when_a_topic_has_nothing_left() -> None:
    async def case(agents: Agents) -> None:
        agents.put("traces", 1)
        waiting = asyncio.ensure_future(agents.hand_over.until_less_busy(30.0))
        await asyncio.sleep(0)
        assert not waiting.done()
        await agents.take("traces", 1)
        await asyncio.wait_for(waiting, 5)
        await agents.hand_over.until_less_busy(0.0)

    run(case)
