"""A worker's processor without broker and changelog, and the CPU time of an act: what the benchmarks of rolling statistics share."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from statistics import median
from typing import Any

from trueloop.events import Event
from trueloop.processors.processor import Context, Processor, Source

ROUNDS = 5


def cpu(act: Callable[[], Any]) -> float:
    """Return the median CPU seconds of an act."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        act()
        taken.append(time.process_time() - begun)
    return median(taken)


class Worker:
    """A processor with its states, as a lane holds them, less decoding and storing. `out` is what it told after the last batch."""

    def __init__(self, processor: Processor, context: Context, now: datetime) -> None:
        self.processor, self.context, self.now = processor, context, now
        self.view: Any = processor.view() if processor.view else None
        self.states: dict[str, Any] = {}
        self.out: tuple[Event, ...] = ()
        self._offset = 0

    def take(self, events: Sequence[Event]) -> None:
        """Step over a batch and summarise."""
        touched: dict[str, None] = {}
        for event in events:
            self._offset += 1
            key = self.processor.key(event)  # type: ignore[misc]
            old = self.states.get(key)
            step = self.processor.step(old, event, source=Source("topic", 0, self._offset), now=self.now, final=False, context=self.context)
            self.view.fold(key, old, step.state)
            self.states[key] = step.state
            touched |= dict.fromkeys(step.touched)
        self.out = tuple(self.view.summarise(tuple(touched), now=self.now, context=self.context))
