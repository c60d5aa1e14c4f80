"""A check in code as a reward: what can be verified needs no model of it."""

from collections.abc import Sequence

from trueloop.trainers.evaluators import Check, score_completions
from trueloop.trainers.rewards.reward import Messages


class CheckScore:
    """One dimension of a check, in [0, 1]. Where the check fails, says nothing of the dimension or leaves [0, 1], there is no reward."""

    def __init__(self, name: str, check: Check, dimension: str) -> None:
        self._name = name
        self._check = check
        self._dimension = dimension

    def score(self, prompts: Sequence[Messages], completions: Sequence[str]) -> list[float | None]:
        """Return the check's score of each completion."""
        rows = [str(row) for row in range(len(completions))]
        found = score_completions(self._name, self._check, dict(zip(rows, prompts, strict=True)), dict(zip(rows, completions, strict=True)))
        scores = found.get(self._dimension, {})
        return [scores.get(row) for row in rows]
