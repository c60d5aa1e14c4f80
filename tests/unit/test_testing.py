"""The harness for processors finds the faults that it is there to find."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, PrivateAttr

from tests.factories import example
from trueloop import topics
from trueloop.errors import DecodeError, UnknownSchemaError
from trueloop.events import Appeal, Event, Trace
from trueloop.processors.processor import Context, Processor, Source, Step, View
from trueloop.rejection import Rejection, RejectReason
from trueloop.rubrics import Governance
from trueloop.testing import Clock, MemoryRegistry, ProcessorDriver

CONTEXT = Context(Governance())


class Count(BaseModel):
    n: int = 0
    _hidden: int = PrivateAttr(default=0)


class Sum(View):
    def __init__(self) -> None:
        self.n = 0

    def fold(self, key: str, old: Count | None, new: Count | None) -> None:
        self.n += (new.n if new else 0) - (old.n if old else 0)

    def summarise(self, touched: Collection[str], *, now: datetime, context: Context) -> tuple[Event, ...]:
        return (example(Appeal, event_id=f"sum-{self.n}", occurred_at=now),)


def processor(step: Any, **changes: Any) -> Processor:
    values = {"inputs": (topics.TRACES,), "outcomes": frozenset({"ok"}), "key": lambda e: e.trace_id, "state_type": Count, "view": Sum}
    return Processor("test", step=step, **(values | changes))


def counting(state: Count | None, event: Trace, **_: Any) -> Step[Count]:
    return Step(state=Count(n=(state.n if state else 0) + 1), outcome="ok", touched=("sum",))


def test_state_and_view_survive_a_restart_and_a_replay_shows_what_is_not_idempotent() -> None:
    driver = ProcessorDriver(processor(counting), CONTEXT, Clock(datetime(2026, 1, 1, tzinfo=UTC)))
    driver.send(example(Trace, trace_id="a"))
    driver.send(example(Trace, trace_id="b"))
    driver.restart()
    assert [event.event_id for event in driver.out] == ["sum-1", "sum-2"]
    assert [event.event_id for event in driver.replay()] == ["sum-3", "sum-4"]
    assert driver.state("a") == Count(n=2)
    assert driver.keys == ("a", "b")


def test_a_batch_makes_summaries_once() -> None:
    driver = ProcessorDriver(processor(counting), CONTEXT)
    with driver.batch():
        for _ in range(3):
            driver.send(example(Trace))
        assert driver.out == []
    assert [event.event_id for event in driver.out_of(topics.APPEALS)] == ["sum-3"]


def test_retries_come_again_for_the_last_time_from_their_first_place() -> None:
    seen: list[tuple[bool, Source]] = []

    def step(state: Count | None, event: Trace, *, final: bool, source: Source, **_: Any) -> Step[Count]:
        seen.append((final, source))
        return Step(outcome="ok", retry=not final, rejection=Rejection(RejectReason.UNKNOWN_TASK, "late") if final else None)

    driver = ProcessorDriver(processor(step), CONTEXT)
    driver.send(example(Trace), source=Source("traces", 3, 77))
    driver.retry()
    assert seen == [(False, Source("traces", 3, 77)), (True, Source("traces", 3, 77))]
    assert [rejection.reason for _, rejection in driver.rejected] == [RejectReason.UNKNOWN_TASK]
    assert driver.retried == []


BROKEN = {
    "declares outcomes": (lambda *_, **__: Step(outcome="other"), {}),
    "last time": (lambda *_, **__: Step(outcome="ok", retry=True), {}),
    "cannot keep state": (lambda *_, **__: Step(outcome="ok", state=Count()), {"key": None}),
    "has no view": (lambda *_, **__: Step(outcome="ok", touched=("x",)), {"view": None}),
    "reads": (counting, {"inputs": (topics.LABELS,)}),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_contract_is_named(message: str) -> None:
    step, changes = BROKEN[message]
    with pytest.raises(AssertionError, match=message):
        ProcessorDriver(processor(step, **changes), CONTEXT).send(example(Trace), final=True)


def test_state_that_storage_would_change_is_found() -> None:
    def step(state: Count | None, event: Trace, **_: Any) -> Step[Count]:
        changed = Count(n=1)
        changed._hidden = 5
        return Step(state=changed, outcome="ok")

    with pytest.raises(AssertionError, match="changes when it is stored"):
        ProcessorDriver(processor(step), CONTEXT).send(example(Trace))


def test_an_output_that_is_no_valid_event_is_found() -> None:
    def step(state: Count | None, event: Trace, **_: Any) -> Step[Count]:
        return Step(outcome="ok", out=(example(Appeal).model_copy(update={"event_id": ""}),))

    with pytest.raises(DecodeError, match="event_id"):
        ProcessorDriver(processor(step), CONTEXT).send(example(Trace))


def test_the_memory_registry_answers_like_a_registry() -> None:
    registry = MemoryRegistry()
    assert [registry.register("a-value", "x"), registry.register("b-value", "y"), registry.register("c-value", "x")] == [1, 2, 1]
    assert registry.schema(2) == "y"
    with pytest.raises(UnknownSchemaError):
        registry.schema(3)
