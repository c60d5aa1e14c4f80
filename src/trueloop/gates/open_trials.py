"""What people have answered for evaluations that are still open."""

from pydantic import BaseModel, ConfigDict

from trueloop.events import Evaluation, TrialOutcome, TrialVerdict
from trueloop.gates.looks import Look

REMEMBERED = 5
"""Evaluations of an application that wait for people at once, and as many of which answers are kept that were read before the evaluation."""
STAGES = 20
"""Into how many parts the comparisons are cut, after each of which the gate tells how far they are."""
_VALUES = {TrialVerdict.CANDIDATE: 1.0, TrialVerdict.TIE: 0.5, TrialVerdict.BASELINE: 0.0}


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Said(_Kept):
    """What was said of a trial at some revision."""

    revision: int
    verdict: TrialVerdict


class Answer(_Kept):
    """What the reviewers of a trial said together, and what a senior did."""

    reviewers: Said | None = None
    senior: Said | None = None

    def after(self, outcome: TrialOutcome) -> "Answer":
        """Return the answer after an outcome; one of an earlier revision is out of date and changes nothing."""
        name = "senior" if outcome.senior else "reviewers"
        known: Said | None = getattr(self, name)
        if known is not None and known.revision > outcome.revision:
            return self
        return self.model_copy(update={name: Said(revision=outcome.revision, verdict=outcome.verdict)})

    @property
    def value(self) -> float | None:
        """1 where the candidate won, 0 where the baseline did, 0.5 for a tie; None while it is open.

        What reviewers decide among themselves stands before what a senior says, who is asked only because they had not.
        """
        decided = [_VALUES[said.verdict] for said in (self.reviewers, self.senior) if said is not None and said.verdict in _VALUES]
        return decided[0] if decided else None


class Answers(_Kept):
    """Answers by trial."""

    by_trial: dict[str, Answer] = {}

    def after(self, outcome: TrialOutcome) -> "Answers":
        """Return the answers after an outcome."""
        known = self.by_trial.get(outcome.trial_id, Answer())
        return Answers(by_trial={**self.by_trial, outcome.trial_id: known.after(outcome)})

    @property
    def values(self) -> dict[str, float]:
        """Values of the trials that have one."""
        return {trial_id: answer.value for trial_id, answer in self.by_trial.items() if answer.value is not None}


class OpenEvaluation(_Kept):
    """An evaluation that people may still settle, the look that it is, their answers, and how many of those that count were told of; None at first."""

    evaluation: Evaluation
    look: Look
    answers: Answers = Answers()
    told: int | None = None

    def is_due(self, counted: int) -> bool:
        """Return whether it is to be told how far people are: at first, at the end, and after each of `STAGES` parts of the way.

        Args:
            counted: Answers that count now.
        """
        if self.told is None:
            return True
        everything = len(self.evaluation.trials)
        return counted > self.told and (counted == everything or (counted - self.told) * STAGES >= everything)
