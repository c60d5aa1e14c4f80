"""Whether rows fit the length that a job trains on."""

from collections.abc import Sequence
from typing import Any

from trueloop.trainers.frame.held_out import Row
from trueloop.trainers.frame.training_errors import DatasetError


def require_fitting(rows: Sequence[Row], tokenizer: Any, max_length: int) -> None:
    """Raise DatasetError unless a prompt leaves room for a completion: TRL leaves out those that do not, and fails when none is left."""
    for row in rows:
        text = tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
        if len(tokenizer(text, add_special_tokens=False)["input_ids"]) < max_length:
            return
    raise DatasetError(f"each of the {len(rows)} prompts fills max_length_tokens {max_length}; expected room for a completion: raise max_length_tokens")
