"""The sink as a process: engine, schema, endpoint and sink, from start to SIGTERM."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trueloop.adapters.clickhouse.engine import Engine
from trueloop.adapters.clickhouse.schema import ensure_schema
from trueloop.adapters.metrics.endpoint import serving as serving_metrics
from trueloop.adapters.registry import connect as connect_registry
from trueloop.config import Settings
from trueloop.readiness import announce_ready

ENGINE_DIRECTORY = "clickhouse"

logger = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then write what is held, and close ClickHouse.

    Raises:
        ConfigurationError: When a package is missing, the endpoint's address is no loopback address, the port for metrics is taken, or the schema
            cannot be migrated.
        IntegrityError: When a topic ends before what ClickHouse holds of it.
        UnavailableError: When Kafka or ClickHouse does not answer at the start, or a topic is missing.
    """
    from trueloop.adapters.clickhouse.sink import Sink

    begun = time.monotonic()
    with _engine(settings) as engine:
        logger.info("ClickHouse is open after %.2f s", time.monotonic() - begun)
        sink = Sink(settings.kafka, connect_registry(settings.registry), engine, alone=settings.clickhouse.embedded, on_assigned=announce_ready)
        with serving_metrics(settings, "sink", sink.metrics, sink), _stopping(sink):
            sink.run()


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine]:
    if settings.clickhouse.embedded:
        from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine
        from trueloop.adapters.clickhouse.endpoint import serving

        embedded = EmbeddedEngine(settings.state_dir / ENGINE_DIRECTORY, settings.clickhouse.database)
        try:
            ensure_schema(embedded)
            with serving(embedded, settings.clickhouse):
                yield embedded
        finally:
            embedded.close()
    else:
        from trueloop.adapters.clickhouse.client import connect
        from trueloop.adapters.clickhouse.server_engine import ServerEngine

        server = ServerEngine(connect(settings.clickhouse, database=None), settings.clickhouse.database)
        try:
            ensure_schema(server)
            yield server
        finally:
            server.close()


@contextmanager
def _stopping(sink: Any) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into a stop. Does nothing in a thread, where a test runs the sink: signals belong to the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: sink.stop()) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
