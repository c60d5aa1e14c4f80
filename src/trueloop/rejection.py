"""Why an event is refused."""

from dataclasses import dataclass
from enum import StrEnum


class RejectReason(StrEnum):
    """Class of a dead letter. The first five are about bytes, the others about what the event says."""

    TRUNCATED = "TRUNCATED"
    WRONG_MAGIC = "WRONG_MAGIC"
    UNKNOWN_SCHEMA = "UNKNOWN_SCHEMA"
    SCHEMA_MISMATCH = "SCHEMA_MISMATCH"
    INVALID_EVENT = "INVALID_EVENT"
    UNKNOWN_TASK = "UNKNOWN_TASK"
    UNKNOWN_CANDIDATE = "UNKNOWN_CANDIDATE"
    UNKNOWN_DIMENSION = "UNKNOWN_DIMENSION"
    UNKNOWN_LABEL = "UNKNOWN_LABEL"
    OFF_SCALE = "OFF_SCALE"
    RUBRIC_MISMATCH = "RUBRIC_MISMATCH"
    EMPTY_LABEL = "EMPTY_LABEL"
    TOO_LARGE = "TOO_LARGE"
    TOO_LATE = "TOO_LATE"


@dataclass(frozen=True, slots=True)
class Rejection:
    """A refusal: its class, and a message that names ids and numbers but never quotes human text."""

    reason: RejectReason
    message: str
