"""Records of one topic become rows of its table, and those that cannot become dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trueloop import topics
from trueloop.adapters.clickhouse.columns import Column, arrow_column, columns_of
from trueloop.adapters.clickhouse.ddl import DEAD_LETTERS
from trueloop.adapters.dead_letters import REPLAYED_AT, parse
from trueloop.codec import Codec
from trueloop.errors import DecodeError
from trueloop.rejection import RejectReason
from trueloop.topics import DEAD_LETTERS_SUFFIX, Topic

if TYPE_CHECKING:
    import pyarrow as pa
    from confluent_kafka import Message

UNKNOWN = "UNKNOWN"


@dataclass(slots=True)
class Rows:
    """What became of a batch: the table to insert into, its rows (None: no record became one), the refused records, the number of deletions."""

    table: str
    data: "pa.Table | None"
    rejected: "list[tuple[Message, DecodeError]]" = field(default_factory=list)
    deletions: int = 0


def warm_up() -> None:
    """Load what the first batch needs: pyarrow imports pandas, when it is there, with its first array, which takes most of a second."""
    import pyarrow as pa

    pa.array([""])


def rows_of(codec: Codec, name: str, messages: "Sequence[Message]") -> Rows:
    """Return the rows of records of one partition of the topic `name` (as the registry calls it).

    Raises UnavailableError when the schema registry does not answer: that is no fault of the records.
    """
    if name.endswith(DEAD_LETTERS_SUFFIX):
        letters = [message for message in messages if not _is_marker(message)]
        rows = _dead_letters(name, letters) if letters else Rows(DEAD_LETTERS, None)
        rows.deletions = len(messages) - len(letters)
        return rows
    topic = topics.by_name(name)
    rows = Rows(topic.table, None)
    kept: list[Message] = []
    records: list[dict[str, Any]] = []
    for message in messages:
        value = message.value()
        if value is None and topic.cleanup_policy == "compact":
            rows.deletions += 1
            continue
        try:
            records.append(codec.decode_record(topic, value))
            kept.append(message)
        except DecodeError as error:
            rows.rejected.append((message, error))
    if records:
        rows.data = _table(topic, kept, records, rows.rejected)
    return rows


def _table(topic: Topic, messages: "list[Message]", records: list[dict[str, Any]], rejected: "list[tuple[Message, DecodeError]]") -> "pa.Table | None":
    columns = columns_of(topic)
    try:
        return _arrow(columns, topic.name, messages, records)
    except (ValueError, TypeError, OverflowError):  # pyarrow's own errors are ValueErrors or TypeErrors
        pass
    # Some value does not fit its column, such as a whole number beyond 64 bits. Find the records that hold one; the others go in.
    good: list[int] = []
    for index, record in enumerate(records):
        try:
            _arrow(columns, topic.name, [messages[index]], [record])
            good.append(index)
        except (ValueError, TypeError, OverflowError) as error:
            rejected.append((messages[index], DecodeError(RejectReason.INVALID_EVENT, f"a value does not fit its column: {type(error).__name__}")))
    if not good:
        return None
    return _arrow(columns, topic.name, [messages[index] for index in good], [records[index] for index in good])


def _arrow(columns: tuple[Column, ...], name: str, messages: "Sequence[Message]", records: Sequence[dict[str, Any]]) -> "pa.Table":
    arrays = {column.name: arrow_column(column, [record[column.name] for record in records]) for column in columns}
    return _with_origin(arrays, name, messages)


def _with_origin(arrays: dict[str, Any], name: str, messages: "Sequence[Message]") -> "pa.Table":
    import pyarrow as pa

    arrays["_topic"] = pa.array([name] * len(messages), pa.string())
    arrays["_partition"] = pa.array([message.partition() for message in messages], pa.int32())
    arrays["_offset"] = pa.array([message.offset() for message in messages], pa.int64())
    arrays["_timestamp"] = pa.array([max(0, message.timestamp()[1]) for message in messages], pa.timestamp("ms", "UTC"))
    return pa.table(arrays)


def _is_marker(message: "Message") -> bool:
    """Return whether a record only says that a dead letter was sent back."""
    return any(header[0] == REPLAYED_AT for header in message.headers() or ())


def _dead_letters(name: str, messages: "Sequence[Message]") -> Rows:
    """Return rows that tell of dead letters. A malformed one is told of too, for a dead letter that cannot be read must not vanish."""
    import pyarrow as pa

    found = [_dead_letter(name, message) for message in messages]
    types = (
        pa.string(), pa.int32(), pa.int64(), pa.string(), pa.string(), pa.int32(), pa.string(), pa.timestamp("us", "UTC"), pa.int64(),
    )  # fmt: skip
    names = ("topic", "partition", "offset", "error_class", "message", "attempt", "consumer", "first_failed_at", "payload_bytes")
    arrays = {column: pa.array([row[index] for row in found], types[index]) for index, column in enumerate(names)}
    return Rows(DEAD_LETTERS, _with_origin(arrays, name, messages))


_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1


def _dead_letter(name: str, message: "Message") -> tuple[Any, ...]:
    payload = len(message.value() or b"")
    origin = name.removesuffix(DEAD_LETTERS_SUFFIX)
    try:
        letter = parse(message.key(), message.value(), message.headers())  # type: ignore[arg-type]  # confluent-kafka types a header value as str | bytes
    except DecodeError as error:
        return origin, None, None, UNKNOWN, error.message, 1, UNKNOWN, None, payload
    if not (0 <= letter.partition <= _INT32_MAX and 0 <= letter.offset <= _INT64_MAX and 0 < letter.attempt <= _INT32_MAX):
        return origin, None, None, UNKNOWN, "no dead letter: partition, offset or attempt is out of range", 1, UNKNOWN, None, payload
    size = payload if letter.omitted_bytes is None else min(max(letter.omitted_bytes, 0), _INT64_MAX)
    moment = letter.first_failed_at if letter.first_failed_at.tzinfo else None
    return (
        letter.topic, letter.partition, letter.offset, letter.reason.value, letter.message, letter.attempt, letter.consumer, moment, size,
    )  # fmt: skip
