"""Our stream worker. Mode `identity` completes batches; `sampling` draws and makes tasks; `full` also tells the drift of the scores."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from meter import TOPIC, Meter
from trueloop.streams.garbage import spare_what_stays
from trueloop.streams.heap import keep_freed_memory
from trueloop.streams.resources import Resources
from trueloop.streams.shell import make_app

from trueloop.adapters.faust_batch import BatchSchema, make_batch_app
from trueloop.adapters.faust_batch.batch import Batch
from trueloop.config import load_settings
from trueloop.processors.processor import Screened
from trueloop.processors.sampling import PROCESSOR, SCREEN, screen
from trueloop.sampling.rows import TraceRows

METER = Meter()


def app_of(mode: str) -> Any:
    """Return the app of a mode."""
    settings = load_settings()
    if mode == "identity":
        app = make_batch_app("bench-identity", settings.kafka)
        app.agent(app.topic(TOPIC, schema=BatchSchema()), name="identity")(identity)
        return app
    run = _drawn_only if mode == "sampling" else screen
    return make_app(replace(PROCESSOR, screen=replace(SCREEN, run=run)), settings, Resources.of(settings))


async def identity(stream: Any) -> AsyncIterator[int]:
    """Complete each batch."""
    async for batch in stream:
        batch.complete()
        yield len(batch.records)


def _drawn_only(rows: TraceRows, **more: Any) -> Screened:
    return screen(replace(rows, scores={}), **more)


async def main(mode: str) -> None:
    """Run until enough was completed."""
    over = asyncio.Event()
    complete = Batch.complete

    def counted(batch: Batch) -> None:
        complete(batch)
        if METER.add(len(batch.records)) and not over.is_set():
            METER.tell()
            over.set()

    Batch.complete = counted  # type: ignore[method-assign]
    keep_freed_memory()  # as every worker does, see trueloop.streams.worker
    app = app_of(mode)
    await app.maybe_start()
    spare_what_stays()  # and so is this
    await over.wait()
    await app.stop()


logging.basicConfig(level=logging.WARNING)
asyncio.run(main(sys.argv[1]))
