"""A user's objection to an answer."""

from pydantic import Field

from trueloop.events.base import Event, Identifier


class Appeal(Event):
    """A user's objection. Topic `appeals`, key `trace_id`. Opens a blind re-review; it is never a label by itself."""

    trace_id: Identifier = Field(description="The trace that is appealed against.")
    subject_id: str | None = Field(default=None, description="Pseudonym of the user; null when unknown.")
    dimension: Identifier | None = Field(default=None, description="Dimension of the rubric that it concerns; null when not said.")
    text: str = Field(default="", description="What the user says, UTF-8; hostile text.")
