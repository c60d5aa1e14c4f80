"""A judge: a chat model that is asked by a rubric and whose answers are read strictly."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trueloop.judges.outcome import NoJudgement, NoJudgementReason, Preference
from trueloop.judges.question import QUESTION_VERSION, Messages, preference_question, rating_question
from trueloop.judges.reading import read_preference, read_score
from trueloop.rubrics.rubric import Rubric

_POSITION = NoJudgement(NoJudgementReason.POSITION)


class ChatModel(Protocol):
    """Whatever continues conversations: an endpoint, or a checkpoint."""

    def complete(self, conversations: Sequence[Messages], max_new_tokens: int) -> list[str | NoJudgement]:
        """Return the answer to each conversation, or why there is none. Raises nothing that one conversation is the cause of."""
        ...


@dataclass(frozen=True, slots=True)
class Judge:
    """A chat model under the name that the settings give it.

    `identity` says what answers (address, model, decoding), without secrets; `max_new_tokens` bounds the answer to a question.
    """

    name: str
    chat: ChatModel
    identity: str
    max_new_tokens: int = 512

    @property
    def fingerprint(self) -> str:
        """Hash of what answers and of how it is asked, 32 hex digits: what was measured of a judge holds for this alone."""
        return hashlib.sha256(f"{QUESTION_VERSION}\x1f{self.max_new_tokens}\x1f{self.identity}".encode()).hexdigest()[:32]

    def complete(self, conversations: Sequence[Messages], max_new_tokens: int | None = None) -> list[str | NoJudgement]:
        """Return the answer to each conversation, or why there is none."""
        return self.chat.complete(conversations, max_new_tokens or self.max_new_tokens) if conversations else []

    def score(self, rubric: Rubric, dimension: str, prompts: Sequence[Messages], completions: Sequence[str]) -> list[float | NoJudgement]:
        """Return how good each completion is on a dimension, as a share of its scale, in [0, 1].

        Raises ConfigurationError when the rubric has no such dimension.
        """
        questions = [rating_question(rubric, dimension, prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
        found = rubric.dimension(dimension)
        if found is None:  # then there is no question either
            return []
        scale = found.scale
        return [answer if isinstance(answer, NoJudgement) else read_score(answer, scale) for answer in self.complete(questions)]

    def score_examples(self, rubric: Rubric, dimension: str) -> list[tuple[float, float | NoJudgement]]:
        """Return the value of each worked example of a dimension and the judge's score, both in [0, 1]. The judge is not shown the one that it is asked."""
        judged = rubric.dimension(dimension)
        found: list[tuple[float, float | NoJudgement]] = []
        for number, example in enumerate(judged.examples if judged else ()):
            others = tuple(
                each.model_copy(update={"examples": each.examples[:number] + each.examples[number + 1 :]}) if each.name == dimension else each
                for each in rubric.dimensions
            )
            asked = rubric.model_copy(update={"dimensions": others})
            (score,) = self.score(asked, dimension, [[{"role": "user", "content": example.prompt}]], [example.completion])
            found.append((1.0 - judged.scale.loss(example.value) if judged else 0.0, score))
        return found

    def prefer(
        self, rubric: Rubric, dimension: str, prompts: Sequence[Messages], firsts: Sequence[str], seconds: Sequence[str]
    ) -> list[Preference | NoJudgement]:
        """Return which of two completions is better, on a dimension or OVERALL, each asked in both orders: what hangs on the order is no judgement.

        Raises ConfigurationError when the rubric has no such dimension.
        """
        pairs = list(zip(prompts, firsts, seconds, strict=True))
        forward = [preference_question(rubric, dimension, prompt, first, second) for prompt, first, second in pairs]
        backward = [preference_question(rubric, dimension, prompt, second, first) for prompt, first, second in pairs]
        answers = [answer if isinstance(answer, NoJudgement) else read_preference(answer) for answer in self.complete([*forward, *backward])]
        return [_both(one, other) for one, other in zip(answers[: len(pairs)], answers[len(pairs) :], strict=True)]


def _both(forward: Preference | NoJudgement, backward: Preference | NoJudgement) -> Preference | NoJudgement:
    if isinstance(forward, NoJudgement):
        return forward
    if isinstance(backward, NoJudgement):
        return backward
    return forward if forward is backward.swapped else _POSITION
