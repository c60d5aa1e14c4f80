"""What every reward offers."""

from collections.abc import Mapping, Sequence
from typing import Protocol

Messages = Sequence[Mapping[str, str]]


class Reward(Protocol):
    """Scores completions. None is no evidence: the completion teaches nothing and is counted, it never scores 0."""

    def score(self, prompts: Sequence[Messages], completions: Sequence[str]) -> list[float | None]:
        """Return the reward of each completion after its prompt, in their order; each is finite or None."""
