"""Losses of a batch as events: one per series."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from trueloop.drift.series import DriftSeries
from trueloop.events import DriftObservations, WorstItem, derive_id

MAX_WORST = 20
_ITEMS = TypeAdapter(list[WorstItem])
"""Makes all of them in one call, which takes a fifth of the time."""


def mark_of(identity: str) -> int:
    """Return 64 bits of a hash of an item's id, as a signed number."""
    return int(derive_id("mark", identity)[:16], 16) - 2**63


@dataclass(frozen=True, slots=True)
class Losses:
    """What was observed of the same items, in their order.

    `losses` are in [0, 1], `marks` 64-bit hashes of the items' ids, `checkpoints` places in the names given with them (-1: unknown); `trace_id`
    gives the trace of an item by its place.
    `source` is the 'topic/partition' where the items were read, at ascending `offsets`; None when there is no such order.
    """

    losses: npt.NDArray[np.float64]
    marks: npt.NDArray[np.int64]
    checkpoints: npt.NDArray[np.int64]
    trace_id: Callable[[int], str]
    source: str | None = None
    offsets: npt.NDArray[np.int64] | None = None


def observations(series: DriftSeries, application: str, occurred_at: datetime, items: Losses, checkpoints: Sequence[str]) -> DriftObservations:
    """Return the event that tells a series of items. `occurred_at` is the newest item's time."""
    names, places = coded_checkpoints(items.checkpoints, checkpoints)
    offsets = np.zeros(0, np.int64) if items.offsets is None else items.offsets
    parts = (items.source, f"{offsets[0]}-{offsets[-1]}") if items.source else tuple(map(str, items.marks.tolist()))
    return DriftObservations(
        event_id=derive_id("observations", series.series_id, *parts),
        occurred_at=occurred_at,
        application=application,
        series_id=series.series_id,
        metric=series.metric,
        slice=series.slice,
        source=items.source,
        losses=items.losses.astype("<f8").tobytes(),
        marks=items.marks.astype("<i8").tobytes(),
        offsets=offsets.astype("<i8").tobytes(),
        checkpoints=names,
        checkpoint_of=places.astype("<i8").tobytes() if (places != places[0]).any() else b"",
        worst=_worst(items),
    )


def coded_checkpoints(codes: npt.NDArray[np.int64], checkpoints: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the checkpoints that answered some items, and for each item its place among them; -1 when it is unknown.

    >>> names, places = coded_checkpoints(np.array([2, -1, 2]), ["v1", "v2", "v3"])
    >>> names, places.tolist()
    (['v3'], [0, -1, 0])
    """
    known = np.flatnonzero(np.bincount(codes + 1, minlength=1)[1:])
    place_of = np.full(len(checkpoints) + 1, -1)
    place_of[known] = np.arange(len(known))
    return [checkpoints[code] for code in known.tolist()], place_of[codes]  # -1 is the last of them, which no code is


def fresh(marks: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], *, last: int, recent: npt.NDArray[np.int64]) -> list[int]:
    """Return the places of items that were not counted yet.

    Args:
        marks: Of the items.
        offsets: Of the items in their source; none when there is no such order.
        last: The last offset of that source that was counted, -1 before the first.
        recent: Marks that were counted of late.

    >>> fresh(np.array([7, 8, 8, 9]), np.array([4, 5, 6, 7]), last=4, recent=np.array([9]))
    [1]
    """
    new = ~np.isin(marks, recent) if len(marks) > 1 else np.array([not (recent == mark).any() for mark in marks], dtype=bool)
    if len(offsets):
        new &= offsets > last
    places = np.flatnonzero(new)
    _, first = np.unique(marks[places], return_index=True)
    return [int(place) for place in np.sort(places[first])]


def remembered(recent: bytes, marks: npt.NDArray[np.int64], most: int) -> bytes:
    """Return the newest `most` marks, oldest first, eight bytes each, little-endian.

    >>> np.frombuffer(remembered(remembered(b"", np.array([1, 2]), 3), np.array([3, 4]), 3), "<i8").tolist()
    [2, 3, 4]
    """
    return (recent + marks.astype("<i8").tobytes())[-8 * most :]


def _worst(items: Losses) -> list[WorstItem]:
    losses, most = items.losses, MAX_WORST
    # Only what may be among the worst is sorted; of equal losses the first ones count.
    least = 0.0 if len(losses) <= most else np.partition(losses, -most)[-most]
    candidates = np.flatnonzero((losses >= least) & (losses > 0.0))
    places = candidates[np.argsort(-losses[candidates], kind="stable")][:most]
    return _ITEMS.validate_python([{"place": place, "trace_id": items.trace_id(place)} for place in places.tolist()])
