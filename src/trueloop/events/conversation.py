"""Messages of a conversation, as chat models take them."""

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from trueloop.events.base import Record
from trueloop.events.identity import derive_id


class Role(StrEnum):
    """Who speaks."""

    UNKNOWN = "UNKNOWN"
    SYSTEM = "SYSTEM"
    USER = "USER"
    ASSISTANT = "ASSISTANT"
    TOOL = "TOOL"


class Message(Record):
    """One turn of a conversation. The content is hostile text: never logged, never executed, always escaped."""

    role: Role = Field(description="Who speaks: SYSTEM, USER, ASSISTANT or TOOL.")
    content: str = Field(description="Text of the turn, UTF-8; empty is allowed.")


def prompt_hash(messages: Sequence[Message]) -> str:
    """Return the identity of a prompt: what train and calibration splits are made by, so that they never share one."""
    return derive_id("prompt", *(part for message in messages for part in (message.role.value, message.content)))
