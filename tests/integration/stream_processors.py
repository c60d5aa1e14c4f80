"""Processors for the tests of the stream engine, and a worker that runs them: python -m tests.integration.stream_processors NAME [INSTANCE]."""

import logging
import sys
from collections.abc import Collection
from datetime import datetime
from typing import Any

from pydantic import BaseModel, field_serializer
from trueloop.streams.worker import run_processors

from trueloop import topics
from trueloop.config import load_settings
from trueloop.events import Appeal, DriftObservations, Event, Label, Trace
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Processor, Source, Step, View
from trueloop.rejection import Rejection, RejectReason


class Seen(BaseModel):
    """Event ids that arrived under a key: idempotent."""

    ids: frozenset[str] = frozenset()

    @field_serializer("ids")
    def _in_order(self, ids: frozenset[str]) -> list[str]:
        return sorted(ids)


def _derived(trace: Trace) -> Appeal:
    return Appeal(event_id=derive_id("derived", trace.event_id), occurred_at=trace.occurred_at, application=trace.application, trace_id=trace.trace_id)


def _count(state: Seen | None, event: Trace, *, source: Source, **_: Any) -> Step[Seen]:
    if event.error == "refuse":
        return Step(state=state, outcome="refused", rejection=Rejection(RejectReason.UNKNOWN_CANDIDATE, f"trace {event.trace_id!r} is to be refused"))
    if event.error == "explode":
        raise RuntimeError(f"a text that must not be logged: {event.completion}")
    return Step(
        state=Seen(ids=(state.ids if state else frozenset()) | {event.event_id}),
        out=(_derived(event),),
        outcome="counted",
        touched=(f"partition-{source.partition}",),
    )


class Total(View):
    """Tells how many ids the states of this partition hold."""

    def __init__(self) -> None:
        self.total = 0

    def fold(self, key: str, old: Seen | None, new: Seen | None) -> None:
        self.total += len(new.ids if new else ()) - len(old.ids if old else ())

    def summarise(self, touched: Collection[str], *, now: datetime, context: Context) -> tuple[Event, ...]:
        (name,) = touched
        total = str(self.total)
        event = DriftObservations(
            event_id=derive_id(name, total),
            occurred_at=now,
            application="test",
            series_id=name,
            metric="total",
            slice="all",
            losses=bytes(8),
            marks=self.total.to_bytes(8, "little"),
        )
        return (event,)


def _late(state: Seen | None, event: Event, *, final: bool, **_: Any) -> Step[Seen]:
    if not isinstance(event, Label):
        return Step(state=Seen(), outcome="task")
    if state is None:
        if not final:
            return Step(outcome="retried", retry=True)
        return Step(outcome="refused", rejection=Rejection(RejectReason.UNKNOWN_TASK, f"no task {event.task_id!r}"))
    return Step(state=Seen(ids=state.ids | {event.event_id}), outcome="label")


def _governed(_state: None, event: Trace, *, context: Context, **_: Any) -> Step[Seen]:
    if context.governance.in_force(event.application, event.occurred_at) is None:
        return Step(outcome="no_policy")
    return Step(out=(_derived(event),), outcome="governed")


def _joined(state: Seen | None, event: Event, **_: Any) -> Step[Seen]:
    return Step(state=Seen(ids=(state.ids if state else frozenset()) | {event.event_id}), outcome="joined")


def _recalling(_state: None, event: Trace, *, context: Context, **_: Any) -> Step[Seen]:
    derived = _derived(event)
    known = {past.event_id for past in context.history}
    return Step(outcome="known") if derived.event_id in known else Step(out=(derived,), outcome="new")


PROCESSORS = {
    "count": Processor(
        "count", (topics.TRACES,), _count, frozenset({"counted", "refused"}), key=lambda e: e.slices.get("key", "none"), state_type=Seen, view=Total
    ),
    "late": Processor(
        "late", (topics.REVIEW_QUEUE, topics.LABELS), _late, frozenset({"task", "label", "retried", "refused"}), key=lambda e: e.task_id, state_type=Seen
    ),
    "governed": Processor("governed", (topics.TRACES,), _governed, frozenset({"no_policy", "governed"})),
    "recalling": Processor("recalling", (topics.TRACES,), _recalling, frozenset({"known", "new"}), history=(topics.APPEALS,)),
    "joined": Processor("joined", (topics.TRACES, topics.RELEASES), _joined, frozenset({"joined"}), key=lambda _: "all", state_type=Seen),
}

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    sys.exit(run_processors([PROCESSORS[sys.argv[1]]], load_settings(), *sys.argv[2:]))
