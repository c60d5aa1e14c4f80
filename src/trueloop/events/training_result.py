"""Progress and outcome of a training job."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Number


class JobStatus(StrEnum):
    """Where a job stands."""

    UNKNOWN = "UNKNOWN"
    STARTED = "STARTED"
    PROGRESS = "PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows of the attempt."""
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


class TrainingResult(Event):
    """Progress and outcome of a job. Topic `training-results`, key `job_id`. SUCCEEDED, FAILED and CANCELLED end an attempt."""

    job_id: Identifier = Field(description="The job.")
    status: JobStatus = Field(description="STARTED, PROGRESS, SUCCEEDED, FAILED or CANCELLED.")
    attempt: Annotated[int, Field(ge=1)] = Field(default=1, description="Which attempt at the job, >= 1; later ones were ordered on `job-orders`.")
    method: Identifier = Field(description="Trainer that ran.")
    step: Count = Field(description="Optimiser steps done.")
    total_steps: Count = Field(description="Optimiser steps planned; 0 while unknown.")
    metrics: dict[str, Number] = Field(default_factory=dict, description="Metrics by name, such as loss; finite numbers only.")
    checkpoint: str | None = Field(default=None, description="Id of the new checkpoint; null unless SUCCEEDED.")
    is_candidate: bool = Field(default=True, description="Whether the checkpoint is evaluated and gated; a reward model is not.")
    checkpoint_uri: str | None = Field(default=None, description="Where it lies; null unless SUCCEEDED.")
    checkpoint_sha256: str | None = Field(default=None, description="SHA-256 over its manifest; null unless SUCCEEDED.")
    base_checkpoint: Identifier = Field(description="Id of the checkpoint that it started from.")
    dataset: Identifier = Field(description="Name of the dataset.")
    dataset_version: Annotated[int, Field(ge=1)] = Field(description="Version of the dataset, >= 1.")
    seconds: Annotated[Number, Field(ge=0)] = Field(description="Wall time since the job started, seconds.")
    tokens: Count | None = Field(default=None, description="Tokens trained on; null while unknown.")
    seed: int | None = Field(default=None, description="Random seed; null before the configuration was read.")
    stopped_by: str | None = Field(default=None, description="Rule that ended training before its last step, such as 'plateau'; null for none.")
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the packages that matter, by name.")
    error_class: str | None = Field(default=None, description="Class of the error; null unless FAILED or CANCELLED.")
    error: str | None = Field(default=None, description="What went wrong and what to do, without any training text; null unless FAILED or CANCELLED.")
