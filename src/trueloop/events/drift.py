"""Whether a series has left its reference."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Number, Probability


class DriftState(StrEnum):
    """What a detector says of its series."""

    UNKNOWN = "UNKNOWN"
    NO_DATA = "NO_DATA"
    OK = "OK"
    WARNING = "WARNING"
    ALARM = "ALARM"


class DriftSignal(Event):
    """What a detector says of a series. Topic `drift`, key `series_id`."""

    series_id: Identifier = Field(description="The series: application, metric, slice and rubric version.")
    metric: Identifier = Field(description="'dimension:NAME' for rubric ratings, 'score:NAME' for model scores.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    detector: Identifier = Field(description="Name of the detector.")
    state: DriftState = Field(description="NO_DATA, OK, WARNING or ALARM.")
    log_e_value: Number | None = Field(
        default=None, description="Natural logarithm of the detector's e-statistic, any finite number; null before the reference is full."
    )
    threshold: Number | None = Field(default=None, description="Value of `log_e_value` at which it alarms, in its unit (natural logarithm).")
    arl_target: Annotated[Number, Field(gt=0)] | None = Field(default=None, description="Declared average number of observations between false alarms, > 0.")
    n_reference: Count = Field(description="Observations in the reference, >= 0.")
    reference_mean: Probability | None = Field(default=None, description="Mean loss of the reference, [0, 1]; null without one.")
    n_current: Count = Field(description="Observations since the reference was full or the detector restarted, >= 0.")
    current_mean: Probability | None = Field(default=None, description="Mean loss of those, [0, 1]; null without any.")
    checkpoint: str | None = Field(default=None, description="Serving checkpoint of the newest observation; null when unknown.")
    evidence_trace_ids: list[str] = Field(default_factory=list, description="Newest traces with the largest losses, at most 20.")
