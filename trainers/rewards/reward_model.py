"""A reward model: a sequence classifier with one output over prompt and completion, as the `reward` method trains it."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trueloop.trainers.rewards.reward import Messages

from trueloop.errors import ConfigurationError

_TOKENS_PER_BATCH = 16384
_ROWS_PER_BATCH = 256


class RewardModel:
    """Scores by AutoModelForSequenceClassification with `num_labels` = 1; the higher the better, on no particular scale."""

    def __init__(self, model: Any, tokenizer: Any, *, squash: bool = False, alive: Callable[[], None] | None = None) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._squash = squash
        self._alive = alive

    @classmethod
    def load(cls, directory: Path, *, squash: bool = False, alive: Callable[[], None] | None = None) -> "RewardModel":
        """Load a verified checkpoint; `alive` is called after every batch. Nothing is fetched, and no code of the checkpoint runs.

        Raises ConfigurationError when the checkpoint has another number of outputs than one, or no chat template.
        """
        import torch
        from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

        settings = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        if settings.num_labels != 1 or not any("SequenceClassification" in name for name in settings.architectures or ()):
            raise ConfigurationError(
                f"checkpoint {directory.name!r} is {settings.architectures!r} with {settings.num_labels} outputs; expected a sequence classifier with one: "
                "name a checkpoint that the 'reward' method made"
            )
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        if not tokenizer.chat_template:
            raise ConfigurationError(f"the tokenizer of reward model {directory.name!r} has no chat template; expected the one it was trained with")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        model: Any = AutoModelForSequenceClassification.from_pretrained(directory, local_files_only=True, trust_remote_code=False, use_safetensors=True)
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(model.to(device).eval(), tokenizer, squash=squash, alive=alive)

    def score(self, prompts: Sequence[Messages], completions: Sequence[str]) -> list[float | None]:
        """Return the score of each completion; None where prompt and completion do not fit the model, or its chat template refuses them."""
        encoded = [self._encode(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
        # Texts of like length share a batch: padding is wasted work.
        order = sorted((row for row, ids in enumerate(encoded) if ids), key=lambda row: (len(encoded[row]), row))
        scores: list[float | None] = [None] * len(encoded)
        start = 0
        while start < len(order):
            longest = len(encoded[order[min(start + _ROWS_PER_BATCH, len(order)) - 1]])
            batch = order[start : start + max(1, min(_ROWS_PER_BATCH, _TOKENS_PER_BATCH // longest))]
            for row, value in zip(batch, self._scores([encoded[row] for row in batch]), strict=True):
                scores[row] = self._shaped(value)
            start += len(batch)
            if self._alive is not None:
                self._alive()
        return scores

    def _encode(self, messages: Messages, completion: str) -> list[int]:
        try:
            text = self._tokenizer.apply_chat_template([*map(dict, messages), {"role": "assistant", "content": completion}], tokenize=False)
        except Exception:  # chat templates raise what they like
            return []
        ids = list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        context = int(getattr(self._model.config, "max_position_embeddings", None) or 1 << 20)
        return ids if len(ids) <= context else []

    def _scores(self, batch: Sequence[list[int]]) -> list[float]:
        import torch

        width = max(map(len, batch))
        pad = self._tokenizer.pad_token_id
        device = self._model.device
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in batch], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in batch], device=device)
        with torch.inference_mode():
            return self._model(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist()  # type: ignore[no-any-return]

    def _shaped(self, value: float) -> float | None:
        if not math.isfinite(value):
            return None
        return 1 / (1 + math.exp(-max(-700.0, min(700.0, value)))) if self._squash else value
