"""What a person orders about a job that was requested."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Event, Identifier


class JobOrderKind(StrEnum):
    """What is to happen."""

    UNKNOWN = "UNKNOWN"
    CANCEL = "CANCEL"
    RETRY = "RETRY"


class JobOrder(Event):
    """An order about a job. Topic `job-orders`, key `job_id`; the id is a hash of job, kind and attempt, so the same order twice is one.

    A RETRY is sent before its request is sent once more on `training-requests`: whoever then reads that request, there or in a replay, makes the
    newest attempt that was ordered, once.
    """

    job_id: Identifier = Field(description="The job.")
    kind: JobOrderKind = Field(description="CANCEL ends an attempt; RETRY begins another one.")
    attempt: Annotated[int, Field(ge=1, le=1000)] = Field(description="CANCEL: the attempt that is to end. RETRY: the one that is to begin. 1 to 1000.")
    reason: Annotated[str, Field(min_length=1, max_length=1000)] = Field(description="Why, in the words of who ordered it; 1 to 1000 characters.")
    ordered_by: Identifier = Field(description="Who ordered it.")
