"""Values of a batch as events: one per series."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from trueloop.drift.observations import coded_checkpoints
from trueloop.drift.series import DriftSeries
from trueloop.events import DriftValues, derive_id

Ints = npt.NDArray[np.int64]
NUMBERS = ("latency_ms", "prompt_tokens", "completion_tokens", "completion_chars")
"""Metrics of one number per trace, >= 0."""
EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True)
class Values:
    """What was measured of the same items, in their order.

    `values` are float64 of shape (n,), or unit vectors in steps of 1/1024, int16 of shape (n, dimensions); `marks` are 64-bit hashes of the items'
    ids, `checkpoints` places in the names given with them (-1: unknown), `offsets` ascend within `source`, the 'topic/partition' that was read.
    """

    values: npt.NDArray[np.float64] | npt.NDArray[np.int16]
    marks: Ints
    checkpoints: Ints
    source: str
    offsets: Ints


def values_told(series: DriftSeries, application: str, occurred_at: datetime, items: Values, checkpoints: list[str]) -> DriftValues:
    """Return the event that tells a series of items. `occurred_at` is the newest item's time."""
    names, places = coded_checkpoints(items.checkpoints, checkpoints)
    return DriftValues(
        event_id=derive_id("drift-values", series.series_id, items.source, f"{items.offsets[0]}-{items.offsets[-1]}"),
        occurred_at=occurred_at,
        application=application,
        series_id=series.series_id,
        metric=series.metric,
        slice=series.slice,
        source=items.source,
        width=1 if items.values.ndim == 1 else items.values.shape[1],
        values=items.values.astype("<f8" if items.values.ndim == 1 else "<i2").tobytes(),
        marks=items.marks.astype("<i8").tobytes(),
        offsets=items.offsets.astype("<i8").tobytes(),
        checkpoints=names,
        checkpoint_of=places.astype("<i8").tobytes() if len(np.unique(places)) > 1 else b"",
    )
