"""Bounded losses for a drift detector."""

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from trueloop.events.base import Count, Event, Identifier, Probability, Record

Mark = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class WorstItem(Record):
    """An observation that is worth looking at."""

    place: Count = Field(description="Its place in `losses`, >= 0.")
    trace_id: Identifier = Field(description="The trace that was observed.")


class DriftObservations(Event):
    """Bounded losses of one series, in their order. Internal topic `drift-observations`, key `series_id`.

    One event holds what one batch of traces says of a series: at thousands of traces a second an event for each would cost more than the trace.
    """

    series_id: Identifier = Field(description="The series: application, metric, slice and rubric version.")
    metric: Identifier = Field(description="'dimension:NAME' for rubric ratings, 'score:NAME' for model scores.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    source: str | None = Field(default=None, description="'topic/partition' where the traces were read; null when the losses come from labels.")
    offsets: list[Count] = Field(
        default_factory=list, description="Offset of each trace in `source`, ascending: what is sent again is known by it. Empty without a source."
    )
    losses: list[Probability] = Field(min_length=1, description="Loss of each item, [0, 1], 0 is best.")
    marks: list[Mark] = Field(description="Hash of each item's id, [-2^63, 2^63): what was produced twice is known by it.")
    checkpoints: list[str] = Field(default_factory=list, description="Ids of the checkpoints that answered, each once; empty when none is known.")
    checkpoint_of: list[Annotated[int, Field(ge=-1)]] = Field(
        default_factory=list, description="Place in `checkpoints` of each item's checkpoint, -1 when it is unknown; empty when there is at most one for all."
    )
    worst: list[WorstItem] = Field(default_factory=list, max_length=20, description="The items with the largest losses above 0, largest first, at most 20.")

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        n = len(self.losses)
        if len(self.marks) != n or len(self.offsets) not in (0, n) or len(self.checkpoint_of) not in (0, n):
            raise ValueError("losses, marks, offsets and checkpoint_of must have one entry per item")
        if bool(self.offsets) != (self.source is not None):
            raise ValueError("offsets and source go together")
        if any(later <= earlier for earlier, later in pairwise(self.offsets)):
            raise ValueError("offsets must ascend")
        if max(self.checkpoint_of, default=-1) >= len(self.checkpoints) or (not self.checkpoint_of and len(self.checkpoints) > 1):
            raise ValueError("checkpoint_of must name a checkpoint for each item")
        if any(item.place >= n for item in self.worst):
            raise ValueError("worst must name items of losses")
        return self

    def checkpoint_at(self, place: int) -> str | None:
        """Return the checkpoint that answered an item; None when it is unknown."""
        if self.checkpoint_of:
            index = self.checkpoint_of[place]
            return self.checkpoints[index] if index >= 0 else None
        return self.checkpoints[0] if self.checkpoints else None
