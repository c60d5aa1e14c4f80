"""A process that runs one stream app or several."""

import asyncio
import logging
import signal
from collections.abc import Sequence

from trueloop.streams.app_standing import AppStanding
from trueloop.streams.catalog import NAMES, processors
from trueloop.streams.counters import Counters
from trueloop.streams.garbage import spare_what_stays
from trueloop.streams.heap import keep_freed_memory
from trueloop.streams.resources import Resources
from trueloop.streams.shell import make_app, needed_topics

from trueloop.adapters.faust_batch import BatchApp
from trueloop.adapters.kafka_admin import ensure_topics
from trueloop.adapters.metrics.endpoint import serving
from trueloop.config import Settings
from trueloop.processors.processor import Processor
from trueloop.readiness import announce_ready

logger = logging.getLogger(__name__)

COUNTERS_EVERY_S = 30.0


def run(names: Sequence[str], settings: Settings, instance: str | None = None) -> int:
    """Run the named workers until SIGTERM or SIGINT; return the exit code: 0 after a clean stop, 1 when an app failed.

    `instance` is the name of this process among those that run the same workers, stable over restarts (a pod's ordinal, "local"): a worker
    that was killed then goes on at once. Without it any number may run, and a killed one's partitions move after 10 s.
    Raises ConfigurationError for unknown names, topics with wrong partitions and a port for metrics that is taken, UnavailableError when no
    broker answers.
    """
    return run_processors(processors(names), settings, instance)


def run_processors(chosen: Sequence[Processor], settings: Settings, instance: str | None = None) -> int:
    """Run processors as `run` does."""
    keep_freed_memory()
    resources = Resources.of(settings)
    standing = AppStanding(settings.kafka)
    with serving(settings, _name(chosen), resources.counters, standing):
        needed = {topic.name: topic for processor in chosen for topic in needed_topics(processor)}
        ensure_topics(settings.kafka, needed.values())
        try:
            return asyncio.run(_run(chosen, resources, instance, standing))
        finally:
            resources.governance.close()
            _tell(resources.counters)


def _name(chosen: Sequence[Processor]) -> str:
    names = [processor.name for processor in chosen]
    return "streams" if set(names) == set(NAMES) else "+".join(names)


async def _run(chosen: Sequence[Processor], resources: Resources, instance: str | None, standing: AppStanding) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    apps = [make_app(processor, resources.settings, resources, instance and f"{instance}-{processor.name}") for processor in chosen]
    try:
        await asyncio.gather(*(app.maybe_start() for app in apps))
        standing.watch([(processor.name, app) for processor, app in zip(chosen, apps, strict=True)])
        await asyncio.gather(*(_recovered(app) for app in apps))
        spare_what_stays()
        if not stop.is_set():
            announce_ready()
            logger.info("ready: %s", ", ".join(processor.name for processor in chosen))
        await _until_over(apps, stop, resources.counters)
    finally:
        standing.watch(())
        crashed = [app for app in apps if app.crashed]
        await asyncio.gather(*(app.stop() for app in apps), return_exceptions=True)
    return 1 if crashed else 0


async def _recovered(app: BatchApp) -> None:
    """Wait until the app has its partitions and their state."""
    await app.tables.recovery.wait_for_stopped(app.tables.recovery.completed)


async def _until_over(apps: Sequence[BatchApp], stop: asyncio.Event, counters: Counters) -> None:
    endings = {asyncio.ensure_future(stop.wait()), *(asyncio.ensure_future(app.wait()) for app in apps)}
    try:
        while not (await asyncio.wait(endings, timeout=COUNTERS_EVERY_S, return_when=asyncio.FIRST_COMPLETED))[0]:
            _tell(counters)
    finally:
        for ending in endings:
            ending.cancel()


def _tell(counters: Counters) -> None:
    news = counters.news()
    if news is not None:
        logger.info("records by processor, topic and outcome: %s", news)
