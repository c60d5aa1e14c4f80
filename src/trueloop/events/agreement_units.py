"""What one task contributes to one agreement series."""

from typing import Annotated

from pydantic import Field

from trueloop.events.base import Event, Identifier, Record, Timestamp


class UnitCounts(Record):
    """How many raters gave which value to one unit; replaces what was said of the unit before."""

    unit_id: Identifier = Field(description="The unit that was rated: a candidate, or the task for a preference.")
    values: list[int] = Field(description="Distinct values that were given, on the dimension's scale, ascending.")
    counts: list[Annotated[int, Field(ge=1)]] = Field(description="Raters that gave each value, >= 1, in the order of `values`.")


class AgreementUnits(Event):
    """All that one task contributes to one agreement series. Internal topic `agreement-units`, key `series_id`.

    It carries the whole contribution and not a difference, so that applying it twice equals applying it once.
    """

    series_id: Identifier = Field(description="The series: application, dimension, slice, rubric and version.")
    dimension: Identifier = Field(description="Dimension of the rubric, or 'overall' for an overall preference.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    rubric_id: Identifier = Field(description="The rubric that was applied.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    task_id: Identifier = Field(description="The task that the units belong to.")
    task_at: Timestamp = Field(description="Event time of the task, UTC: it decides the window that the units count in.")
    revision: Annotated[int, Field(ge=1)] = Field(description="Labels applied to the task so far, >= 1; a lower revision never replaces a higher one.")
    units: list[UnitCounts] = Field(description="The units; empty when all labels were retracted.")
