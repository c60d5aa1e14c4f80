"""From the one fetcher to the agents of each topic, without one topic waiting for another."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from faust.types import ConsumerMessage


class HandOver:
    """Batches that are fetched and that the agents of their topic have not taken, each topic's in the order of its fetches.

    `deliver` waits until the agents of a message's topic take it, or gives it up; `spawn` runs a coroutine beside all others.
    """

    def __init__(self, deliver: Callable[[ConsumerMessage], Awaitable[Any]], spawn: Callable[[Coroutine[Any, Any, None]], Any]) -> None:
        self._deliver = deliver
        self._spawn = spawn
        self._waiting: dict[str, deque[ConsumerMessage]] = {}
        self._progress = asyncio.Event()

    @property
    def busy(self) -> set[str]:
        """The topics with batches that are not taken."""
        return set(self._waiting)

    def put(self, message: ConsumerMessage) -> None:
        """Hand over a message when those of its topic before it are handed over. Returns at once."""
        waiting = self._waiting.get(message.topic)
        if waiting is not None:
            waiting.append(message)
            return
        self._waiting[message.topic] = waiting = deque([message])
        self._spawn(self._feed(message.topic, waiting))

    def clear(self) -> None:
        """Forget what is not handed over."""
        for waiting in self._waiting.values():
            waiting.clear()
        self._waiting.clear()

    async def until_less_busy(self, timeout_s: float) -> None:
        """Return when a topic has nothing left to hand over, or after `timeout_s` seconds."""
        self._progress.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._progress.wait(), timeout_s)

    async def _feed(self, topic: str, waiting: deque[ConsumerMessage]) -> None:
        while waiting:
            await self._deliver(waiting[0])
            if waiting:  # it may have been forgotten meanwhile
                waiting.popleft()
        if self._waiting.get(topic) is waiting:
            del self._waiting[topic]
        self._progress.set()
