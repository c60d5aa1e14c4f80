"""The records of a fetch, without aiokafka's copy of each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import cramjam
import numpy as np
from aiokafka import codec
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.memory_records import MemoryRecords

from trueloop.adapters.faust_batch.records import RawRecord, SpannedRecords, Spans, sizes_of
from trueloop.columns.packed import packed
from trueloop.columns.walk import Ints
from trueloop.compiled import compiled

_COMPILED = compiled("adapters.faust_batch.compiled")
_HEADER_BYTES = 61
"""Of a record batch, before its records."""
_LENGTH_AT, _LENGTH_ENDS, _MAGIC_AT, _COUNT_AT = 8, 12, 16, 57
_SUMMED_FROM = 21
_MAGIC, _APPEND_TIME = 2, 1
MOST_AT_ONCE = 2**31
"""Records that are taken where no number is wanted: all of them."""
_DECOMPRESS: dict[int, Callable[[Any], Any]] = {
    0: lambda payload: payload,
    1: codec.gzip_decode,
    2: lambda payload: codec.snappy_decode(bytes(payload)),
    3: cramjam.lz4.decompress,
    4: lambda payload: codec.zstd_decode(bytes(payload)),
}
"""By the number of the codec in a record batch."""


class FetchedRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """Yields what aiokafka parsed instead of copying each record into a dataclass of eleven fields, which costs as much again as parsing it.

    The records do not know their topic and partition; batches do.
    """

    def __iter__(self) -> Iterator[RawRecord]:
        # The generator itself: aiokafka's own `__next__` around it costs a call per record.
        records: Iterator[RawRecord] = self._records_iterator or iter(())
        return records

    def _consumer_record(self, _tp: Any, record: RawRecord) -> RawRecord:
        return record


class FetchedBytes(MemoryRecords):  # type: ignore[misc]
    """The record batches of a fetch, whose bytes can be had too."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._data = memoryview(data)
        self._place = 0

    def next_bytes(self) -> memoryview:
        """Return the bytes of the batch that `next_batch` returns next. The two are to be called in turn."""
        place = self._place
        self._place = place + _LENGTH_ENDS + int.from_bytes(self._data[place + _LENGTH_AT : place + _LENGTH_ENDS], "big")
        return self._data[place : self._place]


@dataclass(slots=True)
class _Opened:
    """A record batch that was decompressed, from the first record that was not taken yet."""

    data: memoryview
    edges: Ints
    spans: Spans
    lies_at: int
    """Where the spans take the first byte to lie."""
    next_offset: int

    def take(self, most: int, at: int = 0) -> tuple[memoryview, Spans]:
        """Return the first records, at most so many, as spans of a buffer where their bytes lie at `at`, and these bytes."""
        if at == self.lies_at and most >= len(self.spans.offsets) and not self.edges[0]:
            whole, self.spans = self.spans, self.spans[:0]
            return self.data, whole
        edges, taken, self.edges = self.edges[: most + 1], self.spans[:most], self.edges[most:]
        self.spans = self.spans[most:]
        first, last = int(edges[0]), int(edges[-1])
        return self.data[first:last], taken.moved(at - self.lies_at - first)


class SpannedRecordsOfFetch(FetchedRecords):
    """Gives many records at once, as spans of their bytes."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # aiokafka's generator refers to its owner: unused, it would keep the bytes of the fetch until the garbage collector comes by.
        self._records_iterator = None
        self._opened: _Opened | None = None
        self._corrupt = False

    def take(self, most: int | None) -> Sequence[RawRecord]:
        """Return the next records, at most so many; none when there are no more. Raises CorruptRecordException, and from then on returns none."""
        pieces: list[tuple[memoryview, Spans]] = []
        left, size = MOST_AT_ONCE if most is None else most, 0
        while left > 0 and self._open(size):
            opened = cast(_Opened, self._opened)
            data, spans = opened.take(left, size)
            pieces.append((data, spans))
            left, size = left - len(spans.offsets), size + len(data)
            rest = len(opened.spans.offsets)
            self.next_fetch_offset = int(spans.offsets[-1]) + 1 if rest else opened.next_offset
            if not rest:
                self._opened = None
        return SpannedRecords.of(pieces) if pieces else ()

    def _open(self, at: int) -> bool:
        """Have a batch open that holds records; return whether there is one. It will mostly lie at `at`. The order of the checks is aiokafka's."""
        while self._opened is None and not self._corrupt and self._records.has_next():
            data = self._records.next_bytes()
            batch = self._records.next_batch()
            self._corrupt = True  # until the batch is open: aiokafka goes no further in a fetch that it could not read, and asks for it again
            if self._check_crcs and not _is_whole(batch, data):
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            if not self._is_aborted(batch) and not batch.is_control_batch:
                opened = _opened(batch, data, at)
                skipped = int(np.searchsorted(opened.spans.offsets, self.next_fetch_offset))
                if skipped:
                    opened.take(skipped)
                if len(opened.spans.offsets):
                    self._opened = opened
            if self._opened is None:
                self.next_fetch_offset = batch.next_offset
            self._corrupt = False
        return self._opened is not None

    def _is_aborted(self, batch: Any) -> bool:
        if self._isolation_level != fetcher.READ_COMMITTED or batch.producer_id is None:
            return False
        self._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and self._contains_abort_marker(batch):
            self._aborted_producers.discard(batch.producer_id)
        return bool(batch.is_transactional and batch.producer_id in self._aborted_producers)


