"""The dead-letter topics as a person works on them: list, look, send back.

What was sent back is remembered in the dead-letter topic itself, by a record without value whose headers name the original and say
`replayed-at`: whoever lists the letters later, from anywhere, sees it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from trueloop.adapters.dead_letters import REPLAYED_AT, DeadLetter, Headers, History, parse
from trueloop.adapters.kafka import TIMEOUT_S, physical_name, producer_config, read_to_end
from trueloop.config import KafkaSettings
from trueloop.errors import ConfigurationError, DecodeError, UnavailableError
from trueloop.topics import Topic


@dataclass(slots=True)
class Case:
    """One original record and everything that was said of it. `letters` are its dead letters in order, one per refusal and consumer."""

    topic: str
    partition: int
    offset: int
    letters: list[DeadLetter] = field(default_factory=list)
    replayed_at: datetime | None = None
    open: bool = True

    @property
    def consumers(self) -> tuple[str, ...]:
        """The workers that refused it."""
        return tuple(sorted({letter.consumer for letter in self.letters}))

    @property
    def last(self) -> DeadLetter:
        """The newest refusal."""
        return self.letters[-1]


class DeadLetterBox:
    """Reads the dead-letter topics from the start on every call: they are short, or something is very wrong."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    def cases(self, topic: Topic) -> list[Case]:
        """Return the cases of a topic, oldest first. Raises UnavailableError. Records that are no dead letters are passed over."""
        found: dict[tuple[int, int], Case] = {}
        for message in read_to_end(self._kafka, topic.dead_letters):
            headers = _headers(message)
            marker = _marker(headers)
            if marker is not None:
                partition, offset, moment = marker
                case = found.get((partition, offset))
                if case is not None:
                    case.replayed_at, case.open = moment, False
                continue
            try:
                letter = parse(_raw(message.key()), _raw(message.value()), headers)
            except DecodeError:
                continue
            case = found.setdefault((letter.partition, letter.offset), Case(topic.name, letter.partition, letter.offset))
            case.letters.append(letter)
            case.open = True  # refused again after a replay, or for the first time
        return sorted(found.values(), key=lambda case: case.letters[0].first_failed_at)

    def case(self, topic: Topic, partition: int, offset: int) -> Case:
        """Return one case. Raises ConfigurationError when there is none."""
        found = next((case for case in self.cases(topic) if (case.partition, case.offset) == (partition, offset)), None)
        if found is None:
            raise ConfigurationError(f"no dead letter of {topic.name!r} at partition {partition}, offset {offset}; see `trueloop dlq ls {topic.name}`")
        return found

    def replay(self, topic: Topic, cases: Iterable[Case], now: datetime | None = None) -> int:
        """Send the original bytes of cases back to the original topic under the original key, then mark them; return their number.

        The record carries its history: refused again, it counts one attempt more, as of when it first failed. Mark follows effect: when this is
        killed in between, the letter is sent twice, which every reader tolerates.

        Raises ConfigurationError when a letter does not hold the original bytes because they were too large, UnavailableError when
        the broker does not take the records.
        """
        chosen = list(cases)
        for case in chosen:
            if case.last.omitted_bytes is not None:
                raise ConfigurationError(
                    f"the original of {topic.name!r} partition {case.partition} offset {case.offset} has {case.last.omitted_bytes:,} bytes and was not copied; "
                    "it lies where it was read: shorten it at its producer and send it again"
                )
        moment = now or datetime.now(UTC)
        for case in chosen:
            letter = case.last
            attempt = max(one.attempt for one in case.letters) + 1
            past = History(topic.name, case.partition, case.offset, attempt, case.letters[0].first_failed_at)
            self._send([(topic.name, letter.key, letter.value, past.headers())])
            mark = (*past.headers(), (REPLAYED_AT, moment.isoformat().encode()))
            self._send([(topic.dead_letters, letter.key, None, mark)])
        return len(chosen)

    def _send(self, records: Iterable[tuple[str, bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]]) -> None:
        errors: list[str] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                errors.append(error.str())

        producer = Producer(producer_config(self._kafka))
        for name, key, value, headers in records:
            producer.produce(physical_name(self._kafka, name), key=key, value=value, headers=list(headers), on_delivery=delivered)
        left = producer.flush(TIMEOUT_S)
        if left or errors:
            raise UnavailableError(f"a dead letter was not sent back: {errors[0] if errors else f'no answer within {TIMEOUT_S:g} s'}; run the command again")


def _marker(headers: Headers) -> tuple[int, int, datetime] | None:
    texts = {name: data.decode("utf-8", "replace") for name, data in headers or ()}
    try:
        return int(texts["original-partition"]), int(texts["original-offset"]), datetime.fromisoformat(texts[REPLAYED_AT])
    except (KeyError, ValueError):
        return None


def _headers(message: Message) -> list[tuple[str, bytes]]:
    found: Any = message.headers() or ()  # confluent-kafka types them as str | list | dict; received ones are a list of pairs
    return [(name, value if isinstance(value, bytes) else str(value or "").encode()) for name, value in found]


def _raw(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data
