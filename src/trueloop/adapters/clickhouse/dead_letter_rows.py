"""Dead letters as rows: what they tell of the refused record, never what was in it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trueloop.adapters.dead_letters import REPLAYED_AT, parse
from trueloop.errors import DecodeError
from trueloop.topics import DEAD_LETTERS_SUFFIX

if TYPE_CHECKING:
    import pyarrow as pa
    from confluent_kafka import Message

UNKNOWN = "UNKNOWN"
_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1


def is_marker(message: "Message") -> bool:
    """Return whether a record only says that a dead letter was sent back."""
    return any(header[0] == REPLAYED_AT for header in message.headers() or ())


def dead_letter_columns(name: str, messages: "Sequence[Message]") -> "pa.Table":
    """Return rows that tell of the dead letters in topic `name`. A malformed one is told of too, for a dead letter must not vanish."""
    import pyarrow as pa

    found = [_row(name, message) for message in messages]
    types = (
        pa.string(), pa.int32(), pa.int64(), pa.string(), pa.string(), pa.int32(), pa.string(), pa.timestamp("us", "UTC"), pa.int64(),
    )  # fmt: skip
    names = ("topic", "partition", "offset", "error_class", "message", "attempt", "consumer", "first_failed_at", "payload_bytes")
    return pa.table({column: pa.array([row[index] for row in found], types[index]) for index, column in enumerate(names)})


def _row(name: str, message: "Message") -> tuple[Any, ...]:
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
