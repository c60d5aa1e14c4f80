"""Brings tables and views of a database up to date. Doing it again changes nothing."""

import hashlib
import logging

from trueloop.adapters.clickhouse import ddl
from trueloop.adapters.clickhouse.ddl import quote
from trueloop.adapters.clickhouse.engine import ClickHouseError, Engine
from trueloop.errors import ConfigurationError

logger = logging.getLogger(__name__)


def schema_hash() -> str:
    """Return what changes with any table or view."""
    text = "\0".join((*ddl.create_statements().values(), *ddl.views().values()))
    return hashlib.sha256(text.encode()).hexdigest()


def ensure_schema(engine: Engine) -> bool:
    """Create missing tables and views, add missing columns, renew changed views; return whether there was anything to do.

    Raises ConfigurationError when a column has another type than expected and ClickHouse cannot change it.
    """
    wanted = schema_hash()
    if engine.rows(f"EXISTS TABLE {ddl.SCHEMA}")[0][0] and [[wanted]] == engine.rows(f"SELECT hash FROM {ddl.SCHEMA} FINAL"):  # noqa: S608 - a name of our own
        return False
    for statement in ddl.create_statements().values():
        engine.execute(statement)
    _migrate(engine)
    _migrate_settings(engine)
    for statement in ddl.views().values():
        engine.execute(statement.rstrip().rstrip(";"))
    engine.execute(f"INSERT INTO {ddl.SCHEMA} (hash) VALUES ({quote(wanted)})")  # noqa: S608 - a hash
    return True


def _migrate(engine: Engine) -> None:
    """Give tables of an older version the columns of this one. A column that this version lacks stays, with what it holds."""
    present: dict[str, dict[str, str]] = {}
    for table, name, column_type in engine.rows("SELECT table, name, type FROM system.columns WHERE database = currentDatabase()"):
        present.setdefault(table, {})[name] = column_type
    for table, columns in ddl.all_tables().items():
        there = present[table]
        for column in columns:
            # ClickHouse quotes members of a tuple that are named like keywords.
            found = there.get(column.name, "").replace("`", "")
            change = "ADD COLUMN IF NOT EXISTS" if column.name not in there else "MODIFY COLUMN"
            if found != column.type:
                _alter(engine, f"ALTER TABLE {table} {change} `{column.name}` {column.type} COMMENT {quote(column.comment)}", found)


def _migrate_settings(engine: Engine) -> None:
    """Give tables of an older version the settings of this one."""
    present = dict(engine.rows("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"))
    for table in ddl.all_tables():
        changes = [f"{name} = {value}" for name, value in ddl.TABLE_SETTINGS.items() if f"{name} = {value}" not in present[table]]
        if changes:
            engine.execute(f"ALTER TABLE {table} MODIFY SETTING {', '.join(changes)}")


def _alter(engine: Engine, statement: str, found: str | None) -> None:
    logger.info("changing the schema: %s", statement.partition(" COMMENT ")[0])
    try:
        engine.execute(statement)
    except ClickHouseError as error:
        raise ConfigurationError(
            f"`{statement.partition(' COMMENT ')[0]}` failed ({error.summary}); the column is {found!r} now. "
            "Rename the table: the sink makes a new one and fills it from Kafka"
        ) from None
