"""Values of a distribution, for its description."""

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from trueloop.events.base import Count, Event, Identifier
from trueloop.events.trace import EMBEDDING_DIMENSIONS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class DriftValues(Event):
    """Values of one distribution, in their order. Internal topic `drift-values`, key `series_id`.

    One event holds what one batch of traces says of a series, item by item: whoever was killed sends some items again in other batches, and sums
    over a batch could not be told apart then.
    """

    series_id: Identifier = Field(description="The series: application, metric and slice.")
    metric: Identifier = Field(description="'latency_ms', 'prompt_tokens', 'completion_tokens', 'completion_chars' or 'embedding'.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    source: Identifier = Field(description="'topic/partition' where the traces were read.")
    width: Count = Field(description="Numbers per item, 1, or 384 of an embedding; >= 1.")
    values: bytes = Field(
        description="Of numbers (width 1) little-endian float64, >= 0; of embeddings the unit vectors in steps of 1/1024, little-endian int16, "
        "all 0 for one without a direction. At least one item."
    )
    marks: bytes = Field(description="Hash of each trace's id: little-endian int64. What was produced twice is known by it.")
    offsets: bytes = Field(description="Offset of each trace in `source`, ascending: little-endian int64. What is sent again is known by it.")
    checkpoints: list[str] = Field(default_factory=list, description="Ids of the checkpoints that answered, each once; empty when none is known.")
    checkpoint_of: bytes = Field(
        default=b"", description="Place in `checkpoints` of each item's checkpoint, -1 when unknown: little-endian int64. Empty when at most one answered all."
    )

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        size, item = len(self.marks), {1: 8, EMBEDDING_DIMENSIONS: 2 * EMBEDDING_DIMENSIONS}.get(self.width)
        if item is None or not size or size % 8 or len(self.values) * 8 != size * item or len(self.offsets) != size or len(self.checkpoint_of) not in (0, size):
            raise ValueError(f"values, marks, offsets and checkpoint_of must be of at least one item, of width 1 or {EMBEDDING_DIMENSIONS}")
        offsets, places = self.offset_values(), self.checkpoint_values()
        if (offsets < 0).any() or (offsets[1:] <= offsets[:-1]).any():
            raise ValueError("offsets must ascend from 0")
        if (places < -1).any() or (places >= len(self.checkpoints)).any() or (not self.checkpoint_of and len(self.checkpoints) > 1):
            raise ValueError("checkpoint_of must name a checkpoint for each item")
        # Written so that NaN fails.
        if self.width == 1 and not ((self.numbers() >= 0.0) & (self.numbers() < float("inf"))).all():
            raise ValueError("values must be finite and >= 0")
        return self

    def numbers(self) -> "npt.NDArray[np.float64]":
        """Return the values of width 1, shape (n,)."""
        import numpy as np  # whoever only sends traces does without

        return np.frombuffer(self.values, "<f8")

    def directions(self) -> "npt.NDArray[np.int16]":
        """Return the unit vectors in steps of 1/1024, shape (n, width)."""
        import numpy as np

        return np.frombuffer(self.values, "<i2").reshape(-1, self.width)

    def mark_values(self) -> "npt.NDArray[np.int64]":
        """Return the marks, shape (n,)."""
        return self._integers(self.marks)

    def offset_values(self) -> "npt.NDArray[np.int64]":
        """Return the offsets, shape (n,)."""
        return self._integers(self.offsets)

    def checkpoint_values(self) -> "npt.NDArray[np.int64]":
        """Return the places of the items' checkpoints in `checkpoints`; none when one, or an unknown one, answered all."""
        return self._integers(self.checkpoint_of)

    @staticmethod
    def _integers(data: bytes) -> "npt.NDArray[np.int64]":
        import numpy as np

        return np.frombuffer(data, "<i8")
