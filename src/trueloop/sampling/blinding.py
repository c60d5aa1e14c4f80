"""Blind candidates: ids and display order are keyed hashes, so that neither tells which model wrote what."""

from collections.abc import Sequence

from trueloop.events import Candidate
from trueloop.events.identity import derive_id, permutation


def candidate_id(blinding_key: str, task_id: str, index: int) -> str:
    """Return the blind id of the candidate at `index`; 0 is the completion that was served."""
    return derive_id("candidate", blinding_key, task_id, str(index))


def blind(blinding_key: str, task_id: str, completions: Sequence[str]) -> list[Candidate]:
    """Return the completions as candidates in display order. Whoever lacks the key can tell neither order nor origin."""
    order = permutation(len(completions), "order", blinding_key, task_id)
    return [Candidate(candidate_id=candidate_id(blinding_key, task_id, index), completion=completions[index]) for index in order]
