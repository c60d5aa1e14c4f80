"""The records of a fetch, as aiokafka's parser made them."""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher

from trueloop.adapters.faust_batch.batch import RawRecord


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


def use_fetched_records() -> None:
    """Make the consumers of this process yield records as they were parsed. aiokafka has no setting for it: its fetcher names the class."""
    fetcher.PartitionRecords = FetchedRecords
