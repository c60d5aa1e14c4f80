"""How many completions had a reward, and when a job has too few to learn from."""

from collections.abc import Sequence

from trueloop.trainers.frame.training_errors import DatasetError

BARREN_STEPS = 10
"""Steps in a row without any reward after which a job is given up: a judge may be away for a while, a wrong check is wrong for ever."""


class Evidence:
    """Counts of the completions with and without a reward. A completion without one is left out of its step; it never counts as 0."""

    def __init__(self, given: int = 0, missing: int = 0) -> None:
        self.given = given
        self.missing = missing
        self._barren = 0

    def note(self, scores: Sequence[float | None]) -> None:
        """Count the rewards of a step. Raises DatasetError when too many steps in a row had none."""
        known = sum(score is not None for score in scores)
        self.given += known
        self.missing += len(scores) - known
        self._barren = 0 if known else self._barren + 1
        if self._barren >= BARREN_STEPS:
            raise DatasetError(
                f"no completion of the last {self._barren} steps has a reward ({self.given} have, {self.missing} have not); expected rewards that can score "
                "completions of this dataset's prompts: look at the names and dimensions in `rewards`, and whether the judges answer"
            )

    def require(self) -> None:
        """Raise DatasetError when no completion at all had a reward."""
        if not self.given:
            raise DatasetError(
                f"none of {self.missing} completions has a reward; expected rewards that can score completions of this dataset's prompts: look at the names "
                "and dimensions in `rewards`, and whether the judges answer"
            )
