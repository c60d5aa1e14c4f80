"""Trials: candidate and baseline before people, who do not know which is which."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Record
from trueloop.events.conversation import Message
from trueloop.events.identity import derive_id


class TrialVerdict(StrEnum):
    """What people say of a trial. OPEN while they have not said enough; SPLIT while a senior reviewer is asked."""

    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    SPLIT = "SPLIT"
    CANDIDATE = "CANDIDATE"
    BASELINE = "BASELINE"
    TIE = "TIE"


def trial_task_id(trial_id: str, *, senior: bool) -> str:
    """Return the id of the review task of a trial: there is one for its reviewers, and one for the senior who is asked when they are split."""
    return derive_id("task", "trial", trial_id, "senior" if senior else "reviewers")


class TrialReference(Record):
    """The trial that a review task is part of. It tells what is compared, and not which answer is whose: that takes the blinding key."""

    trial_id: Identifier = Field(description="The trial.")
    evaluation_id: Identifier = Field(description="The evaluation that asked for it.")
    senior: bool = Field(description="Whether it is put before a senior reviewer, because others were split.")


class Trial(Event):
    """Two answers to a held-out prompt that people are to compare. Restricted topic `trials`, key `trial_id`: it says which answer is whose, so it is
    no topic for reviewers, who get a blind task made of it.
    """

    trial_id: Identifier = Field(description="Hash of evaluation and item. The order of these hashes is the order in which answers count.")
    evaluation_id: Identifier = Field(description="The evaluation that asks for it.")
    item_id: Identifier = Field(description="The item of the calibration set.")
    policy_id: Identifier = Field(description="The policy that wants people asked.")
    policy_version: Annotated[int, Field(ge=1)] = Field(description="Version of that policy, >= 1.")
    prompt_hash: Identifier = Field(description="Identity of the prompt.")
    slices: dict[str, str] = Field(default_factory=dict, description="Segments of the item: name to value.")
    messages: list[Message] = Field(min_length=1, description="The prompt, oldest turn first.")
    candidate_answer: str = Field(description="What the candidate answered, UTF-8.")
    baseline_answer: str = Field(description="What the baseline answered, UTF-8.")


class TrialOutcome(Event):
    """What people say of a trial now. Restricted topic `trial-outcomes`, key `trial_id`; the newest event of a trial and of each value of `senior`
    counts. What reviewers decided among themselves stands before what a senior said.
    """

    trial_id: Identifier = Field(description="The trial.")
    evaluation_id: Identifier = Field(description="The evaluation that asked for it.")
    task_id: Identifier = Field(description="The review task that was answered.")
    senior: bool = Field(description="Whether it is a senior reviewer's answer.")
    dimension: Identifier = Field(description="The dimension of the rubric that was compared, or 'overall'.")
    verdict: TrialVerdict = Field(description="CANDIDATE, BASELINE or TIE; SPLIT while a senior is asked, OPEN while labels are missing.")
    revision: Count = Field(description="Labels of the task that were read so far, >= 0; an outcome of a lower revision is out of date.")
    label_ids: list[Identifier] = Field(default_factory=list, description="Labels that it stands on.")
