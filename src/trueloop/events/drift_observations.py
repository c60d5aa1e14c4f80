"""Bounded losses for a drift detector."""

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from trueloop.events.base import Count, Event, Identifier, Record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class WorstItem(Record):
    """An observation that is worth looking at."""

    place: Count = Field(description="Its place in `losses`, >= 0.")
    trace_id: Identifier = Field(description="The trace that was observed.")


class DriftObservations(Event):
    """Bounded losses of one series, in their order. Internal topic `drift-observations`, key `series_id`.

    One event holds what one batch of traces says of a series, and its numbers lie as they do in memory: at thousands of traces a second an event,
    or even a number by itself, for each of them would cost more than the trace.
    """

    series_id: Identifier = Field(description="The series: application, metric, slice and rubric version.")
    metric: Identifier = Field(description="'dimension:NAME', 'disagreement:NAME', 'judge-gap:NAME', 'score:NAME', 'error', 'refusal' or 'limit:...'.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    source: str | None = Field(default=None, description="'topic/partition' where the traces were read; null when the losses come from labels.")
    losses: bytes = Field(description="Loss of each item in [0, 1], 0 is best: little-endian float64, one after the other; at least one.")
    marks: bytes = Field(description="Hash of each item's id: little-endian int64, as many as losses. What was produced twice is known by it.")
    offsets: bytes = Field(
        default=b"", description="Offset of each trace in `source`, ascending: little-endian int64. What is sent again is known by it. Empty without a source."
    )
    checkpoints: list[str] = Field(default_factory=list, description="Ids of the checkpoints that answered, each once; empty when none is known.")
    checkpoint_of: bytes = Field(
        default=b"", description="Place in `checkpoints` of each item's checkpoint, -1 when unknown: little-endian int64. Empty when at most one answered all."
    )
    worst: list[WorstItem] = Field(default_factory=list, max_length=20, description="The items with the largest losses above 0, largest first, at most 20.")

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        size = len(self.losses)
        if not size or size % 8 or len(self.marks) != size or len(self.offsets) not in (0, size) or len(self.checkpoint_of) not in (0, size):
            raise ValueError("losses, marks, offsets and checkpoint_of must hold 8 bytes per item, of at least one item")
        losses, offsets, checkpoint_of = self.loss_values(), self.offset_values(), self.checkpoint_values()
        # Written so that NaN fails.
        if not (losses.min() >= 0.0 and losses.max() <= 1.0):
            raise ValueError("losses must be in [0, 1]")
        if bool(self.offsets) != (self.source is not None) or (len(offsets) and offsets[0] < 0) or (offsets[1:] <= offsets[:-1]).any():
            raise ValueError("offsets must ascend from 0, and go together with source")
        if (checkpoint_of < -1).any() or (checkpoint_of >= len(self.checkpoints)).any() or (not self.checkpoint_of and len(self.checkpoints) > 1):
            raise ValueError("checkpoint_of must name a checkpoint for each item")
        if any(8 * item.place >= size for item in self.worst):
            raise ValueError("worst must name items of losses")
        return self

    def loss_values(self) -> "npt.NDArray[np.float64]":
        """Return the losses."""
        import numpy as np  # whoever only sends traces does without

        return np.frombuffer(self.losses, "<f8")

    def mark_values(self) -> "npt.NDArray[np.int64]":
        """Return the marks."""
        return self._integers(self.marks)

    def offset_values(self) -> "npt.NDArray[np.int64]":
        """Return the offsets; none without a source."""
        return self._integers(self.offsets)

    def checkpoint_values(self) -> "npt.NDArray[np.int64]":
        """Return the places of the items' checkpoints in `checkpoints`; none when one, or an unknown one, answered all."""
        return self._integers(self.checkpoint_of)

    @staticmethod
    def _integers(data: bytes) -> "npt.NDArray[np.int64]":
        import numpy as np

        return np.frombuffer(data, "<i8")

    def checkpoint_at(self, place: int) -> str | None:
        """Return the checkpoint that answered an item; None when it is unknown."""
        if self.checkpoint_of:
            index = int(self.checkpoint_values()[place])
            return self.checkpoints[index] if index >= 0 else None
        return self.checkpoints[0] if self.checkpoints else None
