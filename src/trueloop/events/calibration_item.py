"""A held-out prompt that candidates are evaluated on."""

from enum import StrEnum

from pydantic import Field

from trueloop.events.base import Event, Identifier
from trueloop.events.conversation import Message


class CalibrationReason(StrEnum):
    """Why the prompt was held out."""

    UNKNOWN = "UNKNOWN"
    HASH_SPLIT = "HASH_SPLIT"
    APPEAL = "APPEAL"


class CalibrationItem(Event):
    """A held-out prompt. Compacted topic `calibration`, key `item_id`. Its prompt is never trained on."""

    item_id: Identifier = Field(description="Id of the item: a hash of application and prompt.")
    prompt_hash: Identifier = Field(description="Identity of the prompt.")
    trace_id: Identifier = Field(description="The trace that brought the prompt.")
    reason: CalibrationReason = Field(
        description="HASH_SPLIT: a drawn trace brought it. APPEAL: a user objected to the answer. Both: by the hash of the prompt or its cluster."
    )
    slices: dict[str, str] = Field(default_factory=dict, description="Segments of the trace: name to value.")
    messages: list[Message] = Field(min_length=1, description="The prompt, oldest turn first.")
