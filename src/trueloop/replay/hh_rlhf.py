"""HH-RLHF (Bai et al. 2022, arXiv 2204.05862): two dialogues that differ in the last answer, one of which a person chose."""

import re
from collections.abc import Mapping
from typing import Any

from trueloop.errors import ConfigurationError
from trueloop.events import Alternative, Consent, Message, Role, Trace, unit_interval
from trueloop.replay.item import ReplayItem, Target, UnusableRow, Verdict, text, trace_id

ANNOTATOR = "hh-rlhf-annotator"
_TURN = re.compile(r"\n\n(Human|Assistant):[ ]?")
_ROLES = {"Human": Role.USER, "Assistant": Role.ASSISTANT}


def parse_row(row: Mapping[str, Any], target: Target) -> ReplayItem:
    """Return the item of a row: the conversation up to the last answer, and both answers, of which a hash decides which one was served.

    The data set does not say which answer the person saw first; serving the chosen one always would give it away.

    Raises:
        ConfigurationError: A field is absent or no dialogue.
        UnusableRow: The dialogues differ before the last answer, so they are no pair.
    """
    chosen_prompt, chosen = dialogue(text(row, "chosen"), "chosen")
    rejected_prompt, rejected = dialogue(text(row, "rejected"), "rejected")
    if chosen_prompt != rejected_prompt:
        raise UnusableRow("prompts differ")
    identity = trace_id(target.application, "hh-rlhf", text(row, "chosen"), text(row, "rejected"))
    served, other = (chosen, rejected) if unit_interval("hh-rlhf served", identity) < 0.5 else (rejected, chosen)
    trace = Trace(
        event_id=identity,
        trace_id=identity,
        occurred_at=target.now,
        application=target.application,
        model="hh-rlhf",
        slices={"turns": "one" if len(chosen_prompt) == 1 else "several"},
        consent=Consent.TRAINING,
        messages=list(chosen_prompt),
        completion=served,
        alternatives=[Alternative(completion=other, model="hh-rlhf")],
    )
    return ReplayItem(trace, (Verdict(ANNOTATOR, chosen),))


def dialogue(content: str, field: str) -> tuple[tuple[Message, ...], str]:
    """Return the turns before the last answer, and that answer. Raises ConfigurationError when the text is no dialogue.

    >>> prompt, answer = dialogue("\\n\\nHuman: Hi\\n\\nAssistant: Hello", "chosen")
    >>> prompt[0].content, answer
    ('Hi', 'Hello')
    """
    parts = _TURN.split(content)
    turns = [Message(role=_ROLES[speaker], content=said) for speaker, said in zip(parts[1::2], parts[2::2], strict=True)]
    if parts[0].strip() or len(turns) < 2 or turns[-1].role is not Role.ASSISTANT:
        raise ConfigurationError(f"field {field!r} is no dialogue; expected turns that begin with 'Human:' or 'Assistant:' and end with an answer")
    return tuple(turns[:-1]), turns[-1].content
