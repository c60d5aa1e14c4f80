"""What every processor is: a pure step from state and event to state and events. Shells in `trueloop.streams` move the bytes."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

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


@dataclass(frozen=True, slots=True)
class Context:
    """What a processor may look at besides state and event: the documents in force, the blinding key, and what the worker found in the
    processor's `history` topics when it started."""

    governance: Governance
    blinding_key: str = ""
    history: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Step(Generic[S]):
    """What became of one event.

    `state` replaces the state under the event's key (None deletes it). `out` are derived events. `outcome` is the counter that the event
    falls under: every event falls under exactly one. A `rejection` sends the event to dead-letters; `retry` puts it on the topic's retry
    topic, to be seen once more after a grace. `touched` names summaries to be made anew when the batch ends.
    """

    state: S | None = None
    out: tuple[Event, ...] = ()
    outcome: str = "processed"
    rejection: Rejection | None = None
    retry: bool = False
    touched: tuple[str, ...] = ()


class View:
    """A summary over many states of one partition, kept in memory and rebuilt from them: never stored, so it can never be half-written."""

    def fold(self, key: str, old: Any, new: Any) -> None:
        """Replace what `old` contributed under `key` (None: nothing) by what `new` contributes (None: nothing)."""
        raise TypeError(f"{type(self).__name__} must define fold")

    def summarise(self, touched: Collection[str], *, now: datetime, context: Context) -> tuple[Event, ...]:
        """Return the events that tell what the touched summaries are now."""
        raise TypeError(f"{type(self).__name__} must define summarise")


StepFunction = Callable[..., Step[Any]]
"""`step(state, event, *, source, now, final, context) -> Step`; `final` is true when a retried event is seen for the last time."""


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor: what it reads, how it keys its state, and its step.

    `key` gives the key of the state that an event meets; None keeps no state. `history` names topics that are read to their end before the
    first event, for `Context.history`: a processor whose state was lost learns there what it must not order twice.

    Redelivery is normal: outputs are delivered first, then the state is written, then the offset is committed, so a step must give the same
    state when it sees an event again.
    """

    name: str
    inputs: tuple[Topic, ...]
    step: StepFunction
    outcomes: frozenset[str]
    key: Callable[[Any], str] | None = None
    state_type: type[BaseModel] | None = None
    view: Callable[[], View] | None = None
    history: tuple[Topic, ...] = ()

    def dump(self, state: BaseModel) -> bytes:
        """Return the state as it is stored."""
        return state.model_dump_json().encode()

    def load(self, data: bytes) -> BaseModel:
        """Return the state that was stored. Raises pydantic.ValidationError when it is not one."""
        if self.state_type is None:
            raise TypeError(f"processor {self.name!r} keeps no state")
        return self.state_type.model_validate_json(data)