class SpannedResult(fetcher.FetchResult):  # type: ignore[misc]
    """A fetch of a partition that is handed over as spans."""

    def getall(self, max_records: int | None = None) -> Sequence[RawRecord]:
        """Return at most so many records; none when the position has moved meanwhile, or when there are no more."""
        if not self.check_assignment(self._topic_partition) or not self.has_more():
            return ()
        fetched: SpannedRecordsOfFetch = self._partition_records  # type: ignore[has-type]
        records = fetched.take(max_records)
        self._update_position()
        if not records:
            self._partition_records = None
        return records


def _is_whole(batch: Any, data: memoryview) -> bool:
    if data[_MAGIC_AT] < _MAGIC:
        return bool(batch.validate_crc())
    return bool(batch.crc == cast(Any, _COMPILED).crc32c(data[_SUMMED_FROM:]))


def _opened(batch: Any, data: memoryview, at: int) -> _Opened:
    """Decompress a batch and find its records. Raises CorruptRecordException, UnsupportedCodecError."""
    if data[_MAGIC_AT] < _MAGIC:
        return _of_old_format(batch)
    decompress = _DECOMPRESS.get(batch.compression_type)
    if decompress is None:
        raise UnsupportedCodecError(f"Unknown compression codec {batch.compression_type:#04x}")
    payload = memoryview(decompress(data[_HEADER_BYTES:]))
    count = int.from_bytes(data[_COUNT_AT:_HEADER_BYTES], "big", signed=True)
    try:
        found = cast(Any, _COMPILED).spans(payload, count, batch.base_offset, batch.first_timestamp, at)
    except ValueError as error:
        raise CorruptRecordException(f"Found invalid record structure: {error}") from None
    edges, offsets, timestamps, *places = (np.frombuffer(each, np.int64) for each in found)
    kind = batch.timestamp_type
    if kind == _APPEND_TIME:
        timestamps = np.full(count, batch.max_timestamp)
    spans = Spans(offsets, timestamps, np.full(count, kind), *places)
    return _Opened(payload, edges, spans, at, batch.next_offset)


def _of_old_format(batch: Any) -> _Opened:
    """Return the records of a batch from before Kafka 0.11, which only aiokafka reads. They have no headers."""
    records = list(batch)
    found = packed([part for record in records for part in (record.key, record.value)])
    edges = np.concatenate([[0], np.cumsum(sizes_of(records))])
    numbers = [np.array([getattr(record, name) for record in records], np.int64) for name in ("offset", "timestamp", "timestamp_type")]
    spans = Spans(numbers[0], numbers[1], numbers[2], found.start[0::2], found.end[0::2], found.start[1::2], found.end[1::2], np.full(len(records), -1))
    return _Opened(memoryview(found.data), edges, spans, 0, batch.next_offset)


def use_fetched_records() -> None:
    """Make the consumers of this process yield records as they were parsed. aiokafka has no setting for it: its fetcher names the classes."""
    if _COMPILED is None:
        fetcher.PartitionRecords = FetchedRecords
    else:
        fetcher.MemoryRecords, fetcher.PartitionRecords, fetcher.FetchResult = FetchedBytes, SpannedRecordsOfFetch, SpannedResult
