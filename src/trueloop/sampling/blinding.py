"""Blind tasks: ids of candidates and display order are keyed hashes, so that neither tells which model wrote what; nor does a task tell who objects."""

import re
from collections.abc import Collection, Sequence

from trueloop.events import Candidate
from trueloop.events.identity import derive_id, permutation

_PSEUDONYM = re.compile(r"[0-9a-f]{32}")


def candidate_id(blinding_key: str, task_id: str, index: int) -> str:
    """Return the blind id of the candidate at `index`; 0 is the completion that was served."""
    return derive_id("candidate", blinding_key, task_id, str(index))


def blind(blinding_key: str, task_id: str, completions: Sequence[str]) -> list[Candidate]:
    """Return the completions as candidates in display order. Whoever lacks the key can tell neither order nor origin."""
    order = permutation(len(completions), "order", blinding_key, task_id)
    return [Candidate(candidate_id=candidate_id(blinding_key, task_id, index), completion=completions[index]) for index in order]


def places(blinding_key: str, task_id: str, candidate_ids: Collection[str]) -> dict[str, int]:
    """Return the place of each candidate before it was shuffled, 0 being what was served.

    A task that was blinded with another key cannot be un-shuffled: its candidates are numbered in the order of their ids.

    >>> blinded = blind("key", "task-1", ["served", "other"])
    >>> found = places("key", "task-1", [candidate.candidate_id for candidate in blinded])
    >>> sorted((found[candidate.candidate_id], candidate.completion) for candidate in blinded)
    [(0, 'served'), (1, 'other')]
    """
    found = {candidate_id(blinding_key, task_id, index): index for index in range(len(candidate_ids))}
    if found.keys() == set(candidate_ids):
        return found
    return {name: index for index, name in enumerate(sorted(candidate_ids))}


def seal(blinding_key: str, task_id: str, pseudonym: str) -> str:
    """Return a pseudonym (32 hex digits, as `derive_id` gives) so that who lacks the key cannot tell whether two tasks hold the same one.

    Raises ValueError when it is none. `unseal` gives it back; each task is sealed with a mask of its own.

    >>> sealed = seal("key", "task-1", "0" * 32)
    >>> sealed == seal("key", "task-2", "0" * 32), unseal("key", "task-1", sealed)
    (False, '00000000000000000000000000000000')
    """
    if not _PSEUDONYM.fullmatch(pseudonym):
        raise ValueError(f"a pseudonym has {len(pseudonym)} characters; expected 32 lower-case hex digits")
    mask = int(derive_id("seal", blinding_key, task_id), 16)
    return f"{int(pseudonym, 16) ^ mask:032x}"


def unseal(blinding_key: str, task_id: str, sealed: str) -> str | None:
    """Return the pseudonym that was sealed; None for what `seal` did not make, whoever put it there."""
    return seal(blinding_key, task_id, sealed) if _PSEUDONYM.fullmatch(sealed) else None
