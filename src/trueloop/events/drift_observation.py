"""One bounded loss for a drift detector."""

from pydantic import Field

from trueloop.events.base import Event, Identifier, Probability


class DriftObservation(Event):
    """One bounded loss. Internal topic `drift-observations`, key `series_id`."""

    series_id: Identifier = Field(description="The series: application, metric, slice and rubric version.")
    metric: Identifier = Field(description="'dimension:NAME' for rubric ratings, 'score:NAME' for model scores.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    trace_id: Identifier = Field(description="The trace that was observed.")
    checkpoint: str | None = Field(default=None, description="Id of the serving checkpoint; null when unknown.")
    loss: Probability = Field(description="Loss of this item, [0, 1], 0 is best.")
