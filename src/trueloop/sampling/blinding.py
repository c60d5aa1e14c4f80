"""Blind candidates: ids and display order are keyed hashes, so that neither tells which model wrote what."""

from collections.abc import Collection, Sequence

from trueloop.events import Candidate
from trueloop.events.identity import derive_id, permutation


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
