"""Train and calibration splits: prompts that are alike are held out together, by the hash of what they have in common."""

import re
from collections.abc import Mapping, Sequence

from trueloop.events import Message, Role, Split, prompt_hash
from trueloop.events.identity import derive_id, unit_interval

_WORD = re.compile(r"\w+")
_NUMBERS = re.compile(r"#(?:[.,:/-]#)+")
_SLICE = "slice:"


def split_of(cluster: str, calibration_share: float) -> Split:
    """Return the split of a cluster of prompts. Raising the share only moves clusters from TRAIN to CALIBRATION, never back.

    >>> split_of("any", 0.0), split_of("any", 1.0)
    (<Split.TRAIN: 'TRAIN'>, <Split.CALIBRATION: 'CALIBRATION'>)
    """
    return Split.CALIBRATION if unit_interval("split", cluster) < calibration_share else Split.TRAIN


def cluster_of(messages: Sequence[Message], slices: Mapping[str, str], split_by: str, identity: str | None = None) -> str:
    """Return what a prompt is held out with: the same for prompts that one split has to have together.

    Args:
        messages: The prompt, oldest turn first.
        slices: The segments of its trace.
        split_by: 'prompt' (the prompt itself), 'template' (see `template_of`), 'conversation' (its turns up to the first answer, which all prompts of
            a conversation begin with) or 'slice:NAME' (the value of a slice; a prompt without it is on its own).
        identity: The prompt's hash, by whom it is known already.

    Raises:
        ValueError: `split_by` is none of these.

    >>> one, other = ([Message(role=Role.USER, content=f"Why was I billed ${amount} on 2 May?")] for amount in ("4.71", "1,250"))
    >>> cluster_of(one, {}, "template") == cluster_of(other, {}, "template"), cluster_of(one, {}, "prompt") == cluster_of(other, {}, "prompt")
    (True, False)
    """
    if split_by == "prompt":
        return identity or prompt_hash(messages)
    if split_by == "template":
        return derive_id("template", *(part for message in messages for part in (message.role.value, template_of(message.content))))
    if split_by == "conversation":
        return derive_id("conversation", *(part for message in _opening(messages) for part in (message.role.value, message.content)))
    if split_by.startswith(_SLICE):
        value = slices.get(split_by.removeprefix(_SLICE))
        return identity or prompt_hash(messages) if value is None else derive_id(split_by, value)
    raise ValueError(f"split_by is {split_by!r}; expected 'prompt', 'template', 'conversation' or 'slice:NAME'")


def template_of(text: str) -> str:
    """Return a text less what makers of prompts fill in: words with a digit in them (numbers, ids, dates), upper case and white space.

    In time linear in the text, whatever is written there.

    >>> template_of("Order A-17x of  3.4.2026:\\nWhere is it?")
    'order a-# of #: where is it?'
    """
    masked = _WORD.sub(lambda word: "#" if any(map(str.isdigit, word[0])) else word[0], text.lower())
    return " ".join(_NUMBERS.sub("#", masked).split())


def _opening(messages: Sequence[Message]) -> Sequence[Message]:
    """Return the turns before the first answer; all of them when there is none."""
    ends = (place for place, message in enumerate(messages) if message.role is Role.ASSISTANT and place)
    return messages[: next(ends, len(messages))]
