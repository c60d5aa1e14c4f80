"""What the sink asks of ClickHouse, whether it runs in this process or on a server."""

import re
from typing import TYPE_CHECKING, Any, Protocol

from trueloop.errors import TrueloopError

if TYPE_CHECKING:
    import pyarrow as pa

_CODE = re.compile(r"Code: (\d+)\.")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]{2,})\)")
UNKNOWN_CODE = 1001
"""Code that ClickHouse gives to exceptions which are not its own."""


INSERT_SETTINGS = {
    # Rows that are the same are found by merges and by FINAL. Finding them in each insert as well costs as much as the insert.
    "optimize_on_insert": "0",
    # A materialised view that failed in an insert gets the rows when the insert is tried again, though the table has them already; one whose
    # own table remembers tokens gets them once.
    "deduplicate_blocks_in_dependent_materialized_views": "1",
}
"""Settings of every insert."""


class ClickHouseError(TrueloopError):
    """ClickHouse refused a statement. `code` and `name` are those of its list of errors; the message may quote the statement."""

    def __init__(self, message: str, code: int | None = None, name: str | None = None) -> None:
        found_code, found_names = _CODE.search(message), _NAME.findall(message)
        self.code = code if code is not None else int(found_code[1]) if found_code else UNKNOWN_CODE
        self.name = name or (found_names[-1] if found_names else "STD_EXCEPTION")
        super().__init__(message)

    @property
    def summary(self) -> str:
        """Code and name: what may be logged, for the message may quote data."""
        return f"ClickHouse error {self.code} {self.name}"


class Engine(Protocol):
    """A ClickHouse with one current database. Every method raises ClickHouseError, or UnavailableError when ClickHouse does not answer."""

    def execute(self, sql: str) -> None:
        """Run a statement that returns nothing."""
        ...

    def rows(self, sql: str) -> list[list[Any]]:
        """Return the rows of a query, values as in JSON."""
        ...

    def insert(self, table: str, data: "pa.Table", token: str) -> None:
        """Insert rows as one part: all of them or none. A second insert with the same token does nothing."""
        ...

    def close(self) -> None:
        """Give the engine back. Everything that was inserted is on disk."""
        ...


def arrow_stream(data: "pa.Table") -> bytes:
    """Return a table as an Arrow IPC stream of one record batch: ClickHouse makes a block of each batch, and a part of each block."""
    import pyarrow as pa
    import pyarrow.ipc

    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, data.schema) as writer:
        writer.write_table(data.combine_chunks())
    return bytes(buffer.getvalue())


def column_list(data: "pa.Table") -> str:
    """Return the names of the columns as they stand in an INSERT."""
    return ", ".join(f"`{name}`" for name in data.schema.names)
