"""Tables against topics: every row must be a record of the log, and every record a row, or replaced by a later one of its key.

Reads the log and the tables by ways of its own, not by those of the sink. Together with the comparison of the topics themselves this tells
that tables which were filled anew would hold the same.
"""

import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trueloop import topics
from trueloop.adapters.clickhouse import ddl
from trueloop.adapters.clickhouse.client import connect
from trueloop.adapters.clickhouse.columns import Column, columns_of, kind_of
from trueloop.adapters.clickhouse.engine import ClickHouseError
from trueloop.adapters.clickhouse.positions import sink_topics
from trueloop.adapters.dead_letters import REPLAYED_AT, parse
from trueloop.adapters.log_positions import Bounds, LogPositions, Partition
from trueloop.adapters.log_reader import Chunk, PastRecord, read_partition
from trueloop.codec import Codec
from trueloop.config import Settings
from trueloop.errors import DecodeError, UnavailableError
from trueloop.replay_log.difference import Compared, Difference, Kind, Place
from trueloop.topics import DEAD_LETTERS_SUFFIX, Topic

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

SINK_GROUP = "sink"
CHUNK_RECORDS = 2_000
ASKED_TOGETHER = 100
"""Ids in one question: they travel in the address."""
POLL_S = 0.2
_UNKNOWN = "UNKNOWN"


def check_tables(settings: Settings, codec: Codec, wait_s: float, say: Callable[[str], None]) -> list[Compared]:
    """Compare every table with its topics, up to where these end now; return one result per table.

    Raises UnavailableError when broker, registry or ClickHouse do not answer, or the sink stands still for `wait_s` seconds.
    """
    positions = LogPositions(settings.kafka)
    places = positions.partitions(sorted(sink_topics()))
    bounds = positions.bounds(places)
    _await_sink(positions, bounds, wait_s, say)
    results: dict[str, Compared] = {}
    client = connect(settings.clickhouse)
    try:
        for place in places:
            check = _LetterCheck(client) if place[0].endswith(DEAD_LETTERS_SUFFIX) else _EventCheck(client, codec, topics.by_name(place[0]))
            say(f"comparing table {check.table}")
            compared = results.setdefault(check.table, Compared(check.table))
            reached = bounds[place].start
            for chunk in read_partition(settings.kafka, place, bounds[place], CHUNK_RECORDS):
                following = chunk.records[-1].offset + 1
                check.compare(chunk, Bounds(reached, following), compared)
                reached = following
    finally:
        client.close()
    return list(results.values())


def _await_sink(positions: LogPositions, bounds: Mapping[Partition, Bounds], wait_s: float, say: Callable[[str], None]) -> None:
    least, deadline = None, time.monotonic() + wait_s
    while True:
        committed = positions.committed(SINK_GROUP)
        left = sum(max(0, bound.end - max(committed.get(place, 0), bound.start)) for place, bound in bounds.items())
        if not left:
            return
        if least is None or left < least:
            least, deadline = left, time.monotonic() + wait_s
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"the sink is {left} records behind and has not moved for {wait_s:g} s, so the tables cannot be compared; see to it (`trueloop status`), or "
                "leave the tables out with --no-tables"
            )
        say(f"waiting for the sink: {left} records behind")
        time.sleep(POLL_S)


class _Check(ABC):
    """Compares stretches of one partition with the rows that say they came from there."""

    def __init__(self, client: "Client", table: str, columns: Sequence[str]) -> None:
        self.table = table
        self._client = client
        self._columns = columns

    def compare(self, chunk: Chunk, bounds: Bounds, compared: Compared) -> None:
        """Add what a stretch of the log and its rows come to."""
        rows = self._rows(chunk, bounds)
        compared.real += len(rows)
        absent: list[tuple[PastRecord, Any]] = []
        for record in chunk.records:
            expected = self._expected(record)
            row = rows.pop(record.offset, None)
            if expected is None:
                if row is not None:
                    compared.differences.append(self._difference(Kind.UNEXPECTED, chunk, record.offset))
            elif row is None:
                absent.append((record, expected))
            else:
                wrong = tuple(name for name, value, found in zip(self._columns, expected, row, strict=True) if value != found)
                if wrong:
                    compared.differences.append(self._difference(Kind.DIFFERENT, chunk, record.offset, wrong))
                else:
                    compared.identical += 1
            compared.rebuilt += expected is not None
        for record, expected in absent:
            if self._is_replaced(expected, record.offset, absent):
                compared.superseded += 1
            else:
                compared.differences.append(self._difference(Kind.MISSING, chunk, record.offset))
        compared.differences += [self._difference(Kind.UNEXPECTED, chunk, offset) for offset in rows]

    def _rows(self, chunk: Chunk, bounds: Bounds) -> dict[int, Sequence[Any]]:
        selected = ", ".join(self._expressions())
        sql = (
            f"SELECT _offset, {selected} FROM {self.table} WHERE _topic = {{topic:String}} AND _partition = {{partition:Int32}} "  # noqa: S608 - names of our own
            "AND _offset >= {start:Int64} AND _offset < {end:Int64}"
        )
        parameters = {"topic": chunk.topic, "partition": chunk.partition, "start": bounds.start, "end": bounds.end}
        return {int(row[0]): row[1:] for row in _query(self._client, sql, parameters)}

    def _difference(self, kind: Kind, chunk: Chunk, offset: int, fields: tuple[str, ...] = ()) -> Difference:
        at = Place(chunk.partition, offset)
        return Difference(kind, f"{chunk.topic}/{chunk.partition}@{offset}", self.table, at, None, fields)

    def _expressions(self) -> list[str]:
        return [f"`{name}`" for name in self._columns]

    @abstractmethod
    def _expected(self, record: PastRecord) -> tuple[Any, ...] | None:
        """Return the row that a record calls for, None when it calls for none."""

    @abstractmethod
    def _is_replaced(self, expected: tuple[Any, ...], offset: int, absent: Sequence[tuple[PastRecord, Any]]) -> bool:
        """Return whether an absent row was replaced by that of a later record."""


