"""The prompts of an online job, and which of them a step takes."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueloop.trainers.frame.rows_file import Message, conversation, read_rows
from trueloop.trainers.frame.training_errors import DatasetError

Prompt = list[Message]


def read_prompts(path: Path) -> list[Prompt]:
    """Return each prompt of a dataset file once, in its order; other columns are left out. Raises DatasetError on a malformed row or an empty file."""
    found: dict[str, Prompt] = {}
    for line, row in read_rows(path):
        prompt = conversation(row, "prompt", line)
        found.setdefault(repr(prompt), prompt)
    return list(found.values())


def fitting_prompts(prompts: Sequence[Prompt], tokenizer: Any, longest_tokens: int) -> list[Prompt]:
    """Return the prompts that the chat template takes and that have `longest_tokens` tokens at most.

    Raises DatasetError when there is none, or when there is no room for any prompt.
    """
    found = []
    for prompt in prompts if longest_tokens > 0 else ():
        try:
            text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        except Exception:  # noqa: S112 - chat templates raise what they like; the caller counts what is missing
            continue
        if 0 < len(tokenizer(text, add_special_tokens=False)["input_ids"]) <= longest_tokens:
            found.append(prompt)
    if not found:
        raise DatasetError(
            f"none of {len(prompts)} prompts fits into {longest_tokens} tokens beside its completion; expected at least one: raise max_length_tokens or lower "
            "max_new_tokens"
        )
    return found


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which of `prompts` prompts a step takes: each epoch all of them, in an order of its own, `per_step` at a time.

    A prompt comes once in a step. The rest of an epoch that fills no step waits for the next epoch, when its order differs.

    >>> schedule = Schedule(prompts=5, per_step=2, seed=0)
    >>> schedule.steps_per_epoch, [sorted(schedule.of_step(step)) for step in range(3)]
    (2, [[0, 1], [2, 3], [1, 3]])
    >>> sorted(Schedule(prompts=3, per_step=8, seed=0).of_step(7))
    [0, 1, 2]
    """

    prompts: int
    per_step: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Return how many steps an epoch has, at least one."""
        return max(1, self.prompts // self.per_step)

    def steps(self, epochs: float, max_steps: int | None) -> int:
        """Return the steps of a job: `max_steps` when given, else those of the epochs."""
        return max_steps or max(1, math.ceil(epochs * self.steps_per_epoch))

    def of_step(self, step: int) -> list[int]:
        """Return the numbers of the prompts of a step (from 0)."""
        epoch, part = divmod(step, self.steps_per_epoch)
        order = sorted(range(self.prompts), key=lambda number: hash_of(self.seed, "order", epoch, number))
        return order[part * self.per_step : (part + 1) * self.per_step]


def hash_of(*parts: object) -> int:
    """Return 63 bits that depend on nothing but the arguments: the randomness of a step, the same when the step is made again."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
