"""What every processor is: a pure step from state and event to state and events. Shells in `trueloop.streams` move the bytes."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from trueloop.columns.columns import Columns
from trueloop.events import Event
from trueloop.rejection import Rejection
from trueloop.rubrics import Governance
from trueloop.topics import Topic

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Source:
    """Where an event was read: topic (as the registry names it), partition and offset."""

    topic: str
    partition: int
    offset: int

    @property
    def partition_name(self) -> str:
        """Topic and partition in one word."""
        return f"{self.topic}/{self.partition}"


@dataclass(frozen=True, slots=True)
class Context:
    """What a processor may look at besides state and event: the documents in force, the blinding key, and what the worker found in the
    processor's `history` topics when it started.

    `restoring` is true when the event was dealt with before and only the state is wanted, because it was lost: what comes out is dropped, so
    the state must not say that something was ordered which `history` does not hold.
    """

    governance: Governance
    blinding_key: str = ""
    history: tuple[Event, ...] = ()
    restoring: bool = False


@dataclass(frozen=True, slots=True)
class Step(Generic[S]):
    """What became of one event.

    `state` replaces the state under the event's key (None deletes it). `out` are derived events. `outcome` is the counter that the event
    falls under: every event falls under exactly one. A `rejection` sends the event to dead-letters; `retry` puts it on the topic's retry
    topic, to be seen once more after a grace. `touched` names summaries to be made anew when the batch ends. `drops` counts what the event
    would have given and did not, by reason: nothing is dropped silently.
    """

    state: S | None = None
    out: tuple[Event, ...] = ()
    outcome: str = "processed"
    rejection: Rejection | None = None
    retry: bool = False
    touched: tuple[str, ...] = ()
    drops: Mapping[str, int] = field(default_factory=dict)


class View:
    """A summary over many states of one partition, kept in memory and rebuilt from them: never stored, so it can never be half-written."""

    def fold(self, key: str, old: Any, new: Any) -> None:
        """Replace what `old` contributed under `key` (None: nothing) by what `new` contributes (None: nothing)."""
        raise TypeError(f"{type(self).__name__} must define fold")

    def summarise(self, touched: Collection[str], *, now: datetime, context: Context) -> tuple[Event, ...]:
        """Return the events that tell what the touched summaries are now."""
        raise TypeError(f"{type(self).__name__} must define summarise")

    def expired(self) -> Collection[str]:
        """Return the keys of states that have become of no use since the last call. The shell deletes them, and counts each as 'expired'."""
        return ()


StepFunction = Callable[..., Step[Any]]
"""`step(state, event, *, source, now, final, context) -> Step`; `final` is true when a retried event is seen for the last time."""


@dataclass(slots=True)
class Screened:
    """What screening a batch found: `outcomes` of the events that are done with, `picked` places of those to be finished, each
    with what was found out about it, and derived events."""

    outcomes: Counter[str] = field(default_factory=Counter)
    picked: dict[int, Any] = field(default_factory=dict)
    out: list[Event] = field(default_factory=list)

    def count(self, outcome: str, events: int) -> None:
        """Count events that are done with."""
        if events:
            self.outcomes[outcome] += events


@dataclass(frozen=True, slots=True)
class Screen:
    """The batch form of a processor without state whose events are mostly of no consequence: few of them are read whole.

    A test holds that it comes to the same as stepping through the events, however the stream is cut into batches.

    Attributes:
        fields: The event's fields that have to be read.
        rows: `rows(columns)` makes of their columns what `run` takes; its `places` are those of the records that obey the event's rules as far as
            they were read. The others are decoded, which finds out what is wrong with them, or that nothing is.
        rows_of_events: The same of decoded events and their places.
        joined: Two of them as one, in the order of their places.
        run: `run(rows, *, context, source, offsets) -> Screened`.
        finish: The step of what was picked, less what `run` has done already; it is given as `drawn` what `run` found out.
    """

    fields: tuple[str, ...]
    rows: Callable[[Columns], Any]
    rows_of_events: Callable[[Sequence[Any], Sequence[int]], Any]
    joined: Callable[[Any, Any], Any]
    run: Callable[..., Screened]
    finish: StepFunction


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor: what it reads, what its events can fall under and what they can lead to that is dropped, how it keys its state, and its step.

    `key` gives the key of the state that an event meets; None keeps no state. `history` names topics that are read to their end before the
    first event, for `Context.history`: a processor whose state was lost learns there what it must not order twice. `screen` is its batch form,
    for one that is worth it; the others are stepped through a batch. A `whole` processor runs in one worker, because its view has to see the
    states of all partitions.

    Redelivery is normal: outputs are delivered first, then the state is written, then the offset is committed, so a step must give the same
    state when it sees an event again.
    """

    name: str
    inputs: tuple[Topic, ...]
    step: StepFunction
    outcomes: frozenset[str]
    drops: frozenset[str] = frozenset()
    key: Callable[[Any], str] | None = None
    state_type: type[BaseModel] | None = None
    view: Callable[[], View] | None = None
    history: tuple[Topic, ...] = ()
    screen: Screen | None = None
    whole: bool = False

    def dump(self, state: BaseModel) -> bytes:
        """Return the state as it is stored."""
        return state.model_dump_json().encode()

    def load(self, data: bytes) -> BaseModel:
        """Return the state that was stored. Raises pydantic.ValidationError when it is not one."""
        if self.state_type is None:
            raise TypeError(f"processor {self.name!r} keeps no state")
        return self.state_type.model_validate_json(data)
