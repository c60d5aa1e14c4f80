"""The format of dead letters."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from trueloop.adapters.dead_letters import MAX_MESSAGE_CHARS, DeadLetter, history, parse
from trueloop.errors import ConfigurationError, DecodeError
from trueloop.rejection import RejectReason
from trueloop.topics import LABELS, MAX_MESSAGE_BYTES

LETTER = DeadLetter(
    "labels", 2, 41, b"task-1", b"\x00raw \xff bytes", RejectReason.OFF_SCALE, "value 9 of 'tone' is off the scale 1..5", "collection",
    datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
)  # fmt: skip


@pytest.mark.parametrize("changes", [{}, {"key": None}, {"value": None}, {"value": b""}, {"attempt": 7}])
def test_what_is_written_is_read(changes: dict[str, object]) -> None:
    letter = replace(LETTER, **changes)
    assert parse(*letter.record()) == letter


def test_the_headers_are_those_that_are_documented() -> None:
    key, value, headers = LETTER.record()
    assert (key, value) == (b"task-1", b"\x00raw \xff bytes")
    assert dict(headers) == {
        "original-topic": b"labels",
        "original-partition": b"2",
        "original-offset": b"41",
        "error-class": b"OFF_SCALE",
        "message": b"value 9 of 'tone' is off the scale 1..5",
        "attempt": b"1",
        "first-failed-at": b"2026-03-01T12:00:00+00:00",
        "consumer": b"collection",
    }
    assert LETTER.name == LABELS.dead_letters


def test_a_value_that_would_not_fit_is_left_where_it_is() -> None:
    letter = replace(LETTER, value=b"x" * (3 * 1024 * 1024), message="y" * 5000)
    key, value, headers = letter.record()
    assert sum(len(part or b"") for part in (key, value)) + sum(len(name) + len(data) for name, data in headers) < MAX_MESSAGE_BYTES
    read = parse(key, value, headers)
    assert (read.value, read.omitted_bytes, len(read.message)) == (b"", 3 * 1024 * 1024, MAX_MESSAGE_CHARS)
    with pytest.raises(ConfigurationError, match="3145728 bytes"):
        read.replayed()


def test_a_large_value_that_fits_is_copied() -> None:
    letter = replace(LETTER, value=b"x" * (2 * 1024 * 1024 - 20 * 1024))
    assert parse(*letter.record()) == letter


def test_a_replayed_letter_tells_its_past() -> None:
    key, value, headers = LETTER.replayed()
    assert (key, value) == (LETTER.key, LETTER.value)
    past = history(headers)
    assert past is not None
    assert (past.topic, past.partition, past.offset, past.attempt, past.first_failed_at) == ("labels", 2, 41, 2, LETTER.first_failed_at)


@pytest.mark.parametrize(
    "headers",
    [None, [], [("original-topic", b"labels")], [*LETTER.replayed()[2][:-1], ("first-failed-at", b"yesterday")], [("attempt", b"9" * 5000)]],
)
def test_headers_that_anyone_wrote_are_no_history_and_no_letter(headers: list[tuple[str, bytes]] | None) -> None:
    assert history(headers) is None
    with pytest.raises(DecodeError):
        parse(b"k", b"v", headers)
