"""What the sink holds and what it makes of records, without a broker."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.factories import distinct, example
from trueloop import topics
from trueloop.adapters.clickhouse import pending
from trueloop.adapters.clickhouse.pending import Batch, Pending
from trueloop.adapters.clickhouse.rows import MIN_TOGETHER, RowReader
from trueloop.codec import Codec
from trueloop.errors import UnavailableError
from trueloop.events import Erasure, ReviewerQuality
from trueloop.rejection import RejectReason
from trueloop.testing import MemoryRegistry


@dataclass
class Record:
    """A Kafka record as far as the sink looks at it."""

    bytes_: bytes | None = b""
    at: int = 0
    of: int = 0

    def value(self) -> bytes | None:
        return self.bytes_

    def offset(self) -> int:
        return self.at

    def partition(self) -> int:
        return self.of

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000 + self.at

    def __len__(self) -> int:
        return len(self.bytes_ or b"")


def held(*batches: tuple[str, list[Any]]) -> Pending:
    found = Pending()
    for topic, records in batches:
        for record in records:
            found.add(topic, record, 0.0)
    return found


def test_a_token_names_the_records_of_all_partitions() -> None:
    batch = Batch("traces", 0.0)
    for record in (Record(at=7), Record(at=8), Record(at=3, of=2), Record(at=11), Record(at=4, of=2)):
        batch.add(record)
    assert batch.token == "traces:0:7-11,2:3-4"
    assert batch.partitions == {("traces", 0), ("traces", 2)}


@pytest.mark.parametrize(
    ("records", "now", "due"),
    [
        ([Record(b"x")], pending.MAX_AGE_S * 0.9, False),
        ([Record(b"x")], pending.MAX_AGE_S, True),
        ([Record(b"x")] * (pending.MAX_ROWS - 1), 0.0, False),
        ([Record(b"x")] * pending.MAX_ROWS, 0.0, True),
        ([Record(bytes(pending.MAX_BATCH_BYTES - 1))], 0.0, False),
        ([Record(bytes(pending.MAX_BATCH_BYTES))], 0.0, True),
    ],
)
def test_a_batch_is_due_when_it_is_old_or_full(records: list[Record], now: float, due: bool) -> None:
    found = held(("traces", records))
    assert [batch.topic for batch in found.due(now)] == ["traces"] * due
    assert (found.size == 0) == due


def test_everything_is_due_when_memory_is_short() -> None:
    some = Record(bytes(pending.MAX_BYTES // 3 + 1))
    found = held(("traces", [some]), ("labels", [some]))
    assert list(found.due(0.0)) == []
    found.add("gold", some, 0.0)  # type: ignore[arg-type]
    assert [batch.topic for batch in found.due(0.0)] == ["traces", "labels", "gold"]
    assert found.size == 0


def test_partitions_are_forgotten_and_the_others_of_the_topic_kept() -> None:
    found = held(("traces", [Record(b"ab", 1, 0), Record(b"c", 1, 1), Record(b"d", 2, 0)]), ("labels", [Record(b"e", 5, 0)]))
    found.forget({("traces", 0)})
    assert sorted(batch.token for batch in found.take()) == ["labels:0:5-5", "traces:1:1-1"]


def test_the_same_rows_whether_read_together_or_singly() -> None:
    codec = Codec(MemoryRegistry())
    records = [Record(codec.encode(topics.ERASURES, event), place, place % 3) for place, event in enumerate(distinct(Erasure, 3 * MIN_TOGETHER))]
    reader = RowReader(codec)
    together = reader.rows("erasures", records).data
    singly = [reader.rows("erasures", [record]).data for record in records]
    assert together is not None
    assert together.to_pylist() == [table.to_pylist()[0] for table in singly if table is not None]
    assert together["_offset"].to_pylist() == list(range(len(records)))


def test_bad_records_are_told_of_and_the_others_are_rows() -> None:
    codec = Codec(MemoryRegistry())
    good = [codec.encode(topics.REVIEWERS, event) for event in distinct(ReviewerQuality, 2 * MIN_TOGETHER)]
    values = [*good[:5], good[5][:-1], None, *good[6:], b"\x00\x00\x00\x00\x63rest"]
    rows = RowReader(codec).rows("reviewers", [Record(value, place) for place, value in enumerate(values)])
    assert [(message.offset(), error.reason) for message, error in rows.rejected] == [
        (5, RejectReason.TRUNCATED),
        (len(values) - 1, RejectReason.UNKNOWN_SCHEMA),
    ]
    assert [message.offset() for message in rows.deletions] == [6]
    assert rows.data is not None
    assert sorted(rows.data["_offset"].to_pylist()) == [place for place in range(len(values)) if place not in (5, 6, len(values) - 1)]
    assert sorted(message.offset() for message in rows.rowless) == [5, 6, len(values) - 1]


def test_a_value_that_fits_no_column_is_refused_alone() -> None:
    class Generous(Codec):
        """Gives a number that a reader of another kind might give."""

        def decode_record(self, topic: topics.Topic, data: bytes | None) -> dict[str, Any]:
            return example(ReviewerQuality).model_dump() | ({"n_labels": 2**70} if data == b"large" else {})

    rows = RowReader(Generous(MemoryRegistry())).rows("reviewers", [Record(b"a", 0), Record(b"large", 1), Record(b"b", 2)])
    assert [(message.offset(), error.reason) for message, error in rows.rejected] == [(1, RejectReason.INVALID_EVENT)]
    assert rows.data is not None
    assert rows.data["_offset"].to_pylist() == [0, 2]


def test_a_registry_that_is_away_is_no_fault_of_many_records_either() -> None:
    class Away(MemoryRegistry):
        def schema(self, schema_id: int) -> str:
            raise UnavailableError("no answer")

    data = Codec(MemoryRegistry()).encode(topics.ERASURES, example(Erasure))
    with pytest.raises(UnavailableError):
        RowReader(Codec(Away())).rows("erasures", [Record(data, place) for place in range(2 * MIN_TOGETHER)])
