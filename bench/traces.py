"""Traces for benchmarks: about 1 kB each, different from each other, and the same on every run.

The text is drawn from a vocabulary with the frequencies of natural language, because what repeats one sentence compresses to nothing and
would flatter the broker and ClickHouse; embeddings are random directions, which do not compress, as real ones do not.
"""

import random
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from confluent_kafka import KafkaError, Producer

from trueloop.adapters.kafka import physical_name, producer_config
from trueloop.codec import Codec
from trueloop.config import KafkaSettings
from trueloop.events import Consent, Message, Role, Trace
from trueloop.events.trace import EMBEDDING_DIMENSIONS
from trueloop.topics import TRACES

START = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
PROMPT_CHARACTERS = (120, 580)
COMPLETION_CHARACTERS = (120, 650)
"""Fewest and most; a trace without an embedding is then 1 kB in the mean."""
VOCABULARY = 5_000
WORDS = 400_000
"""Words of the text that every prompt and completion is a piece of: long enough that no compressor meets the same piece twice in its window."""
LOCALES = ("en", "en", "en", "de", "fr", "es")
PRODUCTS = ("billing", "storage", "network", "account")


class Traces:
    """An endless supply: `traces.event(7)` is the same trace on every machine."""

    def __init__(self, *, embedding: bool = False, application: str = "bench", seed: int = 1) -> None:
        """Prepare texts (about a second)."""
        chance = random.Random(seed)
        words = ["".join(chance.choices("etaoinshrdlucmfwypvbgk", k=max(2, round(chance.gauss(6, 2))))) for _ in range(VOCABULARY)]
        weights = [1 / (rank + 3) for rank in range(VOCABULARY)]
        self._text = " ".join(chance.choices(words, weights, k=WORDS))
        self._embeddings = [struct.pack(f"<{EMBEDDING_DIMENSIONS}f", *(chance.gauss(0, 0.05) for _ in range(EMBEDDING_DIMENSIONS))) for _ in range(500)]
        self._embedding = embedding
        self._application = application

    def event(self, number: int, *, review: bool = False) -> Trace:
        """Return trace `number`; `review` puts it into the slice review=yes, which a policy can sample."""
        chance = random.Random(number)
        prompt, completion = self._piece(chance, PROMPT_CHARACTERS), self._piece(chance, COMPLETION_CHARACTERS)
        return Trace(
            event_id=f"{chance.getrandbits(128):032x}",
            occurred_at=START + timedelta(milliseconds=7 * number, microseconds=chance.randrange(1000)),
            application=self._application,
            trace_id=f"{chance.getrandbits(128):032x}",
            model="support-8b",
            checkpoint="01c541926aae" if number % 20 else "8d0f6a21be77",
            slices={"locale": chance.choice(LOCALES), "product": chance.choice(PRODUCTS), "review": "yes" if review else "no"},
            error="Timeout" if number % 200 == 0 else None,
            latency_ms=chance.lognormvariate(6.5, 0.5),
            prompt_tokens=len(prompt) // 4,
            completion_tokens=len(completion) // 4,
            scores={"judge:tone": chance.random(), "judge:accuracy": chance.random()},
            consent=Consent.TRAINING,
            subject_id=f"user-{chance.randrange(50_000)}",
            messages=[Message(role=Role.SYSTEM, content="You answer customers' questions about their invoices."), Message(role=Role.USER, content=prompt)],
            completion=completion,
            embedding=chance.choice(self._embeddings) if self._embedding else None,
            embedding_model="embedder-384" if self._embedding else None,
        )

    def records(self, codec: Codec, count: int, first: int = 0) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and value, in wire format, of `count` traces."""
        for number in range(first, first + count):
            event = self.event(number)
            yield TRACES.key(event).encode(), codec.encode(TRACES, event)

    def _piece(self, chance: random.Random, length: tuple[int, int]) -> str:
        size = chance.randint(*length)
        start = chance.randrange(len(self._text) - size)
        return self._text[start : start + size]


def fill(kafka: KafkaSettings, codec: Codec, traces: Traces, count: int) -> int:
    """Put `count` traces on the topic `traces` and return the bytes of their values. Exits when one is not delivered."""
    errors: list[str] = []

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            errors.append(error.str())

    producer = Producer(producer_config(kafka) | {"linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
    size = 0
    for key, value in traces.records(codec, count):
        size += len(value)
        while True:
            try:
                producer.produce(physical_name(kafka, TRACES.name), value, key, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    if producer.flush(60) or errors:
        raise SystemExit(f"the traces were not delivered: {errors[:1] or 'no answer'}")
    return size
