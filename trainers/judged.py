"""Scores by a judge, remembered on disk: what it said of an answer holds for every candidate that meets that answer again."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trueloop.judges import Judge
from trueloop.rubrics import Rubric, canonical_json, content_hash

CHUNK = 64
"""Questions between two signs of life."""
Messages = Sequence[Mapping[str, str]]


def judge_scores(
    judge: Judge, rubric: Rubric, dimension: str, asked: Mapping[str, tuple[Messages, str]], *, models: Path, alive: Callable[[], None]
) -> dict[str, float]:
    """Return the judge's score of each (prompt, completion), by its key, in [0, 1]; what brought no judgement is left out, and asked again next time.

    Raises ConfigurationError when the rubric has no such dimension.
    """
    keys = {item: _key(prompt, completion) for item, (prompt, completion) in asked.items()}
    path = models / "judgements" / f"{_name(judge, rubric, dimension)}.json"
    known = _read(path)
    missing = {keys[item]: asked[item] for item in asked if keys[item] not in known}
    found = dict(known)
    waiting = sorted(missing)
    for start in range(0, len(waiting), CHUNK):
        chunk = [missing[key] for key in waiting[start : start + CHUNK]]
        scores = judge.score(rubric, dimension, [prompt for prompt, _ in chunk], [completion for _, completion in chunk])
        found |= {key: score for key, score in zip(waiting[start : start + CHUNK], scores, strict=True) if isinstance(score, float)}
        alive()
    if found != known:
        _write(path, found)
    return {item: found[key] for item, key in keys.items() if key in found}


def _key(prompt: Messages, completion: str) -> str:
    return hashlib.sha256(canonical_json([list(map(dict, prompt)), completion]).encode()).hexdigest()


def _name(judge: Judge, rubric: Rubric, dimension: str) -> str:
    """A judge that is asked otherwise, or by another rubric, starts with an empty memory."""
    return hashlib.sha256(canonical_json([judge.fingerprint, content_hash(rubric), dimension]).encode()).hexdigest()[:32]


def _read(path: Path) -> dict[str, float]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {str(key): float(score) for key, score in content.items() if isinstance(score, (int, float)) and 0.0 <= score <= 1.0}


def _write(path: Path, scores: Mapping[str, float]) -> None:
    """Hashes and numbers only: the file holds no text, so nothing of it has to be erased with a subject."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(f".{os.getpid()}.new")
    temporary.write_text(json.dumps(dict(scores)), encoding="utf-8")
    temporary.rename(path)
