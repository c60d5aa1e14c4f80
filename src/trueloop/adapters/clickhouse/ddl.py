"""The tables: one per topic and one for all dead letters, written from the Avro schemas.

`python -m trueloop.adapters.clickhouse.ddl ops/clickhouse` writes the files for operators of a server; a contract test compares them.
"""

import sys
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

from trueloop import topics
from trueloop.adapters.clickhouse.columns import Column, columns_of
from trueloop.topics import Topic

TABLE_SETTINGS = {
    # Inserts whose tokens a table remembers, so that a repeated insert is dropped: far more than are ever in flight.
    "non_replicated_deduplication_window": "1000",
    # Bytes from which a part has a file per column. The columns are many and an insert is small: with a file for each, inserting and merging
    # traces takes twice the CPU. In one file, up to this size, a query over one column still reads little else.
    "min_bytes_for_wide_part": str(128 * 1024**2),
}
"""Settings of every table that holds records."""

DEAD_LETTERS = "dead_letters"
POSITIONS = "_positions"
SCHEMA = "_schema"

IDENTITY = ("application", "event_id")
"""What makes two rows the same event. Ids are unique within an application, for each application makes its own."""

_COMPACTED: dict[str, tuple[str, ...]] = {
    "reviewers": ("application", "reviewer_id"),
    "calibration": ("item_id",),
    "review-quotas": ("quota_id",),
    "slice-disagreements": ("disagreement_id",),
    "dataset-versions": ("name", "version"),
    "rubrics": ("rubric_id", "version"),
    "policies": ("policy_id", "version"),
}
"""Columns of the record key of compacted topics: like the topic, the table keeps the newest event per key. `releases` is left out: the
broker forgets what served before, the table is where that history is kept."""

ORIGIN = (
    Column("_topic", "LowCardinality(String)", None, "Topic that the record was read from, as the registry names it."),
    Column("_partition", "Int32", None, "Its partition."),
    Column("_offset", "Int64", None, "Its offset. The sink continues after the largest one."),
    Column("_timestamp", "DateTime64(3, 'UTC')", None, "Timestamp of the Kafka record: when it was produced."),
)
"""Where a row came from; every table has these columns after its own."""

DEAD_LETTER_COLUMNS = (
    Column("topic", "LowCardinality(String)", None, "Topic of the refused record, as the registry names it."),
    Column("partition", "Nullable(Int32)", None, "Its partition; null when the dead letter does not say."),
    Column("offset", "Nullable(Int64)", None, "Its offset; null when the dead letter does not say."),
    Column("error_class", "LowCardinality(String)", None, "Class of the error, a RejectReason; UNKNOWN when the dead letter does not say."),
    Column("message", "String", None, "What was wrong, without any of the payload."),
    Column("attempt", "Int32", None, "Attempts made, >= 1."),
    Column("consumer", "LowCardinality(String)", None, "The worker that refused it."),
    Column("first_failed_at", "Nullable(DateTime64(6, 'UTC'))", None, "When it was refused first, UTC; null when the dead letter does not say."),
    Column("payload_bytes", "Int64", None, "Size of the payload, bytes. The payload itself stays in Kafka."),
)


def order_by(topic: Topic) -> tuple[str, ...]:
    """Return the columns by which rows of a topic's table are the same and the newest one counts."""
    return _COMPACTED.get(topic.name, IDENTITY)


def table_columns(topic: Topic) -> tuple[Column, ...]:
    """Return every column of a topic's table."""
    return columns_of(topic) + ORIGIN


def all_tables() -> dict[str, tuple[Column, ...]]:
    """Return the columns of every table that holds records, by table."""
    return {topic.table: table_columns(topic) for topic in topics.ALL} | {DEAD_LETTERS: DEAD_LETTER_COLUMNS + ORIGIN}


def create_table(topic: Topic) -> str:
    """Return the statement that creates a topic's table."""
    doc = " ".join((topic.event.__doc__ or "").split())
    return _create(topic.table, table_columns(topic), order_by(topic), doc)


def create_statements() -> dict[str, str]:
    """Return the statement that creates each table, by table."""
    statements = {topic.table: create_table(topic) for topic in topics.ALL}
    statements[DEAD_LETTERS] = _create(
        DEAD_LETTERS,
        DEAD_LETTER_COLUMNS + ORIGIN,
        ("_topic", "_partition", "_offset"),
        "Records that could not be processed, of all topics. Use v_dead_letters.",
    )
    statements[POSITIONS] = (
        f"CREATE TABLE IF NOT EXISTS {POSITIONS}\n(\n    _topic LowCardinality(String),\n    _partition Int32,\n    _offset Int64\n)\n"
        f"ENGINE = ReplacingMergeTree(_offset)\nORDER BY (_topic, _partition)\n"
        f"COMMENT 'How far partitions are dealt with, also where the newest records became no row. With the tables it tells where the sink continues.'"
    )
    statements[SCHEMA] = (
        f"CREATE TABLE IF NOT EXISTS {SCHEMA}\n(\n    hash String,\n    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)\n)\n"
        f"ENGINE = ReplacingMergeTree(applied_at)\nORDER BY tuple()\nCOMMENT 'Hash of the tables and views that were created last.'"
    )
    return statements


def views() -> dict[str, str]:
    """Return the statement that creates each view, by view. Views may read views that come before them."""
    folder = files(__package__) / "views"
    found = {Path(entry.name).stem: entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith(".sql")}
    return dict(sorted(found.items()))


def _create(table: str, columns: Iterable[Column], order: Iterable[str], comment: str) -> str:
    lines = ",\n".join(f"    `{column.name}` {column.type} COMMENT {quote(column.comment)}" for column in columns)
    return (
        f"CREATE TABLE IF NOT EXISTS {table}\n(\n{lines}\n)\nENGINE = ReplacingMergeTree(_offset)\nORDER BY ({', '.join(order)})\n"
        f"SETTINGS {', '.join(f'{name} = {value}' for name, value in TABLE_SETTINGS.items())}\n"
        f"COMMENT {quote(comment)}"
    )


def quote(text: str) -> str:
    """Return text as a ClickHouse string literal.

    >>> quote("it's")
    "'it\\\\'s'"
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def operator_files() -> Iterator[tuple[str, str]]:
    """Yield path (below ops/clickhouse) and content of each file for operators of a server."""
    for table, statement in create_statements().items():
        yield f"tables/{table}.sql", statement + ";\n"
    for view, statement in views().items():
        yield f"views/{view}.sql", statement


def main(folder: Path) -> None:
    """Write the files for operators below `folder`."""
    for path, content in operator_files():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
