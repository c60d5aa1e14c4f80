"""Several rewards as one."""

import math
from collections.abc import Sequence

from trueloop.trainers.online.whitening import whiten
from trueloop.trainers.rewards.reward import Messages, Reward


class Mixture:
    """The weighted mean of rewards. A completion that one of them cannot score has no reward: a mean over fewer parts is on another scale."""

    def __init__(self, parts: Sequence[tuple[float, Reward]], *, clip: float | None = None, whitened: bool = False) -> None:
        """Take (weight > 0, reward) of each part; `clip` > 0 cuts the result to [-clip, clip], after whitening when `whitened`."""
        if not parts or any(not weight > 0 for weight, _ in parts):
            raise ValueError(f"got weights {[weight for weight, _ in parts]!r}; expected at least one part, each with a weight above 0")
        total = math.fsum(weight for weight, _ in parts)
        self._parts = [(weight / total, reward) for weight, reward in parts]
        self._clip = clip
        self._whitened = whitened

    def score(self, prompts: Sequence[Messages], completions: Sequence[str]) -> list[float | None]:
        """Return the mixed reward of each completion, None where a part has none."""
        columns = [(weight, reward.score(prompts, completions)) for weight, reward in self._parts]
        mixed: list[float | None] = []
        for row in range(len(completions)):
            scores = [(weight, column[row]) for weight, column in columns]
            known = [weight * score for weight, score in scores if score is not None]
            mixed.append(math.fsum(known) if len(known) == len(scores) else None)
        return self._shape(mixed)

    def _shape(self, scores: list[float | None]) -> list[float | None]:
        known = [score for score in scores if score is not None]
        if self._whitened and known:
            shaped = iter(whiten(known))
            scores = [None if score is None else next(shaped) for score in scores]
        if self._clip is None:
            return scores
        return [None if score is None else max(-self._clip, min(self._clip, score)) for score in scores]
