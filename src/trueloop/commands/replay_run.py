"""One replay: traces out, tasks in, labels out."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from trueloop.adapters.kafka import Publisher
from trueloop.adapters.registry import connect
from trueloop.adapters.subscriber import Subscriber
from trueloop.config import Settings
from trueloop.events import Event, Label, ReviewTask
from trueloop.replay.item import ReplayItem
from trueloop.replay.labels import labels_for
from trueloop.topics import REVIEW_QUEUE

_CHUNK = 200
_POLL_S = 0.2


@dataclass(slots=True)
class Summary:
    """What a replay did. `ambiguous` are traces with two equal completions: no verdict on them can be told apart, so none is given."""

    traces: int = 0
    tasks: int = 0
    labels: int = 0
    ambiguous: int = 0
    seconds: float = 0.0


class ReplayRun:
    """Publishes the traces and answers the tasks that come of them, until every trace with verdicts has its task or none came for `wait_s` seconds."""

    def __init__(self, settings: Settings, items: Sequence[ReplayItem], *, speed: float, wait_s: float, show: Callable[[str], None]) -> None:
        self._settings = settings
        self._items = {item.trace.trace_id: item for item in items}
        self._speed = speed
        self._wait_s = wait_s
        self._show = show
        self._codec = connect(settings.registry)
        self._publisher = Publisher(settings.kafka, self._codec)
        self._answered: set[str] = set()
        self._awaited = {key for key, item in self._items.items() if not item.ambiguous}
        self.summary = Summary(ambiguous=len(self._items) - len(self._awaited))

    def run(self) -> Summary:
        """Do it. Raises UnavailableError when the broker or the registry is away."""
        started = time.monotonic()
        waiting = list(self._items.values())
        if not any(item.verdicts for item in waiting):
            while waiting:
                self._send_due(waiting, started)
        else:
            # One queue for everybody: a replay that is repeated has to see the tasks of the first time, too.
            with Subscriber(self._settings.kafka, self._codec, [REVIEW_QUEUE]) as queue:
                self._converse(queue, waiting, started)
        self.summary.seconds = round(time.monotonic() - started, 3)
        return self.summary

    def _converse(self, queue: Subscriber, waiting: list[ReplayItem], started: float) -> None:
        quiet_since = time.monotonic()
        while waiting or (self._awaited and time.monotonic() - quiet_since < self._wait_s):
            self._send_due(waiting, started)
            if self._answer(queue.poll(_POLL_S)) or waiting:
                quiet_since = time.monotonic()
            self._show(f"{self.summary.traces} of {len(self._items)} traces sent, {self.summary.tasks} tasks, {self.summary.labels} labels")

    def _send_due(self, waiting: list[ReplayItem], started: float) -> None:
        """Send the next traces, as many as the speed allows by now, each stamped with the present."""
        due = _CHUNK if not self._speed else max(0, int((time.monotonic() - started) * self._speed) + 1 - self.summary.traces)
        chunk = waiting[: min(due, _CHUNK)]
        if not chunk:
            if waiting:
                time.sleep(min(_POLL_S, 1 / self._speed))
            return
        del waiting[: len(chunk)]
        now = datetime.now(UTC)
        self.summary.traces += self._publisher.publish(item.trace.model_copy(update={"occurred_at": now}) for item in chunk)

    def _answer(self, events: Sequence[Event]) -> int:
        """Label those tasks that are of this replay; return their number."""
        before = len(self._answered)
        labels: list[Label] = []
        now = datetime.now(UTC)
        for task in events:
            if isinstance(task, ReviewTask) and task.trace_id in self._items and task.task_id not in self._answered:
                self._answered.add(task.task_id)
                self._awaited.discard(task.trace_id)
                labels.extend(labels_for(task, self._items[task.trace_id], now))
        self.summary.labels += self._publisher.publish(labels)
        self.summary.tasks = len(self._answered)
        return self.summary.tasks - before
