"""A known answer."""

from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier
from trueloop.events.judgement import Preference, Rating


class GoldAnswer(Event):
    """The known answer of a task. Topic `gold` (restricted), key `task_id`; the newest event of a task counts.

    Never shown to reviewers, never trained on.
    """

    task_id: Identifier = Field(description="The task whose answer is known.")
    rubric_id: Identifier = Field(description="The rubric that it follows.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    ratings: list[Rating] = Field(default_factory=list, description="The right ratings.")
    preferences: list[Preference] = Field(default_factory=list, description="The right preferences.")
    tolerance: Count = Field(default=0, description="Steps on the scale that a rating may be off and still be right, >= 0.")
    onboarding: bool = Field(default=False, description="Whether the task belongs to the onboarding set of new reviewers.")
    withdrawn: bool = Field(default=False, description="True when the answer turned out to be wrong: then it counts for nothing, and never did.")
