"""What is probably true of one task."""

from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Number, Probability, Record


class StandingVoice(Record):
    """A label that counts, and how much its reviewer does."""

    label_id: Identifier = Field(description="Event id of the label.")
    reviewer_id: Identifier = Field(description="Pseudonym of the reviewer.")
    weight: Probability = Field(description="What the reviewer's votes count by policy, [0, 1]; 0 in onboarding and quarantine, and when involved.")
    involved: bool = Field(
        default=False,
        description="Whether the reviewer must not speak: on an appeal who labelled another task of its trace, as an adjudicator who labelled the task.",
    )


class UnitTruth(Record):
    """What is probably true of one candidate on one dimension, or of one preference."""

    dimension: Identifier = Field(description="Dimension of the rubric; 'overall' or 'preference:NAME' for preferences.")
    candidate_id: str | None = Field(default=None, description="The candidate that was rated; null for a preference.")
    categories: list[int] = Field(
        default_factory=list,
        description="Values that it may have, ascending: ratings on the scale; for preferences -1 a tie, else the place as displayed, from 0.",
    )
    probabilities: list[Probability] = Field(
        default_factory=list, description="Posterior probability of each category, [0, 1], summing to 1; empty when nobody counts who spoke of it."
    )
    mean: Number | None = Field(default=None, description="Mean rating by the reviewers' weights, on the scale; null for preferences, and when nobody counts.")
    n_labels: Count = Field(default=0, description="Labels of a weight above 0 that it stands on, >= 0; of adjudicators alone where they decided.")
    decided: int | None = Field(
        default=None, description="What an adjudicator decided: a rating on the scale, or a preference as in `categories`; null where none did."
    )


class ItemTruth(Event):
    """What is probably true of one task, given who said what and how reliable they are. Topic `truths`, key `task_id`; the newest event of a
    task counts. It stands on labels alone: a known answer of the task itself is not used, so that nothing here shows which task is gold.
    """

    task_id: Identifier = Field(description="The task.")
    rubric_id: Identifier = Field(description="The rubric that was applied.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    labels: list[StandingVoice] = Field(default_factory=list, description="The labels that count, by reviewer; empty when all were taken back.")
    units: list[UnitTruth] = Field(default_factory=list, description="What they speak of, by dimension and candidate.")
    adjudicate: bool = Field(
        default=False,
        description="Whether an adjudicator should decide: the task has its labels, and of some unit that none decided no value is likely enough by policy.",
    )
    adjudicators: list[StandingVoice] = Field(
        default_factory=list, description="The labels that count on the task's adjudication, by reviewer: they decide what they speak of."
    )

    def weights(self) -> dict[str, float]:
        """Return the weight of each reviewer who has a label, on the task or on its adjudication."""
        return {voice.reviewer_id: voice.weight for voice in (*self.adjudicators, *self.labels)}
