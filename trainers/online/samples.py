"""Completions that the policy in training wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trueloop.trainers.generate import end_ids, generate_ids
from trueloop.trainers.online.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion as the tokens that were chosen: the last is the end token, unless the completion was cut at its longest."""

    prompt: Prompt
    prompt_ids: list[int]
    action_ids: list[int]
    ended: bool
    text: str

    @property
    def tokens(self) -> int:
        """Return the length of prompt and completion."""
        return len(self.prompt_ids) + len(self.action_ids)


def sample(
    model: Any, tokenizer: Any, prompts: Sequence[Prompt], *, copies: int, max_new_tokens: int, temperature: float, seed: int, batch_rows: int
) -> list[Sample]:
    """Return `copies` completions of each prompt, those of a prompt side by side."""
    drawn = generate_ids(model, tokenizer, prompts, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, n=copies, batch_rows=batch_rows)
    ends = end_ids(model, tokenizer)
    samples = []
    for prompt, rows in zip(prompts, drawn, strict=True):
        text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        prompt_ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        for row in rows:
            ended = row[-1] in ends
            words = tokenizer.decode(row[:-1] if ended else row, skip_special_tokens=True)
            samples.append(Sample(prompt, prompt_ids, row, ended, words))
    return samples
