"""What a judge's answer says. Strict: an answer that is not of the form that was asked for is no judgement."""

import json
import re
from typing import Any

from trueloop.judges.outcome import NoJudgement, NoJudgementReason, Preference
from trueloop.rubrics.rubric import Scale

_UNREADABLE = NoJudgement(NoJudgementReason.UNREADABLE)
_OFF_SCALE = NoJudgement(NoJudgementReason.OFF_SCALE)
_MAX_CHARS = 100_000
_DIGITS = re.compile(r"-?[0-9]{1,4}(?:\.[0-9]{1,4})?")
_NUMBER = re.compile(rf"score\s*[:=]\s*({_DIGITS.pattern})", re.IGNORECASE)
_SIDE = re.compile(r"better\s*[:=]\s*(A|B|tie)", re.IGNORECASE)
_CODE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_PREFERENCES = {"a": Preference.FIRST, "b": Preference.SECOND, "tie": Preference.TIE}


def read_score(text: str, scale: Scale) -> float | NoJudgement:
    """Return the score of an answer as a share of the scale, in [0, 1].

    The answer is a JSON object with `score`, or ends with a line that is one or reads `score: N`; N is a whole number on the scale.

    >>> read_score('Polite, but late.\\n{"score": 4}', Scale(min=1, max=5))
    0.75
    >>> read_score("I would say good", Scale(min=1, max=5))
    NoJudgement(reason=<NoJudgementReason.UNREADABLE: 'UNREADABLE'>)
    """
    value = _value(text, "score", _NUMBER)
    if isinstance(value, str):
        value = float(value) if _DIGITS.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _UNREADABLE
    # Compared first: JSON may hold infinity, NaN, and whole numbers that no float does.
    if not scale.min <= value <= scale.max or value != int(value):
        return _OFF_SCALE
    return (value - scale.min) / (scale.max - scale.min)


def read_preference(text: str) -> Preference | NoJudgement:
    """Return which answer is said to be better: a JSON object with `better` ('A', 'B' or 'tie'), or a last line `better: A`.

    >>> read_preference('{"better": "B"}')
    <Preference.SECOND: 'SECOND'>
    """
    value = _value(text, "better", _SIDE)
    return _PREFERENCES.get(value.strip().lower(), _UNREADABLE) if isinstance(value, str) else _UNREADABLE


def _value(text: str, key: str, line_form: re.Pattern[str]) -> Any:
    """Return what the answer gives for `key`, None when it gives nothing."""
    stripped = text.strip()
    if not stripped or len(stripped) > _MAX_CHARS:
        return None
    in_code = _CODE.fullmatch(stripped)
    whole = in_code.group(1) if in_code else stripped
    last = whole.rsplit("\n", 1)[-1].strip()
    for candidate in dict.fromkeys((whole, last)):
        found = _object(candidate)
        if found is not None:
            return found.get(key)
    matched = line_form.fullmatch(last)
    return matched.group(1) if matched else None


def _object(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice, so it is open which is meant")
    return found
