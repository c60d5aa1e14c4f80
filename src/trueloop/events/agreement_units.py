"""What one task contributes to one agreement series."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Record, Timestamp


class UnitKind(StrEnum):
    """What was judged."""

    UNKNOWN = "UNKNOWN"
    RATING = "RATING"
    PREFERENCE = "PREFERENCE"
    SPAN = "SPAN"


class UnitCounts(Record):
    """How many raters gave which value to one unit, or to each of several alike."""

    unit_id: Identifier = Field(description="The unit that was rated: a candidate, or the task for a preference. Of characters, their candidate.")
    values: list[int] = Field(description="Distinct values that were given, on the dimension's scale, ascending; for characters 0 unmarked, 1 marked.")
    counts: list[Annotated[int, Field(ge=1)]] = Field(description="Raters that gave each value, >= 1, in the order of `values`.")
    repeats: Annotated[int, Field(ge=1)] = Field(default=1, description="Units that are alike in this, >= 1: characters of a candidate; 1 for other units.")
    shown: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Candidates that were displayed, >= 1; null but for preferences.")
    shown_first: Count | None = Field(default=None, description="Labels that prefer the candidate displayed first, >= 0; null but for preferences.")


class AgreementUnits(Event):
    """All that one task contributes to one agreement series. Internal topic `agreement-units`, key `series_id`.

    It carries the whole contribution and not a difference, so that applying it twice equals applying it once.
    """

    series_id: Identifier = Field(description="The series: application, dimension, slice, rubric and version.")
    dimension: Identifier = Field(description="Dimension of the rubric; 'overall' or 'preference:NAME' for preferences; 'spans:NAME' for marked spans.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    rubric_id: Identifier = Field(description="The rubric that was applied.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    kind: UnitKind = Field(description="What was judged: RATING, PREFERENCE or SPAN.")
    task_id: Identifier = Field(description="The task that the units belong to.")
    task_at: Timestamp = Field(description="Event time of the task, UTC: it decides the window that the units count in.")
    revision: Annotated[int, Field(ge=1)] = Field(description="Labels applied to the task so far, >= 1; a lower revision never replaces a higher one.")
    units: list[UnitCounts] = Field(description="The units; empty when all labels were retracted.")
