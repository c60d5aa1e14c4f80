"""Answers that a critic has criticised and written again by a constitution."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from trueloop.trainers.loaded_model import LoadedModel
from trueloop.trainers.making.answering import require_answering
from trueloop.trainers.making.samples import Decoding, Messages, draw

from trueloop.judges import ChatModel, NoJudgement
from trueloop.judges.constitution import critique_question, principle_of, revision_question
from trueloop.rubrics.rubric import Principle

NO_ANSWER, BLANK = "NO_ANSWER", "BLANK"
"""Why a prompt has no revision, beside the reasons of NoJudgement: the model's answer was cut or blank, or the critic's was blank."""


class Reviser:
    """Draws an answer of the model, loaded when it is first needed, and has it criticised and revised `turns` times by principles of the constitution."""

    def __init__(self, load: Callable[[], LoadedModel], critic: ChatModel, principles: Sequence[Principle], turns: int, how: Decoding) -> None:
        self._load = load
        self._critic = critic
        self._principles = principles
        self._turns = turns
        self._how = how

    def revise(self, prompts: Sequence[tuple[str, Messages]]) -> Iterable[dict[str, Any]]:
        """Return for each prompt (id, messages) its answer and revision, or why there is none (`dropped`)."""
        drawn = draw(self._load(), [messages for _, messages in prompts], self._how)
        rows: list[dict[str, Any]] = [{"answer": texts[0]} if texts else {"dropped": NO_ANSWER} for texts in drawn]
        for row in rows:
            if "answer" in row:
                row["revision"] = row["answer"]
        for turn in range(self._turns):
            self._turn(prompts, rows, turn)
        return rows

    def _turn(self, prompts: Sequence[tuple[str, Messages]], rows: list[dict[str, Any]], turn: int) -> None:
        live = [number for number, row in enumerate(rows) if "revision" in row]
        by = {number: principle_of(self._principles, prompts[number][0], turn, self._how.seed) for number in live}
        asked = {number: critique_question(by[number], prompts[number][1], rows[number]["revision"]) for number in live}
        critiques = self._ask(rows, asked)
        again = {number: revision_question(by[number], prompts[number][1], rows[number]["revision"], critique) for number, critique in critiques.items()}
        for number, revision in self._ask(rows, again).items():
            rows[number]["revision"] = revision

    def _ask(self, rows: list[dict[str, Any]], questions: dict[int, list[dict[str, str]]]) -> dict[int, str]:
        """Return the answers by row; rows without one are dropped."""
        found: dict[int, str] = {}
        answers = self._critic.complete(list(questions.values()), self._how.max_new_tokens) if questions else []
        require_answering(answers)
        for number, answer in zip(questions, answers, strict=True):
            if isinstance(answer, NoJudgement) or not answer.strip():
                rows[number].pop("revision")
                rows[number]["dropped"] = answer.reason.value if isinstance(answer, NoJudgement) else BLANK
            else:
                found[number] = answer.strip()
        return found
