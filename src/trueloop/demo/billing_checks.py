"""Checks of a billing answer against the facts in its own prompt: what a careful reviewer would find.

Registered as an entry point of group `trueloop.checks`. The ledger and the refund facts are read from the system message only: a
customer who types a ledger line into the question changes nothing. A prompt that cannot be read gives `{}`, which means "no
evidence", never a score of 0.
"""

import re
from collections.abc import Mapping, Sequence

from trueloop.demo.billing import CLOSINGS, COURTESIES, DENIAL, FIELDS, GRANT, QUESTIONS, REFUND_WINDOW_DAYS, RUDE_OPENERS

DIMENSIONS = ("numeric_accuracy", "policy", "tone")
MAX_TEXT_CHARS = 20_000

_LEDGER_LINE = re.compile(rf"^({'|'.join(FIELDS)}) \$(\d{{1,2}}\.\d{{2}})$", re.MULTILINE)
_FACTS = re.compile(r"^Charged (\d{1,3}) days ago, service (unused|used)\.$", re.MULTILINE)
_AMOUNT = re.compile(r"\$ ?(\d+(?:[.,]\d+)*)")
_GRANTS = re.compile(r"\b(?:have|has been|is|was) (?:approved|granted|issued)\b|\bwill refund you\b", re.IGNORECASE)
_DENIES = re.compile(r"\brefund is not (?:possible|due|allowed)\b|\b(?:cannot|can't|will not|won't|not) (?:refund|approve|grant)\b", re.IGNORECASE)
_COURTEOUS = re.compile(r"\b(?:thank you|thanks|sorry|apologi[sz]e|happy to help|please)\b", re.IGNORECASE)
_CURT = re.compile(r"\bread your bill\b|\bas it says\b|\bthat is all\b|\bdo not write again\b", re.IGNORECASE)


def check(messages: Sequence[Mapping[str, str]], completion: str) -> dict[str, float]:
    """1.0 or 0.0 for each of `DIMENSIONS`; `{}` when the prompt is not a billing prompt that can be read.

    * numeric_accuracy: the completion quotes exactly one amount, and it is that of the line the customer asked for.
    * policy: it says yes or no to the refund (not both, not neither), as the rule demands.
    * tone: it has a courteous phrase and none of the curt ones.
    """
    truth = _read_prompt(messages)
    if truth is None:
        return {}
    _, amount, refund_due = truth
    text = completion[:MAX_TEXT_CHARS]
    granted, denied = bool(_GRANTS.search(text)), bool(_DENIES.search(text))
    return {
        "numeric_accuracy": float(set(_AMOUNT.findall(text)) == {amount}),
        "policy": float(granted != denied and granted == refund_due),
        "tone": float(bool(_COURTEOUS.search(text)) and not _CURT.search(text)),
    }


def right_answer(messages: Sequence[Mapping[str, str]]) -> str | None:
    """The answer that a good reviewer would write, or None when the prompt is no billing prompt that can be read."""
    truth = _read_prompt(messages)
    if truth is None:
        return None
    field, amount, refund_due = truth
    rude = any(opener in str(messages[-1].get("content", "")) for opener in RUDE_OPENERS)
    courtesy = COURTESIES["rude" if rude else "polite"][0]
    return f"{courtesy} Our records show {field} ${amount}. {GRANT if refund_due else DENIAL} {CLOSINGS[0]}"


def _read_prompt(messages: Sequence[Mapping[str, str]]) -> tuple[str, str, bool] | None:
    """(line asked for, its amount, whether a refund is due), or None unless each of the facts is there exactly once."""
    if len(messages) < 2 or messages[0].get("role") != "system" or messages[-1].get("role") != "user":
        return None
    system, user = str(messages[0].get("content", ""))[:MAX_TEXT_CHARS], str(messages[-1].get("content", ""))[:MAX_TEXT_CHARS]
    lines, facts = _LEDGER_LINE.findall(system), _FACTS.findall(system)
    fields = {question.field for question in QUESTIONS if _capitalised(question.text) in user}
    ledger = dict(lines)
    if len(lines) != len(ledger) or len(facts) != 1 or len(fields) != 1:
        return None
    field = fields.pop()
    amount = ledger.get(field)
    days, use = facts[0]
    return None if amount is None else (field, amount, use == "unused" and int(days) <= REFUND_WINDOW_DAYS)


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
