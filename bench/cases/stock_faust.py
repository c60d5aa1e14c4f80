"""Faust as it comes: one event at a time.

Mode `identity` does nothing with the bytes; `full` does what our worker does with a trace: decodes it, draws, makes and sends the task of what was
drawn, and tells the drift of the scores, gathered over 500 traces as a user who knows Faust's price of a message would.
"""

import io
import json
import sys
import time
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import fastavro
import faust
import numpy as np
from meter import BOOTSTRAP, HEADER, RATE, SCHEMA, TOPIC, Meter
from rule import drawn

from trueloop.adapters.governance_store import GovernanceStore
from trueloop.adapters.registry import connect
from trueloop.codec import Codec
from trueloop.config import load_settings
from trueloop.drift.observations import Losses, mark_of, observations
from trueloop.drift.series import DriftSeries, drift_series
from trueloop.events import Event, SamplingReason, Trace
from trueloop.processors.processor import Context, Source
from trueloop.processors.sampling import finish
from trueloop.sampling.inclusion import Inclusion
from trueloop.topics import TRACES, topic_of

GATHERED = 500
METER = Meter()


class Gathering:
    """The losses of some traces, by series."""

    def __init__(self) -> None:
        self._items: defaultdict[DriftSeries, list[tuple[float, str]]] = defaultdict(list)
        self._newest: datetime | None = None
        self.size = 0

    def add(self, record: dict[str, Any]) -> None:
        """Take the losses of a trace."""
        self.size += 1
        self._newest = record["occurred_at"]
        for name, score in record["scores"].items():
            for series in drift_series(record["application"], f"score:{name}", record["slices"], ("locale",)):
                self._items[series].append((1.0 - score, record["trace_id"]))

    def events(self, application: str) -> list[Event]:
        """Return an event per series, and start anew."""
        found: list[Event] = []
        for series, items in self._items.items():
            losses = Losses(
                np.array([loss for loss, _ in items]), np.array([mark_of(trace_id) for _, trace_id in items]), np.full(len(items), -1),
                lambda place, items=items: items[place][1],
            )  # fmt: skip
            found.append(observations(series, application, self._newest or datetime.now(UTC), losses, ()))
        self.__init__()  # type: ignore[misc]
        return found


DRAWN = Inclusion(RATE, "all", SamplingReason.UNIFORM)


def make(mode: str) -> faust.App:
    """Return the app."""
    app = faust.App(
        f"bench-{uuid.uuid4().hex}", broker=f"kafka://{BOOTSTRAP}", store="memory://", web_enabled=False, topic_disable_leader=True,
        consumer_auto_offset_reset="earliest", autodiscover=False, topic_allow_declare=False,
    )  # fmt: skip
    source = app.topic(TOPIC, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
    app.agent(source)(identity if mode == "identity" else Full(app).agent)
    return app


async def identity(stream: Any) -> None:
    """Count."""
    async for _ in stream:
        if METER.add(1):
            METER.end()


class Full:
    """The whole path of a trace."""

    def __init__(self, app: faust.App) -> None:
        self._app = app
        settings = load_settings()
        self._codec: Codec = connect(settings.registry)
        self._context = Context(GovernanceStore(settings.kafka, self._codec).fresh(time.monotonic()), "key")
        with open(SCHEMA) as file:
            self._schema = fastavro.parse_schema(json.load(file))

    async def agent(self, stream: Any) -> None:
        """Read."""
        gathering = Gathering()
        async for value in stream:
            buffer = io.BytesIO(value)
            buffer.seek(HEADER)
            record = fastavro.schemaless_reader(buffer, self._schema, None)
            gathering.add(record)
            if record["error"] is None and drawn(record["trace_id"]):
                trace = self._codec.decode(TRACES, value)
                assert isinstance(trace, Trace)
                step = finish(None, trace, source=Source(TOPIC, 0, 0), now=datetime.now(UTC), final=False, context=self._context, drawn=DRAWN)
                await self._send(step.out)
            if gathering.size >= GATHERED:
                await self._send(gathering.events(record["application"]))
            if METER.add(1):
                METER.end()

    async def _send(self, events: Any) -> None:
        for event in events:
            topic = topic_of(event)
            await self._app.send(
                self._app.topic(topic.name, value_serializer="raw", key_serializer="raw"), topic.key(event).encode(), self._codec.encode(topic, event)
            )


if __name__ == "__main__":
    sys.argv, chosen = [sys.argv[0], "worker", "-l", "warn", "--without-web"], sys.argv[1]
    make(chosen).main()
