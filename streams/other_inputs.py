"""Waiting for what a retried event may refer to."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any

STANDSTILL_S, LOOK_EVERY_S = 30.0, 0.1
"""How long nothing of the other inputs may come before a retried event waits for them no more: brokers take up to 12 s to hand over a partition."""


async def until_read(consumer: Any, topics: Collection[str], partition: int, pause: Callable[[float], Awaitable[None]]) -> None:
    """Wait until a partition of some inputs is read as far as it reaches now.

    A batch of theirs that is being processed is waited for however long it takes: it may stand behind those of other partitions, or before a service
    that is away, and whoever goes on without it refuses what is to count. When nothing is in progress and nothing comes, no waiting helps.

    `topics` are named as on the broker; `pause` waits for some seconds, and raises when waiting has to end.
    """
    ends = await consumer.ends(topics, partition)
    left, patience = consumer.unread(ends), STANDSTILL_S
    while left > 0 and patience > 0:
        await pause(LOOK_EVERY_S)
        before, left = left, consumer.unread(ends)
        patience = STANDSTILL_S if left < before or consumer.is_working_on(topics) else patience - LOOK_EVERY_S
