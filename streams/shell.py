"""The shell of every stream app: it reads batches, steps the processor, and makes the effects durable before the offset moves."""

import logging
import os
import traceback
from collections.abc import AsyncIterator
from typing import Any

from trueloop.streams.batch_processor import BatchProcessor, SuspendedError
from trueloop.streams.resources import Resources
from trueloop.streams.state_guard import StateGuard
from trueloop.streams.state_topics import TABLE, changelog_of, group_of, is_whole, state_partitions

from trueloop.adapters.faust_batch import BatchApp, BatchSchema, StateTable, make_batch_app
from trueloop.adapters.faust_batch.assignor import SoleAssignor
from trueloop.adapters.faust_batch.batch import MAX_BATCH_RECORDS, MAX_STEP_RECORDS
from trueloop.adapters.kafka import physical_name
from trueloop.config import Settings
from trueloop.errors import TrueloopError
from trueloop.processors.processor import Processor
from trueloop.topics import PhysicalTopic, Topic

logger = logging.getLogger(__name__)

STATE_BYTES = 8 * 1024 * 1024
"""Largest state of one key, in its changelog."""


def needed_topics(processor: Processor) -> tuple[PhysicalTopic, ...]:
    """Return the topics that have to exist before the app starts: inputs, retries, dead letters, history, and the changelog of its state."""
    found: list[PhysicalTopic] = []
    for topic in processor.inputs:
        found.append(PhysicalTopic(topic.name, topic.partitions, topic.retention_ms, topic.cleanup_policy, topic.max_message_bytes))
        found.append(PhysicalTopic(topic.dead_letters, 1, -1, "delete", topic.max_message_bytes))
        if topic.retried:
            found.append(PhysicalTopic(topic.retry, topic.partitions, 7 * 24 * 3600 * 1000, "delete", topic.max_message_bytes))
    for topic in processor.history:
        found.append(PhysicalTopic(topic.name, topic.partitions, topic.retention_ms, topic.cleanup_policy, topic.max_message_bytes))
    if processor.key is not None:
        found.append(PhysicalTopic(changelog_of(processor), state_partitions(processor), -1, "compact", STATE_BYTES))
    return tuple(found)


def make_app(processor: Processor, settings: Settings, resources: Resources | None = None, instance: str | None = None) -> BatchApp:
    """Return the Faust app of a processor. Opens no connection.

    `instance` is the name of this worker among those of its group, stable over restarts; see `make_batch_app`.
    """
    resources = resources or Resources.of(settings)
    options: dict[str, Any] = {"PartitionAssignor": SoleAssignor} if is_whole(processor) else {}
    records = MAX_BATCH_RECORDS if processor.screen is not None else MAX_STEP_RECORDS
    app = make_batch_app(physical_name(settings.kafka, group_of(processor)), settings.kafka, instance, max_batch_records=records, **options)
    table = None
    if processor.key is not None:
        table = StateTable(app, name=TABLE, partitions=state_partitions(processor), key_type=bytes, value_type=bytes)
        app.tables.add(table)
        StateGuard(processor, resources, app, table)
    batches = BatchProcessor(processor, resources, app, table)
    for topic in processor.inputs:
        _add_agent(app, batches, topic, retried=False)
        if topic.retried:
            _add_agent(app, batches, topic, retried=True)
    return app


def _add_agent(app: BatchApp, batches: BatchProcessor, topic: Topic, *, retried: bool) -> None:
    name = topic.retry if retried else topic.name
    channel = app.topic(physical_name(batches.settings.kafka, name), schema=BatchSchema())

    async def agent(stream: Any) -> AsyncIterator[int]:
        # Exactly one yield per event: Faust's acknowledgement and its test harness count on it. What is committed is decided by
        # batch.complete(), so stopping in the middle of a batch repeats it.
        async for batch in stream:
            try:
                await batches.process(topic, batch, retried=retried)
            except SuspendedError:
                logger.info("%s: offsets from %d of %s[%d] are left for later", app.conf.id, batch.first_offset, name, batch.partition)
            except Exception as error:
                _report(app.conf.id, name, batch, error)
                batches.resources.on_failure()
                raise
            yield len(batch.records)

    app.agent(channel, name=f"{app.conf.id}.{name}")(agent)


def _report(app_id: str, name: str, batch: Any, error: Exception) -> None:
    """Log where it failed. The text of a foreign error may quote an event, so only our own errors are quoted."""
    frames = "; ".join(f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)[-8:])
    text = str(error) if isinstance(error, TrueloopError) else "(its text may quote an event and is withheld)"
    logger.critical(
        "%s stops: %s[%d] offsets %d to %d failed with %s: %s [%s]",
        app_id, name, batch.partition, batch.first_offset, batch.next_offset - 1, type(error).__name__, text, frames,
    )  # fmt: skip