class _EventCheck(_Check):
    """The table of a topic of events."""

    def __init__(self, client: "Client", codec: Codec, topic: Topic) -> None:
        self._topic, self._codec = topic, codec
        self._described: tuple[Column, ...] = columns_of(topic)
        super().__init__(client, topic.table, [column.name for column in self._described])
        self._key = [self._columns.index(name) for name in ddl.order_by(topic)]
        self._newest: dict[tuple[Any, ...], int] = {}
        self._asked: set[tuple[Any, ...]] = set()

    def _expressions(self) -> list[str]:
        return [_expression(column) for column in self._described]

    def _expected(self, record: PastRecord) -> tuple[Any, ...] | None:
        if record.value is None and self._topic.cleanup_policy == "compact":
            return None
        try:
            decoded = self._codec.decode_record(self._topic, record.value)
        except DecodeError:
            return None
        return tuple(_stored(column.avro, decoded[column.name]) for column in self._described)

    def _is_replaced(self, expected: tuple[Any, ...], offset: int, absent: Sequence[tuple[PastRecord, Any]]) -> bool:
        """Return whether a row of the same key came later: of those, the table keeps the newest."""
        if self._identity(expected) not in self._asked:
            self._ask([self._identity(each) for _, each in absent])
        return self._newest.get(self._identity(expected), -1) >= offset

    def _identity(self, row: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(row[index] for index in self._key)

    def _ask(self, identities: Sequence[tuple[Any, ...]]) -> None:
        names = [self._columns[index] for index in self._key]
        selected = ", ".join(f"`{name}`" for name in names)
        # Compacted tables are short; of the others only the rows of these ids are asked for.
        wanted = sorted({str(identity[-1]) for identity in identities}) if tuple(names) == ddl.IDENTITY else []
        condition = f"WHERE `{names[-1]}` IN {{ids:Array(String)}}" if wanted else ""
        sql = f"SELECT {selected}, max(_offset) FROM {self.table} {condition} GROUP BY {selected}"  # noqa: S608 - names of our own
        for start in range(0, max(len(wanted), 1), ASKED_TOGETHER):
            parameters = {"ids": wanted[start : start + ASKED_TOGETHER]} if wanted else {}
            for *identity, newest in _query(self._client, sql, parameters):
                self._newest[tuple(identity)] = int(newest)
        self._asked.update(identities)


class _LetterCheck(_Check):
    """The table of all dead letters."""

    def __init__(self, client: "Client") -> None:
        super().__init__(client, ddl.DEAD_LETTERS, ("error_class", "consumer"))

    def _expected(self, record: PastRecord) -> tuple[Any, ...] | None:
        if any(name == REPLAYED_AT for name, _ in record.headers):
            return None
        try:
            letter = parse(record.key, record.value, record.headers)
        except DecodeError:
            return _UNKNOWN, _UNKNOWN
        return letter.reason.value, letter.consumer

    def _is_replaced(self, expected: tuple[Any, ...], offset: int, absent: Sequence[tuple[PastRecord, Any]]) -> bool:
        """Never: a dead letter's key is where it lies."""
        return False


def _expression(column: Column) -> str:
    """Return the SQL that tells a column exactly: bytes as hex, times as the numbers that they are."""
    kind = kind_of(column.avro[1] if isinstance(column.avro, list) else column.avro)
    if kind == "bytes":
        return f"hex(`{column.name}`)"
    if kind == "timestamp-micros":
        return f"toUnixTimestamp64Micro(`{column.name}`)"
    return f"`{column.name}`"


def _stored(avro: Any, value: Any) -> Any:
    """Return a value of a decoded record as a query gives it."""
    if isinstance(avro, list):
        inner = avro[1]
        if value is None:
            kind = kind_of(inner)
            return {field["name"]: None for field in inner["fields"]} if kind == "record" else [] if kind == "fixed" else None
        return _stored(inner, value)
    stored = value
    match kind_of(avro):
        case "bytes":
            stored = value.hex().upper()
        case "timestamp-micros":
            stored = _microseconds(value)
        case "fixed":
            stored = list(struct.unpack(f"<{len(value) // 4}f", value))
        case "array":
            stored = [_stored(avro["items"], item) for item in value]
        case "map":
            stored = {key: _stored(avro["values"], item) for key, item in value.items()}
        case "record":
            stored = {field["name"]: _stored(field["type"], value[field["name"]]) for field in avro["fields"]}
    return stored


def _microseconds(moment: Any) -> int:
    whole = moment.replace(microsecond=0)
    return int(whole.timestamp()) * 1_000_000 + int(moment.microsecond)


def _query(client: "Client", sql: str, parameters: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    from clickhouse_connect.driver.exceptions import ClickHouseError as DriverError

    try:
        yield from client.query(sql, parameters=dict(parameters)).result_rows
    except DriverError as error:
        raise ClickHouseError(str(error)) from None
