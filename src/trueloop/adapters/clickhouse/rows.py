"""Records of one topic become rows of its table, and those that cannot become dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from trueloop import topics
from trueloop.adapters.clickhouse.columns import Column, arrow_column, columns_of
from trueloop.adapters.clickhouse.ddl import DEAD_LETTERS
from trueloop.adapters.clickhouse.dead_letter_rows import dead_letter_columns, is_marker
from trueloop.adapters.clickhouse.record_reader import RecordReader, UnlikeError
from trueloop.codec import HEADER_BYTES, Codec
from trueloop.errors import DecodeError
from trueloop.rejection import RejectReason
from trueloop.topics import DEAD_LETTERS_SUFFIX, Topic

if TYPE_CHECKING:
    import pyarrow as pa
    from confluent_kafka import Message

MIN_TOGETHER = 32
"""Records below which reading them in columns costs more than reading them singly."""


@dataclass(slots=True)
class Rows:
    """What became of a batch: the table to insert into, its rows (None: no record became one), the refused records, the deletions."""

    table: str
    data: "pa.Table | None" = None
    rejected: "list[tuple[Message, DecodeError]]" = field(default_factory=list)
    deletions: "list[Message]" = field(default_factory=list)

    @property
    def rowless(self) -> "list[Message]":
        """The records that became no row."""
        return [*self.deletions, *(message for message, _ in self.rejected)]


def warm_up() -> None:
    """Load what the first batch needs: pyarrow imports pandas, when it is there, with its first array, which takes most of a second."""
    import pyarrow as pa

    pa.array([""])


class RowReader:
    """Makes rows of records. Keeps what it has worked out of the writers' schemas."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._readers: dict[tuple[str, bytes], RecordReader | None] = {}

    def rows(self, name: str, messages: "Sequence[Message]") -> Rows:
        """Return the rows of records of the topic `name` (as the registry calls it). Rows come in no particular order.

        Raises UnavailableError when the schema registry does not answer: that is no fault of the records.
        """
        if name.endswith(DEAD_LETTERS_SUFFIX):
            return _dead_letters(name, messages)
        topic = topics.by_name(name)
        rows = Rows(topic.table)
        if topic.cleanup_policy == "compact":
            rows.deletions = [message for message in messages if message.value() is None]
            if rows.deletions:
                messages = [message for message in messages if message.value() is not None]
        tables: list[pa.Table] = []
        alone: list[Message] = []
        for header, places in _by_header([message.value() for message in messages]).items():
            group = [messages[place] for place in places]
            reader = self._reader(topic, header) if len(group) >= MIN_TOGETHER else None
            if reader is None:
                alone += group
            else:
                alone += _together(reader, topic, group, tables)
        if alone:
            tables += self._singly(topic, sorted(alone, key=_place), rows.rejected)
        if tables:
            rows.data = _joined(tables)
        return rows

    def _reader(self, topic: Topic, header: bytes) -> RecordReader | None:
        """Return how records of this header are read together; None when they are to be read singly."""
        key = (topic.name, header)
        if key not in self._readers:
            try:
                self._readers[key] = RecordReader(topic, self._codec.writer_schema(header))
            except UnlikeError:
                self._readers[key] = None
            except DecodeError:
                return None  # not remembered: there may be any number of wrong headers, and a schema may be registered later
        return self._readers[key]

    def _singly(self, topic: Topic, messages: "list[Message]", rejected: "list[tuple[Message, DecodeError]]") -> "list[pa.Table]":
        kept: list[Message] = []
        records: list[dict[str, Any]] = []
        for message in messages:
            try:
                records.append(self._codec.decode_record(topic, message.value()))
                kept.append(message)
            except DecodeError as error:
                rejected.append((message, error))
        if not records:
            return []
        try:
            return [_with_origin(_arrow(columns_of(topic), records), topic.name, kept)]
        except (ValueError, TypeError, OverflowError):  # pyarrow's own errors are ValueErrors or TypeErrors
            return _those_that_fit(topic, kept, records, rejected)


def _together(reader: RecordReader, topic: Topic, messages: "list[Message]", tables: "list[pa.Table]") -> "list[Message]":
    """Read records in columns, add their table, and return those that have to be read singly."""
    table, regular = reader.read([message.value() or b"" for message in messages], HEADER_BYTES)
    if regular.all():
        tables.append(_with_origin(table, topic.name, messages))
        return []
    kept = [message for message, good in zip(messages, regular.tolist(), strict=True) if good]
    if kept:
        tables.append(_with_origin(table.filter(regular), topic.name, kept))
    return [message for message, good in zip(messages, regular.tolist(), strict=True) if not good]


def _place(message: "Message") -> tuple[int, int]:
    return int(message.partition() or 0), int(message.offset() or 0)


def _joined(tables: "list[pa.Table]") -> "pa.Table":
    import pyarrow as pa

    return pa.concat_tables(tables)


def _by_header(values: Sequence[bytes | None]) -> dict[bytes, list[int]]:
    """Return the places of the values that begin with the same header."""
    headers = [value[:HEADER_BYTES] if value else b"" for value in values]
    if len(set(headers)) == 1:
        return {headers[0]: list(range(len(values)))}
    found: dict[bytes, list[int]] = {}
    for place, header in enumerate(headers):
        found.setdefault(header, []).append(place)
    return found


def _those_that_fit(topic: Topic, messages: "list[Message]", records: list[dict[str, Any]], rejected: "list[tuple[Message, DecodeError]]") -> "list[pa.Table]":
    """Find the records with a value that does not fit its column, such as a whole number beyond 64 bits; the others go in."""
    columns = columns_of(topic)
    good: list[int] = []
    for index, record in enumerate(records):
        try:
            _arrow(columns, [record])
            good.append(index)
        except (ValueError, TypeError, OverflowError) as error:
            rejected.append((messages[index], DecodeError(RejectReason.INVALID_EVENT, f"a value does not fit its column: {type(error).__name__}")))
    if not good:
        return []
    return [_with_origin(_arrow(columns, [records[index] for index in good]), topic.name, [messages[index] for index in good])]


def _arrow(columns: tuple[Column, ...], records: Sequence[dict[str, Any]]) -> "pa.Table":
    import pyarrow as pa

    return pa.table({column.name: arrow_column(column, [record[column.name] for record in records]) for column in columns})


def _with_origin(table: "pa.Table", name: str, messages: "Sequence[Message]") -> "pa.Table":
    import pyarrow as pa

    size = len(messages)
    timestamps = np.fromiter((message.timestamp()[1] for message in messages), np.int64, size)
    origin = {
        "_topic": pa.repeat(name, size),
        "_partition": pa.array(np.fromiter((message.partition() for message in messages), np.int32, size)),
        "_offset": pa.array(np.fromiter((message.offset() for message in messages), np.int64, size)),
        "_timestamp": pa.array(np.maximum(timestamps, 0)).view(pa.timestamp("ms", "UTC")),
    }
    for column, values in origin.items():
        table = table.append_column(column, values)
    return table


def _dead_letters(name: str, messages: "Sequence[Message]") -> Rows:
    rows = Rows(DEAD_LETTERS, deletions=[message for message in messages if is_marker(message)])
    letters = [message for message in messages if not is_marker(message)] if rows.deletions else messages
    if letters:
        rows.data = _with_origin(dead_letter_columns(name, letters), name, letters)
    return rows
