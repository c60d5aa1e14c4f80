"""ClickHouse in this process (chDB): one connection that writes, and a pool of connections that cannot.

A directory belongs to one process. Connections of a process run at the same time: queries do not wait for inserts, nor inserts for queries.
"""

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trueloop.adapters.clickhouse.engine import INSERT_SETTINGS, ClickHouseError, column_list
from trueloop.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    import pyarrow as pa

READERS = 4
"""Queries that run at the same time; more wait."""
READER_WAIT_S = 30.0
READER_SETTINGS = {
    "max_execution_time": 60,
    "max_memory_usage": 2 * 1024**3,
    "max_result_bytes": 256 * 1024**2,
    "result_overflow_mode": "throw",
    "allow_ddl": 0,
}
"""A reader's query may not starve the sink that shares the process. Seconds and bytes."""


class Reader:
    """A connection that can only read: `readonly = 1` is set last, and ClickHouse lets nobody unset it."""

    def __init__(self, connection: Any, database: str) -> None:
        self._connection = connection
        self._home = self._database = database
        _run(connection, f"USE `{database}`")
        _run(connection, "SET " + ", ".join(f"{name} = {value!r}" for name, value in READER_SETTINGS.items()))
        _run(connection, "SET readonly = 1")

    def query(self, sql: str, output_format: str, parameters: dict[str, str], database: str | None = None) -> Any:
        """Return chDB's result of a query, in `output_format` unless the query names one itself. Raises ClickHouseError."""
        wanted = database or self._home
        if wanted != self._database:
            _run(self._connection, "USE `" + wanted.replace("`", "``") + "`")
            self._database = wanted
        return _run(self._connection, sql, output_format, parameters)


class EmbeddedEngine:
    """The engine over a directory. Only one may be open per directory, over all processes."""

    def __init__(self, directory: Path, database: str) -> None:
        """Open the directory, making it and the database when missing.

        Raises ConfigurationError without the package chdb, UnavailableError when another process has the directory.
        """
        self._writing = threading.Lock()
        self._open(directory)
        self._database = database
        self._idle: queue.LifoQueue[Reader] = queue.LifoQueue()
        self._opened: list[Any] = []
        for statement in (
            f"CREATE DATABASE IF NOT EXISTS {database}",
            f"USE {database}",
            # chDB's own default database shows the machine's files as tables, to readers too. It comes back with every start.
            "DROP DATABASE IF EXISTS default",
            "CREATE DATABASE default ENGINE = Memory",
        ):
            self.execute(statement)
        for _ in range(READERS):
            connection = self._connect(str(self._directory))
            self._opened.append(connection)
            self._idle.put(Reader(connection, database))

    def _open(self, directory: Path) -> None:
        try:
            import chdb
        except ModuleNotFoundError:
            raise ConfigurationError(
                "the Python package 'chdb' is missing; expected it for the embedded ClickHouse. Run: pip install 'trueloop[embedded]'"
            ) from None
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory.absolute()
        self._connect: Any = chdb.connect
        try:
            self._writer = chdb.connect(str(self._directory))
        except RuntimeError as error:
            raise UnavailableError(
                f"the embedded ClickHouse at {str(directory)!r} does not open ({ClickHouseError(str(error)).summary}); does another process use it? "
                "See `trueloop status`"
            ) from None

    def execute(self, sql: str) -> None:
        """Run a statement that returns nothing."""
        with self._writing:
            _run(self._writer, sql)

    def rows(self, sql: str) -> list[list[Any]]:
        """Return the rows of a query."""
        with self._writing:
            answer = _run(self._writer, sql, "JSONCompactEachRow").bytes()
        return [json.loads(line) for line in answer.splitlines()]

    def insert(self, table: str, data: "pa.Table", token: str) -> None:
        """Insert rows as one part.

        By a query over the Python variable `data`, whose memory ClickHouse reads in place. Not by chDB's `send_insert`: that one reports
        success for rows which ClickHouse refused to write (disk full, too many parts), measured on chDB 4.4, and costs a copy more.
        """
        settings = ", ".join(f"{name} = {value}" for name, value in (INSERT_SETTINGS | {"max_threads": "1"}).items())
        statement = (
            f"INSERT INTO {table} ({column_list(data)}) SELECT * FROM Python(data) "  # noqa: S608 - names of our own
            f"SETTINGS insert_deduplication_token = '{token}', {settings}"
        )
        with self._writing:
            _run(self._writer, statement)

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Lend a reader. Raises ClickHouseError 202 when none becomes free within 30 s."""
        try:
            reader = self._idle.get(timeout=READER_WAIT_S)
        except queue.Empty:
            message = f"Code: 202. DB::Exception: Too many simultaneous queries: {READERS} run already. Try again later. (TOO_MANY_SIMULTANEOUS_QUERIES)"
            raise ClickHouseError(message) from None
        try:
            yield reader
        finally:
            self._idle.put(reader)

    def close(self) -> None:
        """Close every connection, and with the last one the directory."""
        for connection in self._opened:
            connection.close()
        self._writer.close()


def _run(connection: Any, sql: str, output_format: str = "TabSeparated", parameters: dict[str, str] | None = None) -> Any:
    try:
        return connection.query(sql, output_format, params=parameters or {})
    except RuntimeError as error:
        raise ClickHouseError(_own_words(str(error))) from None


def _own_words(message: str) -> str:
    """Return ClickHouse's message without what chDB puts around it: it repeats code and prefix.

    >>> _own_words("Query failed: Code: 164. DB::Exception: Code: 164. DB::Exception: No. (READONLY) (version 26.9.2.1). (READONLY)")
    'Code: 164. DB::Exception: No. (READONLY)'
    """
    start = message.rfind("Code: ")
    text = message[max(start, 0) :].strip()
    return text.partition(" (version ")[0]
