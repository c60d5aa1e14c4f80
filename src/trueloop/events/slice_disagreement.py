"""How far reviewers disagree on a slice, as sampling is told of it."""

from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Probability, Timestamp


class SliceDisagreement(Event):
    """How far reviewers disagree on a dimension in a slice: one of the doubts that sampling may follow. Topic `slice-disagreements`, key
    `disagreement_id`. It holds from `starts_at` until the next one of its dimension, slice and rubric version begins.
    """

    disagreement_id: Identifier = Field(description="Hash of the series and the agreement that it was read off, so that a replay tells the same.")
    dimension: Identifier = Field(description="Dimension of the rubric; 'overall' or 'preference:NAME' for preferences; 'spans:NAME' for marked spans.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    rubric_id: Identifier = Field(description="The rubric that was applied.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    disagreement: Probability = Field(description="1 less the observed agreement of the newest window, [0, 1].")
    n_tasks: Count = Field(description="Tasks that it stands on, >= 1.")
    starts_at: Timestamp = Field(description="From this time of traces on, UTC: a full hour, so that probabilities change at few moments.")
    agreement_id: Identifier = Field(description="Event id of the estimate in `agreement`.")
    policy_id: Identifier = Field(description="The policy that asked for it.")
    policy_version: Annotated[int, Field(ge=1)] = Field(description="Version of that policy, >= 1.")
