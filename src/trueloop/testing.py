"""Tests of processors without a broker: a driver that moves events in and out of a step, a clock, and a registry in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from trueloop.codec import Codec
from trueloop.errors import UnknownSchemaError
from trueloop.events import Event
from trueloop.processors.processor import Context, Processor, Source, Step, View
from trueloop.rejection import Rejection
from trueloop.topics import Topic, topic_of


class MemoryRegistry:
    """A schema registry in memory: the same text has the same id. It checks no compatibility."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def register(self, subject: str, schema: str) -> int:
        """Return the id of `schema`, >= 1; ids are shared by all subjects, as in a real registry."""
        if schema not in self._texts:
            self._texts.append(schema)
        return self._texts.index(schema) + 1

    def schema(self, schema_id: int) -> str:
        """Return the text of a schema. Raises UnknownSchemaError."""
        if not 1 <= schema_id <= len(self._texts):
            raise UnknownSchemaError(schema_id)
        return self._texts[schema_id - 1]


class Clock:
    """A clock that a test moves by hand.

    >>> clock = Clock(datetime(2026, 1, 1, tzinfo=UTC))
    >>> clock.advance(seconds=1.5)
    >>> clock().isoformat()
    '2026-01-01T00:00:01.500000+00:00'
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def __call__(self) -> datetime:
        """Return the moment that the clock stands at."""
        return self._now

    def advance(self, **delta: float) -> None:
        """Move forward by `timedelta(**delta)`."""
        self._now += timedelta(**delta)

    def set(self, moment: datetime) -> None:
        """Move to a moment, also backwards: wall clocks do that too."""
        self._now = moment


class ProcessorDriver:
    """Drives one processor as the stream shell does, on one partition.

    Each `send` is a batch of its own, so summaries of touched views are in `out` when it returns; `batch()` groups several. What goes in
    and comes out passes through the codec, so an event that Avro cannot carry fails here and not in production. State is held as stored
    bytes: a state that does not survive `dump` and `load` fails here, too.

    `out`, `rejected` and `retried` only grow; `outcomes` counts the steps, `drops` what they dropped.
    """

    def __init__(self, processor: Processor, context: Context, clock: Callable[[], datetime] | None = None) -> None:
        self.processor = processor
        self.context = context
        self.clock = clock or Clock()
        self.out: list[Event] = []
        self.rejected: list[tuple[Event, Rejection]] = []
        self.retried: list[tuple[Event, Source]] = []
        self.outcomes: dict[str, int] = {}
        self.drops: dict[str, int] = {}
        self._codec = Codec(MemoryRegistry())
        self._states: dict[str, bytes] = {}
        self._history: list[tuple[Event, Source, datetime, bool]] = []
        self._next_offset: dict[tuple[str, int], int] = {}
        self._touched: dict[str, None] | None = None
        self._view = self._rebuilt_view()

    def send(self, event: Event, *, at: datetime | None = None, source: Source | None = None, final: bool = False) -> Step[Any]:
        """Step over one event and return the step.

        `at` is the processing time (default: the clock); `source` where it was read (default: partition 0 of the event's topic, next
        offset). Raises AssertionError when the step breaks the contract of processors.
        """
        topic = topic_of(event)
        assert topic in self.processor.inputs, f"{self.processor.name!r} reads {[t.name for t in self.processor.inputs]}, not {topic.name!r}"
        source = source or self._next_source(topic)
        now = at or self.clock()
        self._history.append((event, source, now, final))
        return self._step(event, source, now, final)

    @contextmanager
    def batch(self, at: datetime | None = None) -> Iterator[None]:
        """Make the events sent inside one batch: summaries are made once, at its end."""
        assert self._touched is None, "batches do not nest"
        self._touched = {}
        try:
            yield
            self._summarise(self._touched, at or self.clock())
        finally:
            self._touched = None

    def retry(self, at: datetime | None = None) -> list[Step[Any]]:
        """Send what asked for a retry since the last call, for the last time. Returns the steps."""
        pending, self.retried = self.retried, []
        return [self.send(event, at=at, source=source, final=True) for event, source in pending]

    def replay(self) -> list[Event]:
        """Deliver everything sent so far once more, as after a crash before the commit. Returns what came out of it."""
        mark = len(self.out)
        for event, source, now, final in tuple(self._history):
            self._step(event, source, now, final)
        return self.out[mark:]

    def restart(self) -> None:
        """Go through stored state, as when the worker is started anew: all that was in memory only is gone."""
        self._view = self._rebuilt_view()

    def state(self, key: str) -> Any:
        """Return the state under `key` as it would be recovered, or None."""
        data = self._states.get(key)
        return None if data is None else self.processor.load(data)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys that have a state."""
        return tuple(self._states)

    def out_of(self, topic: Topic) -> list[Any]:
        """Return what came out for one topic."""
        return [event for event in self.out if topic_of(event) is topic]

    def _step(self, event: Event, source: Source, now: datetime, final: bool) -> Step[Any]:
        self._through_codec(event)
        key = self.processor.key(event) if self.processor.key else None
        old = None if key is None else self.state(key)
        step = self.processor.step(old, event, source=source, now=now, final=final, context=self.context)
        self._check(step, final)
        if key is not None:
            self._keep(key, old, step.state)
        self.outcomes[step.outcome] = self.outcomes.get(step.outcome, 0) + 1
        for reason, count in step.drops.items():
            self.drops[reason] = self.drops.get(reason, 0) + count
        self._emit(step.out)
        if step.rejection is not None:
            self.rejected.append((event, step.rejection))
        if step.retry:
            self.retried.append((event, source))
        if self._touched is None:
            self._summarise(dict.fromkeys(step.touched), now)
        else:
            self._touched |= dict.fromkeys(step.touched)
        return step

    def _check(self, step: Step[Any], final: bool) -> None:
        name = self.processor.name
        assert step.outcome in self.processor.outcomes, f"{name!r} declares outcomes {sorted(self.processor.outcomes)}, not {step.outcome!r}"
        assert step.drops.keys() <= self.processor.drops, f"{name!r} declares drops {sorted(self.processor.drops)}, not {sorted(step.drops)}"
        assert not (step.retry and final), f"{name!r} asks to retry an event that is seen for the last time"
        assert not (step.retry and step.rejection), f"{name!r} both rejects and retries an event"
        assert step.state is None or self.processor.key is not None, f"{name!r} has no key, so its step cannot keep state"
        assert not step.touched or self.processor.view is not None, f"{name!r} has no view, so its step cannot touch {step.touched}"

    def _keep(self, key: str, old: BaseModel | None, new: BaseModel | None) -> None:
        if new is None:
            self._states.pop(key, None)
        else:
            data = self.processor.dump(new)
            assert self.processor.load(data) == new, f"state of {self.processor.name!r} under {key!r} changes when it is stored and loaded"
            self._states[key] = data
        if self._view is not None:
            self._view.fold(key, old, new)

    def _emit(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self._through_codec(event)
        self.out.extend(events)

    def _summarise(self, touched: dict[str, None], now: datetime) -> None:
        if touched and self._view is not None:
            self._emit(self._view.summarise(tuple(touched), now=now, context=self.context))
            for key in self._view.expired():
                assert key in self._states, f"{self.processor.name!r} has a state expire that it does not have: {key!r}"
                self._keep(key, self.state(key), None)
                self.outcomes["expired"] = self.outcomes.get("expired", 0) + 1

    def _through_codec(self, event: Event) -> None:
        topic = topic_of(event)
        read = self._codec.decode(topic, self._codec.encode(topic, event))
        assert read == event, f"{type(event).__name__} {event.event_id!r} changes on its way through Avro"

    def _rebuilt_view(self) -> View | None:
        view = self.processor.view() if self.processor.view else None
        if view is not None:
            for key, data in self._states.items():
                view.fold(key, None, self.processor.load(data))
        return view

    def _next_source(self, topic: Topic) -> Source:
        place = (topic.name, 0)
        offset = self._next_offset.get(place, 0)
        self._next_offset[place] = offset + 1
        return Source(topic.name, 0, offset)
