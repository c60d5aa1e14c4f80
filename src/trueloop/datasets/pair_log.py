"""A pairs dataset is a range of the log, less what was rolled back: its identity is a hash chain over the records in it, so that anyone can rebuild
and check it."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from trueloop.events import OffsetRange, PreferencePair, Split

EMPTY = "0" * 64
"""Content hash of a dataset without records."""


def in_dataset(pair: PreferencePair, application: str, rubric_id: str, rubric_version: int) -> bool:
    """Return whether a record belongs to the training log of this application and rubric version. Calibration pairs never do."""
    return (
        pair.application == application
        and pair.split is Split.TRAIN
        and pair.trainable
        and (pair.rubric_id, pair.rubric_version) == (rubric_id, rubric_version)
    )


def extend(chain: str, event_id: str) -> str:
    """Return the content hash after one more record.

    >>> extend(extend(EMPTY, "a"), "b") == extend(extend(EMPTY, "b"), "a")
    False
    """
    return hashlib.sha256(f"{chain}\n{event_id}".encode()).hexdigest()


def without(records: Iterable[tuple[int, PreferencePair]], excluded: Sequence[OffsetRange]) -> Iterator[PreferencePair]:
    """Yield the records of a log of (offset, pair), less those in the ranges that were rolled back."""
    return (pair for offset, pair in records if not any(part.start_offset <= offset < part.end_offset for part in excluded))
