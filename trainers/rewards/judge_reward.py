"""A judge as a reward: a chat model that is asked by the rubric."""

from collections.abc import Sequence

from trueloop.trainers.rewards.reward import Messages

from trueloop.judges import Judge, NoJudgement
from trueloop.rubrics import Rubric


class JudgeScore:
    """One dimension of a rubric, as a share of its scale, in [0, 1]. A time-out or nonsense is no reward, never a low one."""

    def __init__(self, judge: Judge, rubric: Rubric, dimension: str) -> None:
        self._judge = judge
        self._rubric = rubric
        self._dimension = dimension

    def score(self, prompts: Sequence[Messages], completions: Sequence[str]) -> list[float | None]:
        """Return the judge's score of each completion."""
        answers = self._judge.score(self._rubric, self._dimension, prompts, completions)
        return [None if isinstance(answer, NoJudgement) else answer for answer in answers]
