"""An order to train."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Number
from trueloop.events.dataset_version import OffsetRange
from trueloop.events.identity import derive_id


class TriggerReason(StrEnum):
    """Why training was triggered."""

    UNKNOWN = "UNKNOWN"
    NEW_PAIRS = "NEW_PAIRS"
    DRIFT = "DRIFT"
    CADENCE = "CADENCE"
    MANUAL = "MANUAL"


class TrainingRequest(Event):
    """An order to train. Topic `training-requests`, key `job_id`; the id is a hash of the order, so a replay starts no second job."""

    job_id: Identifier = Field(description="Hash of method, base checkpoint, dataset version and configuration.")
    method: Identifier = Field(description="Trainer to use, such as 'sft' or 'dpo'; the trainers that are installed decide what is known.")
    base_checkpoint: Identifier = Field(description="Id of the checkpoint to start from.")
    base_uri: Identifier = Field(description="Where that checkpoint lies.")
    baseline_checkpoint: Identifier = Field(description="Id of the checkpoint that serves; the candidate is compared with it.")
    baseline_uri: Identifier = Field(description="Where the serving checkpoint lies.")
    dataset: Identifier = Field(description="Name of the dataset.")
    dataset_version: Annotated[int, Field(ge=1)] = Field(description="Version of the dataset, >= 1.")
    dataset_hash: Identifier = Field(description="Content hash of the dataset.")
    dataset_end_offset: Count = Field(description="Offset after the last record of the dataset in `preference-pairs`.")
    dataset_excluded: list[OffsetRange] = Field(
        default_factory=list, description="Offset ranges of `preference-pairs` that were rolled back: their records are no part of the dataset."
    )
    config: str = Field(description="Trainer configuration, canonical JSON; the trainer checks it.")
    reason: TriggerReason = Field(description="NEW_PAIRS, DRIFT, CADENCE or MANUAL.")
    drift_signal_id: Identifier | None = Field(default=None, description="Event id of the alarm in `drift` that triggered; null for another reason.")
    timeout_seconds: Annotated[Number, Field(gt=0)] | None = Field(
        default=None, description="Wall time after which training and evaluation are given up, seconds, > 0; null for never."
    )
    rubric_id: Identifier = Field(description="The rubric that the labels follow.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    policy_id: Identifier = Field(description="The policy that triggered.")
    policy_version: Annotated[int, Field(ge=1)] = Field(description="Version of that policy, >= 1.")


def job_id_of(method: str, base_checkpoint: str, config: str, *, dataset: str, dataset_version: int, dataset_hash: str) -> str:
    """Return the id of the job that these make: who orders the same again, or replays the order, means the same job."""
    return derive_id("job", method, base_checkpoint, dataset, str(dataset_version), dataset_hash, config)
