"""A checkpoint of the model store as a chat model: a judge that needs no endpoint."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from trueloop.trainers.loaded_model import LoadedModel

from trueloop.judges.outcome import NoJudgement, NoJudgementReason

Messages = Sequence[Mapping[str, str]]
_CHUNK = 64


class LocalChat:
    """A causal language model that answers conversations. It is loaded at the first question."""

    def __init__(self, load: Callable[[], LoadedModel], temperature: float = 0.0) -> None:
        self._load = load
        self._temperature = temperature

    @cached_property
    def _loaded(self) -> LoadedModel:
        return self._load()

    def complete(self, conversations: Sequence[Messages], max_new_tokens: int) -> list[str | NoJudgement]:
        """Return the answer to each conversation; TOO_LONG where it does not fit the context, CUT where the answer came to no end."""
        if not conversations:
            return []
        from trueloop.trainers.generate import end_ids, generate_ids

        loaded = self._loaded
        ends = end_ids(loaded.model, loaded.tokenizer)
        safe = [self._without_turns(messages) for messages in conversations]
        answers: list[str | NoJudgement] = [NoJudgement(NoJudgementReason.TOO_LONG)] * len(safe)
        fitting = [index for index, messages in enumerate(safe) if loaded.fits(messages, max_new_tokens)]
        # Prompts of like length side by side: padding is wasted work.
        fitting.sort(key=lambda index: sum(len(message["content"]) for message in safe[index]))
        for start in range(0, len(fitting), _CHUNK):
            chunk = fitting[start : start + _CHUNK]
            prompts = [safe[index] for index in chunk]
            given = generate_ids(loaded.model, loaded.tokenizer, prompts, max_new_tokens=max_new_tokens, temperature=self._temperature)
            for index, (ids,) in zip(chunk, given, strict=True):
                ended = ids[-1] in ends
                answers[index] = loaded.tokenizer.decode(ids[:-1], skip_special_tokens=True) if ended else NoJudgement(NoJudgementReason.CUT)
        return answers

    @cached_property
    def _special(self) -> tuple[str, ...]:
        return tuple(sorted((token for token in self._loaded.tokenizer.all_special_tokens if len(token.strip()) > 1), key=len, reverse=True))

    def _without_turns(self, messages: Messages) -> list[dict[str, str]]:
        """Return the messages with this tokenizer's own special tokens taken apart: in a text they would end it and open another turn."""
        safe = []
        for message in messages:
            content = message["content"]
            for token in self._special:
                while token in content:
                    content = content.replace(token, f"{token[0]} {token[1:]}")
            safe.append({"role": message["role"], "content": content})
        return safe
