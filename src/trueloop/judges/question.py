"""What a judge is asked: a rubric's dimension, a prompt and one answer or two, as chat messages."""

from collections.abc import Mapping, Sequence

from trueloop.errors import ConfigurationError
from trueloop.judges.fence import NOTICE, fenced, fenced_conversation, mark_of
from trueloop.rubrics.rubric import OVERALL, Dimension, Rubric

QUESTION_VERSION = 1
"""Raise it with every change of the wording: how well a judge agrees with people was measured on one wording."""

Messages = Sequence[Mapping[str, str]]
Chat = list[dict[str, str]]


def rating_question(rubric: Rubric, dimension: str, prompt: Messages, completion: str) -> Chat:
    """Return the question how good an answer is on a dimension. Raises ConfigurationError when the rubric has no such dimension."""
    judged = _dimension(rubric, dimension)
    mark = mark_of([*_texts(prompt), completion])
    scale = judged.scale
    return _chat(
        rubric,
        mark,
        f"Judge one thing only, {judged.name}: {judged.description}\nThe scale is whole numbers from {scale.min} (worst) to {scale.max} (best).",
        *_examples(judged),
        "The conversation:\n" + fenced_conversation(prompt, mark),
        "The answer to judge:\n" + fenced("answer", completion, mark),
        f'Reason briefly if you need to. End with one line that is a JSON object: {{"score": N}}, N being a whole number from {scale.min} to {scale.max}.',
    )


def preference_question(rubric: Rubric, dimension: str, prompt: Messages, first: str, second: str) -> Chat:
    """Return the question which of two answers is better, on a dimension or OVERALL.

    Ask it in both orders: judges favour a position (Zheng et al. 2023, arXiv:2306.05685, section 3.3). Raises ConfigurationError when the rubric
    has no such dimension.
    """
    mark = mark_of([*_texts(prompt), first, second])
    return _chat(
        rubric,
        mark,
        _overall(rubric) if dimension == OVERALL else _aspect(_dimension(rubric, dimension)),
        "The conversation:\n" + fenced_conversation(prompt, mark),
        "Answer A:\n" + fenced("answer A", first, mark),
        "Answer B:\n" + fenced("answer B", second, mark),
        "The order of the answers says nothing. Length is no merit. Reason briefly if you need to. End with one line that is a JSON object: "
        '{"better": "A"}, {"better": "B"}, or {"better": "tie"} if neither is better.',
    )


def _chat(rubric: Rubric, mark: str, *parts: str) -> Chat:
    system = f"You judge answers of an assistant by a rubric, as its reviewers do. {NOTICE.format(mark=mark)}"
    return [{"role": "system", "content": system}, {"role": "user", "content": "\n\n".join((f"The rubric:\n{rubric.statement.strip()}", *parts))}]


def _dimension(rubric: Rubric, name: str) -> Dimension:
    found = rubric.dimension(name)
    if found is None:
        known = ", ".join(dimension.name for dimension in rubric.dimensions)
        raise ConfigurationError(f"rubric {rubric.id!r} version {rubric.version} has no dimension {name!r}; expected one of: {known}")
    return found


def _aspect(dimension: Dimension) -> str:
    return f"Judge one thing only, {dimension.name}: {dimension.description}\nSay which answer is better in this."


def _overall(rubric: Rubric) -> str:
    lines = [f"- {dimension.name}: {dimension.description}" for dimension in rubric.dimensions]
    if rubric.vetoes:
        lines.append(f"An answer that is worse in {' or '.join(rubric.vetoes)} is never the better one.")
    return "\n".join(["Say which answer is better in all, by these:", *lines])


def _examples(dimension: Dimension) -> list[str]:
    return [
        f"An example. Prompt: {example.prompt}\nAnswer: {example.completion}\nScore: {example.value}, because: {example.why}" for example in dimension.examples
    ]


def _texts(prompt: Messages) -> list[str]:
    return [text for message in prompt for text in (message["role"], message["content"])]
