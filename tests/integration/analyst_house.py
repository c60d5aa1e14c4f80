"""Tables of a real ClickHouse engine as the sink fills them, and the interface at which analysts ask."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.factories import example
from tests.integration.billing_policy import billing_policy
from trueloop.adapters.clickhouse.columns import arrow_column, columns_of
from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine
from trueloop.adapters.clickhouse.endpoint import serving
from trueloop.adapters.clickhouse.schema import ensure_schema
from trueloop.config import ClickHouseSettings, Settings
from trueloop.events import Event, PolicyPublished, RubricPublished
from trueloop.processors.processor import Context
from trueloop.rubrics import Governance, Rubric
from trueloop.topics import Topic, topic_of

STORED_AT = datetime(2026, 11, 2, tzinfo=UTC)


def table_of(topic: Topic, events: Sequence[Event]) -> pa.Table:
    """Return events as the rows that the sink makes of them."""
    records = [event.model_dump() for event in events]
    columns = {column.name: arrow_column(column, [record[column.name] for record in records]) for column in columns_of(topic)}
    columns |= {"_topic": pa.array([topic.name] * len(events)), "_partition": pa.array([0] * len(events), pa.int32())}
    columns |= {"_offset": pa.array(range(len(events)), pa.int64()), "_timestamp": pa.array([STORED_AT] * len(events), pa.timestamp("ms", "UTC"))}
    return pa.table(columns)


def governed(dimensions: Sequence[Mapping[str, Any]], since: datetime) -> Context:
    """Return what a processor knows of the billing application, whose rubric has these dimensions, once its policy is in force."""
    rubric = Rubric.model_validate({"id": "billing", "version": 2, "title": "Billing", "statement": "Answer well.", "dimensions": dimensions})
    gate = {"dimensions": [{"dimension": "tone", "evaluator": "check:tone"}]}
    policy = billing_policy(gate, id="billing-policy", rubric={"id": rubric.id, "version": rubric.version})
    rubrics = [example(RubricPublished, rubric_id=rubric.id, version=rubric.version, document=rubric.model_dump_json())]
    return Context(Governance(rubrics, [example(PolicyPublished, occurred_at=since, document=policy.model_dump_json())]))


@contextmanager
def filled(directory: Path, tables: Mapping[Topic, Sequence[Event]]) -> Iterator[EmbeddedEngine]:
    """Give an engine whose tables hold these events."""
    engine = EmbeddedEngine(directory, "trueloop")
    try:
        ensure_schema(engine)
        for topic, events in tables.items():
            assert {topic_of(event) for event in events} == {topic}
            engine.insert(topic.table, table_of(topic, events), f"token-{topic.name}")
        yield engine
    finally:
        engine.close()


@contextmanager
def asked(engine: EmbeddedEngine) -> Iterator[Settings]:
    """Give the settings with which the engine is asked over HTTP."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = Settings(clickhouse=ClickHouseSettings(url=f"http://127.0.0.1:{port}"))
    with serving(engine, settings.clickhouse):
        yield settings
