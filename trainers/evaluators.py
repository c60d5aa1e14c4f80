"""What scores completions: plug-ins of the entry point group `trueloop.checks`, named by a policy as 'check:NAME'.

Only what is installed can be named; a policy that comes over the wire never chooses a module.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata

GROUP = "trueloop.checks"
Check = Callable[[Sequence[Mapping[str, str]], str], Mapping[str, float]]

_log = logging.getLogger(__name__)


def find_check(name: str) -> Check | None:
    """Return the installed check of that name, or None: then its dimensions have no evidence."""
    found = [entry for entry in metadata.entry_points(group=GROUP) if entry.name == name]
    if len({entry.value for entry in found}) != 1:
        known = sorted({entry.name for entry in metadata.entry_points(group=GROUP)})
        _log.warning("check %r: %d plug-ins of that name; expected one. Known checks: %s", name, len(found), ", ".join(known) or "none")
        return None
    try:
        return found[0].load()  # type: ignore[no-any-return]
    except Exception as error:  # a plug-in may fail in any way; the other dimensions keep their evidence
        _log.warning("check %r cannot be loaded: %s", name, type(error).__name__)
        return None


def score_completions(
    name: str, check: Check, prompts: Mapping[str, Sequence[Mapping[str, str]]], completions: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Return dimension -> item -> score in [0, 1], for the items that the check can judge.

    An item on which the check fails, or a score outside [0, 1], is no evidence; their number is logged.
    """
    scores: dict[str, dict[str, float]] = {}
    dropped = 0
    for item, completion in completions.items():
        try:
            found = dict(check(prompts[item], completion))
        except Exception:  # a plug-in may fail in any way on hostile text
            dropped += 1
            continue
        for dimension, score in found.items():
            if isinstance(score, (int, float)) and math.isfinite(score) and 0.0 <= score <= 1.0:
                scores.setdefault(dimension, {})[item] = float(score)
            else:
                dropped += 1
    if dropped:
        _log.warning("check %r: %d scores of %d completions are missing or outside [0, 1] and count as no evidence", name, dropped, len(completions))
    return scores
