"""A checkpoint in memory, with what evaluation asks of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Messages = Sequence[Mapping[str, str]]
_TOKENS_PER_BATCH = 16384


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A causal language model of transformers and its tokenizer, on the best device."""

    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, directory: Path, models_dir: Path | None = None) -> "LoadedModel":
        """Load a verified checkpoint; one that is an adapter with its base, which the model store `models_dir` must hold.

        Nothing is fetched from elsewhere, and no code of the checkpoint runs. Raises as `load_causal_model` does.
        """
        import torch
        from transformers import AutoTokenizer
        from trueloop.trainers.frame.policy_model import load_causal_model

        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = load_causal_model(directory, models_dir)
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        return cls(model.to(device).eval(), tokenizer)

    def fits(self, messages: Messages, new_tokens: int) -> bool:
        """Return whether prompt and answer fit the model's context, and its chat template takes the prompt (hostile ones need not)."""
        try:
            prefix = self._prefix(messages)
        except Exception:  # chat templates raise what they like
            return False
        return len(self._ids(prefix)) + new_tokens <= self._context

    def mean_log_probabilities(self, prompts: Sequence[Messages], completions: Sequence[str]) -> list[float | None]:
        """Return the mean log-probability per token of each completion after its prompt, its end token included; None when it does not fit.

        The mean, not the sum, is what Meng, Xia and Chen (2024, arXiv 2405.14734, equation 3) rank by: a sum prefers the shorter text.
        """
        encoded = [self._encode(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
        order = sorted((index for index, pair in enumerate(encoded) if pair is not None), key=lambda index: sum(map(len, encoded[index] or ())))
        means: list[float | None] = [None] * len(encoded)
        start = 0
        while start < len(order):
            longest = sum(map(len, encoded[order[min(start + 63, len(order) - 1)]] or ()))
            batch = order[start : start + max(1, min(64, _TOKENS_PER_BATCH // longest))]
            for index, value in zip(batch, self._batch_means([pair for index in batch if (pair := encoded[index])]), strict=True):
                means[index] = value
            start += len(batch)
        return means

    @property
    def _context(self) -> int:
        return int(getattr(self.model.config, "max_position_embeddings", None) or 1 << 20)

    def _prefix(self, messages: Messages) -> str:
        return str(self.tokenizer.apply_chat_template([dict(message) for message in messages], tokenize=False, add_generation_prompt=True))

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _encode(self, messages: Messages, completion: str) -> tuple[list[int], list[int]] | None:
        try:
            prefix = self._prefix(messages)
            whole = self.tokenizer.apply_chat_template([*map(dict, messages), {"role": "assistant", "content": completion}], tokenize=False)
        except Exception:  # chat templates raise what they like
            return None
        # Most templates only append; one that rewrites earlier turns leaves the plain text with its end token.
        rest = whole[len(prefix) :] if whole.startswith(prefix) else completion + (self.tokenizer.eos_token or "")
        ids = self._ids(prefix), self._ids(rest)
        return ids if ids[0] and ids[1] and sum(map(len, ids)) <= self._context else None

    def _batch_means(self, batch: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        import torch

        device = self.model.device
        width = max(len(prompt) + len(rest) for prompt, rest in batch)
        last = max(len(rest) for _, rest in batch)
        # Padding on the left aligns the completions at the end, so that only their positions go through the output layer.
        ids = torch.tensor([[0] * (width - len(prompt) - len(rest)) + prompt + rest for prompt, rest in batch], device=device)
        attention = torch.tensor([[0] * (width - len(prompt) - len(rest)) + [1] * len(prompt + rest) for prompt, rest in batch], device=device)
        counted = torch.tensor([[0.0] * (last - len(rest)) + [1.0] * len(rest) for _, rest in batch], device=device)
        with torch.inference_mode():
            logits = self.model(
                input_ids=ids,
                attention_mask=attention,
                position_ids=(attention.cumsum(-1) - 1).clamp(min=0),
                use_cache=False,
                logits_to_keep=last + 1,
            ).logits[:, :-1]
            log_probability = torch.log_softmax(logits.float(), dim=-1).gather(-1, ids[:, -last:, None]).squeeze(-1)
            return ((log_probability * counted).sum(-1) / counted.sum(-1)).tolist()
