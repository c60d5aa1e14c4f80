"""Critique and revision by a principle of the constitution, as questions to a model.

Source: Bai et al. 2022, arXiv:2212.08073, section 3.1. There the model continues its own conversation; here what is criticised is fenced material, so
that neither the prompt nor the answer can pose as the request.
"""

import hashlib
from collections.abc import Mapping, Sequence

from trueloop.judges.fence import NOTICE, fenced, fenced_conversation, mark_of
from trueloop.rubrics.rubric import Principle

Messages = Sequence[Mapping[str, str]]
Chat = list[dict[str, str]]


def principle_of(principles: Sequence[Principle], prompt_id: str, turn: int, seed: int) -> Principle:
    """Return the principle of a prompt's revision, drawn by hash: no principle twice in a row of turns before all had theirs.

    Args:
        principles: The constitution, not empty.
        prompt_id: Id of the prompt.
        turn: Number of the revision, from 0.
        seed: Another seed draws others.
    """
    ranked = sorted(principles, key=lambda principle: hashlib.sha256(f"{seed}\x1f{prompt_id}\x1f{principle.name}".encode()).digest())
    return ranked[turn % len(ranked)]


def critique_question(principle: Principle, prompt: Messages, answer: str) -> Chat:
    """Return the request to criticise an answer by a principle."""
    mark = mark_of([*_texts(prompt), answer])
    return _chat("You criticise answers of an assistant.", mark, prompt, answer, principle.critique, "Reply with the critique alone, in a few sentences.")


def revision_question(principle: Principle, prompt: Messages, answer: str, critique: str) -> Chat:
    """Return the request to write an answer again, by a principle and a critique."""
    mark = mark_of([*_texts(prompt), answer, critique])
    said = "A critique of the answer:\n" + fenced("critique", critique, mark)
    return _chat("You improve answers of an assistant.", mark, prompt, answer, said, principle.revision, "Reply with the new answer alone.")


def _chat(role: str, mark: str, prompt: Messages, answer: str, *parts: str) -> Chat:
    text = ["The conversation:\n" + fenced_conversation(prompt, mark), "The answer:\n" + fenced("answer", answer, mark), *parts]
    return [{"role": "system", "content": f"{role} {NOTICE.format(mark=mark)}"}, {"role": "user", "content": "\n\n".join(text)}]


def _texts(prompt: Messages) -> list[str]:
    return [text for message in prompt for text in (message["role"], message["content"])]
