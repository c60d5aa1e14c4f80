"""A user's objection to an answer."""

from pydantic import Field

from trueloop.events.base import Event, Identifier
from trueloop.events.conversation import Message
from trueloop.events.trace import Consent


class Appeal(Event):
    """A user's objection. Topic `appeals`, key `trace_id`. Opens a blind re-review; it is never a label by itself."""

    trace_id: Identifier = Field(description="The trace that is appealed against.")
    subject_id: str | None = Field(default=None, description="Pseudonym of the user; null when unknown.")
    dimension: Identifier | None = Field(default=None, description="Dimension of the rubric that it concerns; null when not said.")
    text: str = Field(default="", description="What the user says, UTF-8; hostile text.")
    consent: Consent = Field(
        default=Consent.UNKNOWN,
        description="What the subject allowed for the trace: without REVIEW or TRAINING nobody reads it, and the appeal is only counted.",
    )
    slices: dict[str, str] = Field(default_factory=dict, description="Segments of the trace: name to value.")
    messages: list[Message] = Field(default_factory=list, description="The prompt of the trace, oldest turn first; empty when the service has it no more.")
    completion: str | None = Field(default=None, description="The answer that is objected to, UTF-8; null when the service has it no more.")
