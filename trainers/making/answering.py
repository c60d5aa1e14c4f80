"""Whether a judge answers at all: a job that asks one that is away would wait its time-outs out, question by question, and learn nothing."""

from collections.abc import Sequence

from trueloop.errors import TrainingError
from trueloop.judges import NoJudgement, NoJudgementReason, counted

_AWAY = frozenset({NoJudgementReason.TIMEOUT, NoJudgementReason.UNAVAILABLE, NoJudgementReason.RATE_LIMITED, NoJudgementReason.REFUSED})


class JudgeAwayError(TrainingError):
    """A judge that answered none of many questions. What it answered before is kept, so the job may be requested again when it is back."""


def require_answering(outcomes: Sequence[object]) -> None:
    """Raise JudgeAwayError when there are outcomes and each of them says that the judge did not answer."""
    if outcomes and all(isinstance(outcome, NoJudgement) and outcome.reason in _AWAY for outcome in outcomes):
        said = ", ".join(f"{reason} {n}" for reason, n in counted(outcomes).items())
        raise JudgeAwayError(f"the judge answered none of {len(outcomes)} questions ({said}); expected a model that answers: see `trueloop judge try`")
