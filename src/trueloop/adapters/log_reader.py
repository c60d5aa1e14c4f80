"""Stretches of the log as they lie there: raw records of partitions between offsets, without a consumer group."""

import heapq
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from trueloop.adapters.kafka import TIMEOUT_S, client_config, physical_name
from trueloop.adapters.log_positions import Bounds, Partition
from trueloop.config import KafkaSettings
from trueloop.errors import UnavailableError

CHUNK_RECORDS = 500
"""As many as a worker gets at once."""
_POLL_S = 0.05


@dataclass(slots=True)
class PastRecord:
    """A record as it lies in the log. `timestamp` is in milliseconds since the epoch, by the producer's clock or the broker's."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    offset: int
    timestamp: int
    timestamp_type: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records of one partition; at least one."""

    topic: str
    partition: int
    records: tuple[PastRecord, ...]


def read_partition(kafka: KafkaSettings, partition: Partition, bounds: Bounds, at_most: int = CHUNK_RECORDS) -> Iterator[Chunk]:
    """Yield the records of one partition; see `read_partitions`."""
    return read_partitions(kafka, {partition: bounds}, at_most)


def read_partitions(kafka: KafkaSettings, stretches: Mapping[Partition, Bounds], at_most: int = CHUNK_RECORDS) -> Iterator[Chunk]:
    """Yield the records of each partition from `start` up to but without `end`, in order; partitions take turns as the broker answers.

    What retention or compaction has removed is left out. Raises UnavailableError when the broker does not answer or a topic does not exist.
    """
    left = {(physical_name(kafka, topic), number): (topic, bounds) for (topic, number), bounds in stretches.items() if bounds.start < bounds.end}
    if not left:
        return
    config = {"group.id": "trueloop-reader", "enable.auto.commit": False, "auto.offset.reset": "earliest", "enable.partition.eof": True}
    consumer = Consumer(client_config(kafka) | config | {"fetch.wait.max.ms": 10, "queued.max.messages.kbytes": 16 * 1024})
    try:
        consumer.assign([TopicPartition(physical, number, bounds.start) for (physical, number), (_, bounds) in left.items()])
        deadline = time.monotonic() + TIMEOUT_S
        while left:
            messages = consumer.consume(at_most, _POLL_S)
            if messages:
                deadline = time.monotonic() + TIMEOUT_S
            elif time.monotonic() > deadline:
                raise UnavailableError(f"topic {next(iter(left))[0]!r} did not answer within {TIMEOUT_S:g} s; is the broker up?")
            yield from _chunks(consumer, messages, left)
    finally:
        consumer.close()


def _chunks(consumer: Consumer, messages: Iterable[Message], left: dict[tuple[str, int], tuple[str, Bounds]]) -> Iterator[Chunk]:
    """Yield what is wanted of a fetch, and take partitions that are at their end out of `left`."""
    found: dict[tuple[str, int], list[PastRecord]] = {}
    over: list[tuple[str, int]] = []
    for message in messages:
        error, place = message.error(), (str(message.topic()), int(message.partition() or 0))
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise UnavailableError(f"reading {place[0]!r}: {error.str()}")
        if place not in left or place in over:
            continue
        offset, end = int(message.offset() or 0), left[place][1].end
        if error is None and offset < end:
            found.setdefault(place, []).append(_record(message))
        if error is not None or offset >= end - 1:
            over.append(place)
    for place, records in found.items():
        yield Chunk(left[place][0], place[1], tuple(records))
    for place in over:
        del left[place]
    if over and left:
        consumer.pause([TopicPartition(*place) for place in over])


def read_merged(kafka: KafkaSettings, stretches: Mapping[Partition, Bounds], at_most: int = CHUNK_RECORDS) -> Iterator[Chunk]:
    """Yield the records of several partitions by their timestamps, those of each partition in its own order.

    Of what lies in different partitions the log keeps no order but the timestamps, which are the clocks of the producers. Equal ones are
    ordered by the place of their partition in `stretches`, so that the same log is always read in the same order.
    """
    ranked = [_ranked(rank, read_partition(kafka, partition, bounds, at_most)) for rank, (partition, bounds) in enumerate(stretches.items())]
    for (_, topic, number), run in groupby(heapq.merge(*ranked, key=lambda item: item[:2]), key=lambda item: (item[1], item[2], item[3])):
        pending: list[PastRecord] = []
        for item in run:
            pending.append(item[4])
            if len(pending) == at_most:
                yield Chunk(topic, number, tuple(pending))
                pending = []
        if pending:
            yield Chunk(topic, number, tuple(pending))


def _ranked(rank: int, chunks: Iterable[Chunk]) -> Iterator[tuple[int, int, str, int, PastRecord]]:
    """Yield time, rank, topic, partition and record; the time never falls, because the order of a partition stands."""
    latest = 0
    for chunk in chunks:
        for record in chunk.records:
            latest = max(latest, record.timestamp)
            yield latest, rank, chunk.topic, chunk.partition, record


def _record(message: Message) -> PastRecord:
    key: Any = message.key()
    value: Any = message.value()
    headers: Any = message.headers() or ()  # confluent-kafka types them as str | list | dict; received ones are a list of pairs
    kind, timestamp = message.timestamp()
    return PastRecord(key, value, tuple((name, data or b"") for name, data in headers), int(message.offset() or 0), timestamp, kind)
