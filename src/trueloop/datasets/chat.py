"""Prompts as chat templates take them."""

from collections.abc import Sequence

from trueloop.events import Message, Role

ChatMessage = dict[str, str]


def chat_messages(messages: Sequence[Message]) -> list[ChatMessage] | None:
    """Return the messages with the roles of chat templates, or None when a role is unknown: guessing who spoke would change the prompt.

    >>> chat_messages([Message(role=Role.USER, content="Hello")])
    [{'role': 'user', 'content': 'Hello'}]
    """
    if any(message.role is Role.UNKNOWN for message in messages):
        return None
    return [{"role": message.role.value.lower(), "content": message.content} for message in messages]
