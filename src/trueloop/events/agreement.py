"""How far reviewers agree."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Probability, Timestamp


class Undefined(StrEnum):
    """Why an estimate has no value."""

    UNKNOWN = "UNKNOWN"
    NO_PAIRABLE_UNITS = "NO_PAIRABLE_UNITS"
    NO_VARIATION = "NO_VARIATION"


Coefficient = Annotated[float, Field(ge=-1.0, le=1.0)]


class AgreementEstimate(Event):
    """Agreement on one dimension and slice in one window. Topic `agreement`, key `series_id`. No evidence is null, never 0."""

    series_id: Identifier = Field(description="The series: application, dimension, slice, rubric and version.")
    dimension: Identifier = Field(description="Dimension of the rubric, or 'overall' for an overall preference.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    rubric_id: Identifier = Field(description="The rubric that was applied.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    window_start: Timestamp = Field(description="Start of the window, inclusive, UTC.")
    window_end: Timestamp = Field(description="End of the window, exclusive, UTC.")
    n_units: Count = Field(description="Units with two labels or more: those that can agree.")
    n_labels: Count = Field(description="Labels on those units.")
    p_o: Probability | None = Field(default=None, description="Observed agreement: mean share of agreeing pairs per unit, [0, 1]; null without evidence.")
    alpha_nominal: Coefficient | None = Field(default=None, description="Krippendorff's alpha, nominal, [-1, 1]; null when undefined.")
    alpha_ordinal: Coefficient | None = Field(default=None, description="Krippendorff's alpha, ordinal, [-1, 1]; null when undefined.")
    ac1: Coefficient | None = Field(default=None, description="Gwet's AC1, [-1, 1]; null when not estimated.")
    ci_low: Coefficient | None = Field(default=None, description="Lower 95 % bound of the ordinal alpha, [-1, 1]; null when not estimated.")
    ci_high: Coefficient | None = Field(default=None, description="Upper 95 % bound of the ordinal alpha, [-1, 1]; null when not estimated.")
    undefined: Undefined | None = Field(default=None, description="Why alpha is null: NO_PAIRABLE_UNITS or NO_VARIATION; null when it is defined.")
