"""Reading from ClickHouse, wherever it runs: over HTTP, embedded or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from trueloop.adapters.clickhouse.engine import ClickHouseError
from trueloop.config import ClickHouseSettings, Settings
from trueloop.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of a query, and the names of their columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


_OWN = "\0own"


def connect(settings: ClickHouseSettings, database: str | None = _OWN) -> "Client":
    """Return a clickhouse-connect client; `database` None leaves the server's default in place.

    Raises ConfigurationError when `url` is none, UnavailableError when ClickHouse does not answer, ClickHouseError when it refuses.
    """
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError as DriverError

    parts = urlsplit(settings.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"clickhouse.url is {settings.url!r}; expected http://HOST:PORT or https://HOST:PORT")
    try:
        return clickhouse_connect.get_client(
            interface=parts.scheme,
            host=parts.hostname,
            port=parts.port or (8443 if parts.scheme == "https" else 8123),
            username=settings.username,
            password=settings.password.get_secret_value(),
            database=settings.database if database == _OWN else database or "__default__",
            tz_mode="aware",
            autogenerate_session_id=False,  # a session would let only one query run at a time
        )
    except DriverError as error:
        raise _translated(error, settings) from None


def query(settings: Settings, sql: str, parameters: Mapping[str, Any] | None = None) -> Answer:
    """Return the answer to a query. Parameters stand in it as `{name:Type}`, or as `%(name)s`.

    Raises UnavailableError when ClickHouse does not answer, ClickHouseError when it refuses the query.
    """
    from clickhouse_connect.driver.exceptions import ClickHouseError as DriverError

    client = connect(settings.clickhouse)
    try:
        result = client.query(sql, parameters=dict(parameters or {}))
        columns = result.column_names or _columns_of_nothing(client, sql, parameters)
        return Answer(tuple(columns), tuple(tuple(row) for row in result.result_rows))
    except DriverError as error:
        raise _translated(error, settings.clickhouse) from None
    finally:
        client.close()


def _columns_of_nothing(client: "Client", sql: str, parameters: Mapping[str, Any] | None) -> Sequence[str]:
    """Return the columns of a query that gave no rows: ClickHouse's Native format then names none."""
    from clickhouse_connect.driver.exceptions import ClickHouseError as DriverError

    try:
        wrapped = f"SELECT * FROM (\n{sql.rstrip().rstrip(';')}\n) LIMIT 0"  # noqa: S608 - the whole query is the user's own
        return client.query(wrapped, parameters=dict(parameters or {})).column_names
    except DriverError:  # a SHOW, which is no subquery
        return ()


def _translated(error: Exception, settings: ClickHouseSettings) -> ClickHouseError | UnavailableError:
    text = str(error)
    start = text.find("Code: ")
    if start < 0:
        return UnavailableError(
            f"no ClickHouse answers at {settings.url!r} ({type(error).__name__}); start the runtime with `trueloop up`, or correct clickhouse.url"
        )
    return ClickHouseError(" ".join(text[start:].partition(" (for url ")[0].split()))
