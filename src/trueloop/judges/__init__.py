"""Models as judges: what they are asked, and what their answers say. A judge that says nothing clear has said nothing."""

from trueloop.judges.agreement import JudgeAgreement
from trueloop.judges.judge import ChatModel, Judge
from trueloop.judges.outcome import NoJudgement, NoJudgementReason, Preference, counted
from trueloop.judges.question import preference_question, rating_question
from trueloop.judges.reading import read_preference, read_score

__all__ = [
    "ChatModel", "Judge", "JudgeAgreement", "NoJudgement", "NoJudgementReason", "Preference", "counted", "preference_question", "rating_question",
    "read_preference", "read_score",
]  # fmt: skip
