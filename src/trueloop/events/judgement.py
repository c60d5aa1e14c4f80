"""What a reviewer can say of a candidate. Used by labels and gold answers."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Identifier, Record


class Severity(StrEnum):
    """How bad an error is, as in MQM."""

    UNKNOWN = "UNKNOWN"
    MINOR = "MINOR"
    MAJOR = "MAJOR"
    CRITICAL = "CRITICAL"


class Rating(Record):
    """A value on the rubric's scale for one candidate and dimension."""

    candidate_id: Identifier = Field(description="The candidate that is rated.")
    dimension: Identifier = Field(description="Dimension of the rubric.")
    value: int = Field(ge=-(2**31), le=2**31 - 1, description="Value on the dimension's scale, whose ends the rubric gives.")


class Preference(Record):
    """Which candidate is better, on one dimension or over all."""

    dimension: Identifier | None = Field(default=None, description="Dimension of the rubric; null means overall.")
    preferred: Identifier | None = Field(description="Id of the better candidate; null is a tie.")


class SpanMark(Record):
    """An error marked in a completion."""

    candidate_id: Identifier = Field(description="The candidate that holds the span.")
    start: Annotated[int, Field(ge=0)] = Field(description="First character, 0-based, in Unicode code points.")
    end: Annotated[int, Field(ge=0)] = Field(description="One past the last character, in Unicode code points; > start.")
    dimension: Identifier = Field(description="Dimension that the error counts against.")
    severity: Severity = Field(description="MINOR, MAJOR or CRITICAL.")
    replacement: str | None = Field(default=None, description="Text that mends it; null when none was given.")


class Rewrite(Record):
    """A completion as the reviewer would have written it."""

    candidate_id: Identifier = Field(description="The candidate that was rewritten.")
    completion: str = Field(min_length=1, description="The better text, UTF-8.")


class Critique(Record):
    """What a principle of the rubric says against a candidate."""

    candidate_id: Identifier = Field(description="The candidate that is criticised.")
    principle: Identifier = Field(description="Name of the principle.")
    text: str = Field(description="The critique, UTF-8.")
