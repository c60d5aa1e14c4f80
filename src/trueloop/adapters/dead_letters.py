"""Dead letters: what could not be processed, as it was read, with where it was read and why it was refused.

A dead letter has the key and the value of the original record; everything else is in headers, UTF-8 text:

    original-topic, original-partition, original-offset   where it was read; the topic without the deployment's prefix
    error-class       a RejectReason
    message           ids, sizes and numbers; never text of prompts, labels or appeals
    attempt           1 for the first refusal; one more each time that a replayed letter is refused again
    first-failed-at   ISO 8601, UTC
    consumer          name of the worker that refused it
    omitted-bytes     only when the value was too large to be copied: its size; the value is then empty, and the original is where it was read

Headers of the original are not copied: anyone may have written anything into them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from trueloop.errors import ConfigurationError, DecodeError
from trueloop.rejection import RejectReason
from trueloop.topics import DEAD_LETTERS_SUFFIX, MAX_MESSAGE_BYTES

REPLAYED_AT = "replayed-at"
"""Header of a record without value that says when the letter it names was sent back: a marker among dead letters, not one of them."""
ROOM_FOR_HEADERS = 16 * 1024
"""Bytes kept free for key, headers and the record's own overhead."""
MAX_MESSAGE_CHARS = 1000
Headers = Iterable[tuple[str, bytes]] | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused record. `key` and `value` are raw; `omitted_bytes` is the size of a value that was too large to be copied."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    reason: RejectReason
    message: str
    consumer: str
    first_failed_at: datetime
    attempt: int = 1
    omitted_bytes: int | None = None

    @property
    def name(self) -> str:
        """Name of the topic it belongs in, without the deployment's prefix."""
        return self.topic + DEAD_LETTERS_SUFFIX

    def record(self) -> tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]:
        """Return key, value and headers as they are sent."""
        value, omitted = self.value, self.omitted_bytes
        if value is not None and len(value) + len(self.key or b"") > MAX_MESSAGE_BYTES - ROOM_FOR_HEADERS:
            value, omitted = b"", len(value)
        headers = {
            "original-topic": self.topic,
            "original-partition": str(self.partition),
            "original-offset": str(self.offset),
            "error-class": self.reason.value,
            "message": self.message[:MAX_MESSAGE_CHARS],
            "attempt": str(self.attempt),
            "first-failed-at": self.first_failed_at.isoformat(),
            "consumer": self.consumer,
        }
        if omitted is not None:
            headers["omitted-bytes"] = str(omitted)
        return self.key, value, tuple((name, text.encode()) for name, text in headers.items())

    def replayed(self) -> tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]:
        """Return key, value and headers with which it is sent to its topic again: its past goes along, so that a second refusal tells it.

        Raises ConfigurationError when its value was omitted: the original has to be read where it still lies.
        """
        if self.omitted_bytes is not None:
            raise ConfigurationError(
                f"the value of offset {self.offset} of {self.topic!r} partition {self.partition} ({self.omitted_bytes} bytes) was too large to be copied; "
                "expected a dead letter with its value. Read the original from its topic"
            )
        past = History(self.topic, self.partition, self.offset, self.attempt + 1, self.first_failed_at)
        return self.key, self.value, past.headers()


def parse(key: bytes | None, value: bytes | None, headers: Headers) -> DeadLetter:
    """Return the dead letter in a record. Raises DecodeError when its headers are not those of one."""
    texts = {name: data.decode("utf-8", "replace") for name, data in headers or ()}
    try:
        return DeadLetter(
            texts["original-topic"],
            int(texts["original-partition"]),
            int(texts["original-offset"]),
            key,
            value,
            RejectReason(texts["error-class"]),
            texts["message"],
            texts["consumer"],
            datetime.fromisoformat(texts["first-failed-at"]),
            int(texts["attempt"]),
            int(texts["omitted-bytes"]) if "omitted-bytes" in texts else None,
        )
    except KeyError as error:
        raise DecodeError(RejectReason.INVALID_EVENT, f"no dead letter: header {error.args[0]!r} is missing") from None
    except ValueError:
        raise DecodeError(RejectReason.INVALID_EVENT, "no dead letter: a header does not have the form that trueloop.adapters.dead_letters names") from None


@dataclass(frozen=True, slots=True)
class History:
    """What a record tells of its past: set on retried records and on dead letters that are replayed."""

    topic: str
    partition: int
    offset: int
    attempt: int
    first_failed_at: datetime

    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """Return the headers that carry it."""
        return (
            ("original-topic", self.topic.encode()),
            ("original-partition", b"%d" % self.partition),
            ("original-offset", b"%d" % self.offset),
            ("attempt", b"%d" % self.attempt),
            ("first-failed-at", self.first_failed_at.isoformat().encode()),
        )


def history(headers: Headers) -> History | None:
    """Return the history in a record's headers, or None when there is none or it is malformed: anyone may write headers."""
    texts = {name: data.decode("utf-8", "replace") for name, data in headers or ()}
    try:
        return History(
            texts["original-topic"],
            int(texts["original-partition"]),
            int(texts["original-offset"]),
            int(texts["attempt"]),
            datetime.fromisoformat(texts["first-failed-at"]),
        )
    except (KeyError, ValueError):
        return None
