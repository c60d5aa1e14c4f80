"""ClickHouse on a server, or a cluster behind one address, through clickhouse-connect."""

from typing import TYPE_CHECKING, Any

from trueloop.adapters.clickhouse.engine import INSERT_SETTINGS, ClickHouseError, arrow_stream
from trueloop.errors import UnavailableError

if TYPE_CHECKING:
    import pyarrow as pa
    from clickhouse_connect.driver.client import Client


class ServerEngine:
    """An engine over any clickhouse-connect client."""

    def __init__(self, client: "Client", database: str) -> None:
        """Take the client over and create the database when it is missing. Raises as every method does."""
        self._client = client
        self.execute(f"CREATE DATABASE IF NOT EXISTS {database}")
        client.database = database

    def execute(self, sql: str) -> None:
        """Run a statement that returns nothing."""
        self._guarded(self._client.command, sql)

    def rows(self, sql: str) -> list[list[Any]]:
        """Return the rows of a query."""
        return [list(row) for row in self._guarded(self._client.query, sql).result_rows]

    def insert(self, table: str, data: "pa.Table", token: str) -> None:
        """Insert rows as one part."""
        # Not asynchronous: the acknowledgement must mean that the rows are in.
        settings = INSERT_SETTINGS | {"insert_deduplication_token": token, "async_insert": "0"}
        self._guarded(self._client.raw_insert, table, None, arrow_stream(data), settings, "ArrowStream")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _guarded(self, call: Any, *arguments: Any) -> Any:
        from clickhouse_connect.driver.exceptions import ClickHouseError as DriverError
        from clickhouse_connect.driver.exceptions import OperationalError

        try:
            return call(*arguments)
        except OperationalError as error:
            raise UnavailableError(f"ClickHouse does not answer ({type(error).__name__}); is it up, are address and password right?") from None
        except DriverError as error:
            raise ClickHouseError(str(error)) from None
