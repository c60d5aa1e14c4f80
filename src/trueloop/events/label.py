"""A reviewer's verdict."""

from typing import Annotated

from pydantic import Field

from trueloop.events.base import Event, Identifier, Number
from trueloop.events.judgement import Critique, Preference, Rating, Rewrite, SpanMark


class Label(Event):
    """A reviewer's verdict on a task. Topic `labels`, key `task_id`. Its `event_id` is the label id.

    A label with `supersedes` replaces an earlier one of the same reviewer; one with `retracts` only takes it back.
    """

    task_id: Identifier = Field(description="The task that is answered.")
    reviewer_id: Identifier = Field(description="Pseudonym of the reviewer.")
    rubric_id: Identifier = Field(description="The rubric that was applied.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    ratings: list[Rating] = Field(default_factory=list, description="Ratings per candidate and dimension.")
    preferences: list[Preference] = Field(default_factory=list, description="Preferences per dimension and overall.")
    spans: list[SpanMark] = Field(default_factory=list, description="Errors marked in the completions.")
    rewrite: Rewrite | None = Field(default=None, description="A better completion; null when none was written.")
    critiques: list[Critique] = Field(default_factory=list, description="Critiques by principle.")
    seconds_spent: Annotated[Number, Field(ge=0)] | None = Field(default=None, description="Active time on the task, seconds, >= 0; null when not measured.")
    supersedes: Identifier | None = Field(default=None, description="Event id of the label that this one replaces; null for a first label.")
    retracts: Identifier | None = Field(default=None, description="Event id of the label that is taken back; null unless this is a retraction.")
