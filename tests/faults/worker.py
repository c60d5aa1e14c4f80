"""`python -m tests.faults.worker streams|sink ...`: a worker that fails at a chosen place, by a subclass or a wrapper of the part in question.

streams --die outputs-half | outputs-state | state-commit | complete-commit   --after N: at the Nth time that it gets there
sink    --die during-insert | insert-commit | letters-insert
streams --delivery-timeout S   gives up deliveries after S seconds instead of a minute
sink    --away FILE            ClickHouse does not answer while FILE is there
sink    --lose-answers N       N inserts succeed, and ClickHouse is said not to have answered; so they are tried again
"""

import argparse
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trueloop.embedded.stack import PROCESSORS
from trueloop.errors import UnavailableError


def die() -> None:
    """End as kill -9 ends a process."""
    os.kill(os.getpid(), signal.SIGKILL)


class Countdown:
    """Says yes at the Nth question."""

    def __init__(self, after: int) -> None:
        self._left = after

    def over(self) -> bool:
        self._left -= 1
        return self._left == 0


def streams_that_die(seam: str, countdown: Countdown) -> None:
    """Die in the middle of the outputs, between outputs and state, between state and commit, or when a batch is complete and not committed."""
    from trueloop.adapters.delivery import Delivery
    from trueloop.adapters.faust_batch.batch import Batch

    send, complete = Delivery.send, Batch.complete

    async def dying_send(self: Delivery, records: Sequence[Any]) -> None:
        is_state = bool(records) and records[0].topic.endswith("-changelog")
        if seam == "outputs-half" and not is_state and len(records) > 1 and countdown.over():
            await send(self, records[: len(records) // 2])
            die()
        if seam == "outputs-state" and is_state and countdown.over():
            die()
        await send(self, records)
        if seam == "state-commit" and is_state and countdown.over():
            die()

    def dying_complete(self: Batch) -> None:
        complete(self)
        if countdown.over():
            die()

    Delivery.send = dying_send  # type: ignore[method-assign]
    if seam == "complete-commit":
        Batch.complete = dying_complete  # type: ignore[method-assign]


def impatient_streams(timeout_s: float) -> None:
    """Give up deliveries sooner."""
    from trueloop.adapters.delivery import Delivery

    begin = Delivery.__init__

    def impatient(self: Delivery, kafka: Any) -> None:
        begin(self, kafka, timeout_s)

    Delivery.__init__ = impatient  # type: ignore[assignment, method-assign]


def wrap_insert(around: Callable[[Callable[[], None]], None]) -> None:
    """Put something around every insert."""
    from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine

    insert = EmbeddedEngine.insert

    def wrapped(self: EmbeddedEngine, *arguments: Any) -> None:
        around(lambda: insert(self, *arguments))

    EmbeddedEngine.insert = wrapped  # type: ignore[method-assign]


def sink_that_dies(seam: str, countdown: Countdown) -> None:
    """Die while ClickHouse inserts, between insert and commit, or between the dead letters of a batch and its insert."""

    def around(insert: Callable[[], None]) -> None:
        at_last = seam != "letters-insert" and countdown.over()
        if at_last and seam == "during-insert":
            threading.Timer(random.uniform(0.0, 0.004), die).start()
        insert()
        if at_last:
            die()

    wrap_insert(around)
    if seam == "letters-insert":
        import importlib

        dead_letter_sender = importlib.import_module("trueloop.adapters.clickhouse.dead_letter_sender")

        class DyingProducer(dead_letter_sender.Producer):  # type: ignore[misc]
            def flush(self, *arguments: Any) -> int:
                left = super().flush(*arguments)
                if countdown.over():
                    die()
                return int(left)

        dead_letter_sender.Producer = DyingProducer  # type: ignore[misc]


def clickhouse_away(file: Path) -> None:
    """Answer nothing while the file is there."""
    from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine

    def while_there(method: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(self: EmbeddedEngine, *arguments: Any) -> Any:
            if file.exists():
                raise UnavailableError("ClickHouse does not answer: the test says so")
            return method(self, *arguments)

        return guarded

    for name in ("insert", "execute", "rows"):
        setattr(EmbeddedEngine, name, while_there(getattr(EmbeddedEngine, name)))


def lost_answers(count: int) -> None:
    """Insert, and say that it is not known whether; what is tried again is answered."""
    left, again = count, False

    def around(insert: Callable[[], None]) -> None:
        nonlocal left, again
        insert()
        again = not again and left > 0
        if again:
            left -= 1
            raise UnavailableError("the answer to an insert was lost: the test says so")

    wrap_insert(around)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("streams", "sink"))
    parser.add_argument("--die")
    parser.add_argument("--after", type=int, default=1)
    parser.add_argument("--delivery-timeout", type=float)
    parser.add_argument("--away", type=Path)
    parser.add_argument("--lose-answers", type=int)
    options = parser.parse_args()
    if options.die:
        (streams_that_die if options.role == "streams" else sink_that_dies)(options.die, Countdown(options.after))
    if options.delivery_timeout:
        impatient_streams(options.delivery_timeout)
    if options.away:
        clickhouse_away(options.away)
    if options.lose_answers:
        lost_answers(options.lose_answers)
    from trueloop.cli import main as trueloop

    sys.argv = ["trueloop", "worker", *(PROCESSORS if options.role == "streams" else ("sink",)), "--instance", "local"]
    trueloop()


if __name__ == "__main__":
    main()
