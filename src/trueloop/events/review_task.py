"""Work for a reviewer."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Event, Identifier, Record, Timestamp
from trueloop.events.conversation import Message
from trueloop.events.trial import TrialReference


class ReviewForm(StrEnum):
    """What the reviewer is asked to do."""

    UNKNOWN = "UNKNOWN"
    RATING = "RATING"
    PAIRWISE = "PAIRWISE"
    SPAN = "SPAN"
    REWRITE = "REWRITE"
    CRITIQUE = "CRITIQUE"


class SamplingReason(StrEnum):
    """Why the trace was chosen for review."""

    UNKNOWN = "UNKNOWN"
    UNIFORM = "UNIFORM"
    UNCERTAINTY = "UNCERTAINTY"
    ANOMALY = "ANOMALY"
    APPEAL = "APPEAL"
    ALARM = "ALARM"
    ADJUDICATION = "ADJUDICATION"
    TRIAL = "TRIAL"


class Split(StrEnum):
    """What evidence on a prompt may be used for; a hash of the prompt, or of what the policy takes to be alike, decides: the two never share one."""

    UNKNOWN = "UNKNOWN"
    TRAIN = "TRAIN"
    CALIBRATION = "CALIBRATION"


class Candidate(Record):
    """One completion to judge. Its id is keyed with the deployment's blinding key: it does not tell which model wrote it."""

    candidate_id: Identifier = Field(description="Blind id of the candidate within its task.")
    completion: str = Field(description="Text of the completion, UTF-8.")


class ReviewTask(Event):
    """Work for a reviewer. Topic `review-queue`, key `task_id`. Says nothing that unblinds."""

    task_id: Identifier = Field(description="Id of the task: a hash of trace and policy, so that a trace is queued once per policy.")
    trace_id: Identifier = Field(description="The trace that is reviewed; of a trial, whose answers were never served, its own task id.")
    form: ReviewForm = Field(description="What is asked: RATING, PAIRWISE, SPAN, REWRITE or CRITIQUE.")
    rubric_id: Identifier = Field(description="The rubric to judge by.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    rubric_hash: Identifier = Field(description="Content hash of the rubric.")
    policy_id: Identifier = Field(description="The policy that sampled the trace.")
    policy_version: Annotated[int, Field(ge=1)] = Field(description="Version of the policy, >= 1.")
    policy_hash: Identifier = Field(description="Content hash of the policy.")
    sampling_prob: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        description="Probability with which this trace was to be included, (0, 1]; estimates weight by its inverse."
    )
    stratum: str = Field(description="The stratum that the probability belongs to, such as 'all', 'locale=de', 'anomaly:SLOW' or 'alarm:locale=de'.")
    reasons: list[SamplingReason] = Field(
        min_length=1, description="Why the trace was chosen: UNIFORM, UNCERTAINTY, ANOMALY, APPEAL, ALARM or ADJUDICATION; TRIAL of what is no trace."
    )
    slices: dict[str, str] = Field(default_factory=dict, description="Segments of the trace: name to value.")
    prompt_hash: Identifier = Field(description="Identity of the prompt.")
    split: Split = Field(description="TRAIN or CALIBRATION, by the hash of the prompt or of its cluster (policy: `sampling.split_by`).")
    trainable: bool = Field(description="Whether the subject's consent allows training on this trace.")
    labels_needed: Annotated[int, Field(ge=1, le=100)] = Field(description="Independent labels wanted, 1 to 100.")
    pool: str = Field(description="The group of reviewers that may take it.")
    due_at: Timestamp = Field(description="When the labels are due, UTC.")
    appellant: str | None = Field(
        default=None,
        description="Hash of the subject who objects, sealed with the deployment's blinding key: it is another word on each task, so it shows no reviewer "
        "which tasks are of one user. Null for a task that is no appeal, and for an appeal without a subject.",
    )
    adjudicates: Identifier | None = Field(
        default=None, description="The task whose truth this one is to settle, with the same candidates under the same ids; null for a task of its own."
    )
    trial: TrialReference | None = Field(default=None, description="The trial that it is part of; null for a task that is none.")
    messages: list[Message] = Field(min_length=1, description="The prompt, oldest turn first.")
    candidates: list[Candidate] = Field(min_length=1, max_length=26, description="Completions in display order, which is random per task; 1 to 26.")

    @property
    def in_population(self) -> bool:
        """Whether it was drawn from all traces with a known probability.

        An appeal was not, for a user chose it; nor was an adjudication, which speaks on the task that it settles and nowhere else; nor was a trial,
        whose answers were never served. They enter no estimate.
        """
        return not {SamplingReason.APPEAL, SamplingReason.ADJUDICATION, SamplingReason.TRIAL}.intersection(self.reasons)
