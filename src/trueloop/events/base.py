"""What every event has in common."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""A key or id: 1 to 256 characters."""

Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]


def _to_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"timestamp {moment.isoformat()} has no time zone; give UTC")
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


Timestamp = Annotated[datetime, AfterValidator(_to_utc)]
"""A moment in UTC, microsecond resolution."""


class Record(BaseModel):
    """A value inside an event. Immutable; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=False, ser_json_bytes="base64", val_json_bytes="base64")


class Event(Record):
    """A fact on the stream. Derived events take `event_id` from `derive_id`, so that processing twice equals once."""

    event_id: Identifier = Field(description="Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.")
    occurred_at: Timestamp = Field(description="When it happened, by the producer's clock, UTC, microseconds since the epoch.")
    application: Identifier = Field(description="The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.")
