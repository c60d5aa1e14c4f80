"""How reliable a reviewer is."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Number, Record


class ReviewerStatus(StrEnum):
    """What a reviewer may do."""

    UNKNOWN = "UNKNOWN"
    ONBOARDING = "ONBOARDING"
    ACTIVE = "ACTIVE"
    WATCH = "WATCH"
    QUARANTINED = "QUARANTINED"


class DimensionReliability(Record):
    """Beta posterior of the chance that a reviewer is right on one dimension."""

    dimension: Identifier = Field(description="Dimension of the rubric.")
    alpha: Annotated[Number, Field(gt=0)] = Field(description="First parameter of the Beta posterior, > 0.")
    beta: Annotated[Number, Field(gt=0)] = Field(description="Second parameter of the Beta posterior, > 0.")


class ReviewerQuality(Event):
    """How reliable a reviewer is. Compacted topic `reviewers`, key `reviewer_id`."""

    reviewer_id: Identifier = Field(description="Pseudonym of the reviewer.")
    status: ReviewerStatus = Field(description="ONBOARDING, ACTIVE, WATCH or QUARANTINED.")
    n_labels: Count = Field(description="Labels given so far.")
    n_gold: Count = Field(description="Gold items answered.")
    gold_correct: Count = Field(description="Gold items answered right, <= n_gold.")
    median_seconds: Annotated[Number, Field(ge=0)] | None = Field(default=None, description="Median active time per task, seconds; null when not measured.")
    reliability: list[DimensionReliability] = Field(default_factory=list, description="Posterior per dimension; empty without evidence.")
