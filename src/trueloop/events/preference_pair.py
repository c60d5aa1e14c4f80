"""A chosen and a rejected completion of one prompt."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Event, Identifier, Number, Probability, Record
from trueloop.events.conversation import Message
from trueloop.events.review_task import Split


class PairSource(StrEnum):
    """What kind of evidence the pair stands on."""

    UNKNOWN = "UNKNOWN"
    PAIRWISE = "PAIRWISE"
    RATINGS = "RATINGS"
    REWRITE = "REWRITE"
    SPAN = "SPAN"
    """Two versions of one answer: what a reviewer's edits of marked spans made of it."""
    APPEAL = "APPEAL"
    """The answer that a user objected to, against what the re-review made of it."""


class DimensionOutcome(Record):
    """How the two completions compare on one dimension."""

    dimension: Identifier = Field(description="Dimension of the rubric, or 'overall'.")
    outcome: Annotated[int, Field(ge=-1, le=1)] = Field(description="1 when the chosen one is better, -1 when the rejected one is, 0 for a tie.")
    chosen_mean: Number | None = Field(default=None, description="Mean rating of the chosen one on the dimension's scale; null without ratings.")
    rejected_mean: Number | None = Field(default=None, description="Mean rating of the rejected one on the dimension's scale; null without ratings.")


class PreferencePair(Event):
    """A chosen and a rejected completion of one prompt. Topic `preference-pairs`, key `pair_id`; the newest event of a pair counts."""

    pair_id: Identifier = Field(description="Id of the pair: a hash of task, source and the two candidates.")
    prompt_hash: Identifier = Field(description="Identity of the prompt.")
    split: Split = Field(description="TRAIN or CALIBRATION; a calibration pair is never trained on.")
    trainable: bool = Field(description="Whether consent allows training on it.")
    revises: str | None = Field(
        default=None, description="Event id of the live event of this pair that it replaces; null when the pair is new, or holds again."
    )
    replaced_weight: Annotated[Number, Field(ge=0)] = Field(
        default=0.0, description="Weight of the event that it replaces, >= 0; 0 for none: `weight` less this is what the event adds to the effective pairs."
    )
    withdrawn: bool = Field(default=False, description="True when later labels took the pair back; it then counts for nothing.")
    margin: Annotated[Number, Field(ge=0)] = Field(
        description="Net wins over dimensions divided by their number, or the share of votes won minus lost; [0, 1]; 1 for rewrites; "
        "for one edit of a span its share of the severity of all edits of the answer."
    )
    p_correct: Probability | None = Field(
        default=None,
        description="Posterior probability that the chosen one is truly better, [0, 1]; a tie counts against it. Null for rewrites and edits: nobody compared.",
    )
    weight: Annotated[Number, Field(ge=0)] = Field(
        description="Weight in training, >= 0; 1 is a full pair: the mean weight of the reviewers who spoke of it. 0 when it was withdrawn."
    )
    source: PairSource = Field(description="PAIRWISE, RATINGS, REWRITE, SPAN or APPEAL.")
    outcomes: list[DimensionOutcome] = Field(description="Comparison per dimension.")
    task_id: Identifier = Field(description="The task it comes from.")
    trace_id: Identifier = Field(description="The trace it comes from.")
    label_ids: list[str] = Field(description="Event ids of the labels it stands on.")
    reviewers: list[str] = Field(default_factory=list, description="Pseudonyms of who gave these labels, each once, in order.")
    appellant: str | None = Field(
        default=None, description="Hash of the subject whose appeal led to the task; null when none did, and when the appeal names no subject."
    )
    rubric_id: Identifier = Field(description="The rubric that was applied.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    rubric_hash: Identifier = Field(description="Content hash of the rubric.")
    policy_version: Annotated[int, Field(ge=1)] = Field(description="Version of the policy, >= 1.")
    slices: dict[str, str] = Field(default_factory=dict, description="Segments of the trace: name to value.")
    messages: list[Message] = Field(min_length=1, description="The prompt, oldest turn first.")
    chosen: str = Field(description="The better completion, UTF-8.")
    rejected: str = Field(description="The worse completion, UTF-8.")
