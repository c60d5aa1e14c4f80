"""Batched generation with a key-value cache, for models small enough that Python is the cost.

Prompts of like length share a batch, so that padding is rare; every prompt is computed once and its cache rows are copied for the
`n` samples; rows that are finished leave the batch. Sampling noise comes from a hash of (seed, prompt, sample number), never from
the batch, so an answer depends on its own prompt only.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Message = Mapping[str, str]


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[Message]],
    *,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    n: int = 1,
    batch_rows: int = 256,
) -> list[list[str]]:
    """`n` completions of each prompt, in the order of `prompts`.

    Args:
        model: A causal language model of transformers; it is put in evaluation mode.
        tokenizer: Its tokenizer, with a chat template.
        prompts: Conversations that end with a user message.
        max_new_tokens: Longest completion; one that reaches it is cut.
        temperature: 0 is greedy decoding (then `n` equal answers are one computation); 1 samples the model as it is.
        top_p: Nucleus: the smallest set of tokens that holds this much probability; 1 keeps all.
        seed: Another seed gives other samples; no effect on greedy decoding.
        n: Samples per prompt.
        batch_rows: Rows in one forward pass, samples included; a matter of memory and speed, not of results.
    """
    drawn = generate_ids(model, tokenizer, prompts, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed, n=n, batch_rows=batch_rows)
    ends = end_ids(model, tokenizer)
    return [tokenizer.batch_decode([row[:-1] if row[-1] in ends else row for row in rows], skip_special_tokens=True) for rows in drawn]


def generate_ids(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[Message]],
    *,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    n: int = 1,
    batch_rows: int = 256,
) -> list[list[list[int]]]:
    """The same completions as token ids, each with the end token that ended it; one that was cut has none. Text need not encode to the same ids again."""
    _check(temperature, top_p, n, max_new_tokens)
    import torch

    model.eval()
    texts = [tokenizer.apply_chat_template([dict(m) for m in prompt], tokenize=False, add_generation_prompt=True) for prompt in prompts]
    encoded: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    copies = n if temperature > 0 else 1
    by_length = sorted(range(len(encoded)), key=lambda number: (len(encoded[number]), number))
    per_batch = max(1, batch_rows // copies)
    results: list[list[list[int]]] = [[] for _ in prompts]
    with torch.inference_mode():
        for start in range(0, len(by_length), per_batch):
            numbers = by_length[start : start + per_batch]
            noise = [_noise_seed(seed, texts[number], sample) for number in numbers for sample in range(copies)]
            batch = _Batch(model, tokenizer, [encoded[number] for number in numbers], copies)
            rows = batch.run(max_new_tokens, temperature, top_p, noise)
            for position, number in enumerate(numbers):
                results[number] = rows[position * copies : (position + 1) * copies] * (n // copies)
    return results


def _check(temperature: float, top_p: float, n: int, max_new_tokens: int) -> None:
    if temperature < 0 or not 0 < top_p <= 1 or n < 1 or max_new_tokens < 1:
        raise ValueError(
            f"got temperature={temperature!r}, top_p={top_p!r}, n={n!r}, max_new_tokens={max_new_tokens!r}; "
            "expected temperature >= 0, 0 < top_p <= 1, n >= 1, max_new_tokens >= 1"
        )


def _noise_seed(seed: int, text: str, sample: int) -> int:
    digest = hashlib.blake2b(f"{seed}\x1f{sample}\x1f{text}".encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2


class _Batch:
    """One batch of prompts, left-padded, with `copies` rows each."""

    def __init__(self, model: Any, tokenizer: Any, encoded: Sequence[Sequence[int]], copies: int) -> None:
        import torch

        self.model = model
        self.end_ids = torch.tensor(sorted(end_ids(model, tokenizer)), device=model.device)
        self.copies = copies
        width = max(len(ids) for ids in encoded)
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self.ids = torch.tensor([[pad] * (width - len(ids)) + list(ids) for ids in encoded], device=model.device)
        self.mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in encoded], device=model.device)

    def run(self, max_new_tokens: int, temperature: float, top_p: float, noise: Sequence[int]) -> list[list[int]]:
        """The new token ids of each row; the end token, where the row came to one, is the last."""
        import torch
        from transformers import DynamicCache

        cache = DynamicCache(config=self.model.config)
        uniform = _uniform(noise, max_new_tokens) if temperature > 0 else None
        ids, mask, position = self.ids, self.mask, (self.mask.cumsum(-1) - 1).clamp(min=0)
        padded = not bool(mask.all())
        rows = torch.arange(len(noise), device=ids.device)
        output: list[list[int]] = [[] for _ in noise]
        for step in range(max_new_tokens):
            attention = mask if padded else None
            logits = self.model(input_ids=ids, attention_mask=attention, position_ids=position, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[
                :, -1
            ]
            if step == 0 and self.copies > 1:
                cache.batch_repeat_interleave(self.copies)
                logits, mask, position = (part.repeat_interleave(self.copies, 0) for part in (logits, mask, position))
            chosen = logits.argmax(-1) if uniform is None else _sample(logits, temperature, top_p, uniform[rows, step])
            going = ~torch.isin(chosen, self.end_ids)
            for row, token in zip(rows.tolist(), chosen.tolist(), strict=True):
                output[row].append(token)
            if not bool(going.any()):
                break
            if not bool(going.all()):
                keep = going.nonzero().flatten()
                cache.batch_select_indices(keep)
                rows, chosen, mask, position = (part.index_select(0, keep) for part in (rows, chosen, mask, position))
            ids, position = chosen[:, None], position[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        return output


def end_ids(model: Any, tokenizer: Any) -> set[int]:
    """Return the tokens that end a completion."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    return {number for number in [*listed, tokenizer.eos_token_id] if number is not None}


def _uniform(noise: Sequence[int], steps: int) -> "torch.Tensor":
    """Numbers in [0, 1), rows x steps, each row from its own seed (numpy: its generators start in microseconds)."""
    import numpy as np
    import torch

    return torch.from_numpy(np.stack([np.random.Generator(np.random.Philox(key=number)).random(steps) for number in noise]))


def _sample(logits: "torch.Tensor", temperature: float, top_p: float, uniform: "torch.Tensor") -> "torch.Tensor":
    """One token per row by inverting the distribution function at `uniform`, tokens in order of falling probability."""
    import torch

    probability, order = torch.softmax(logits.double() / temperature, dim=-1).sort(dim=-1, descending=True, stable=True)
    cumulative = probability.cumsum(-1)
    if top_p < 1:
        outside = (cumulative - probability) >= top_p
        probability = probability.masked_fill(outside, 0.0)
        cumulative = probability.cumsum(-1)
    threshold = uniform.to(logits.device)[:, None] * cumulative[:, -1:]
    position = (cumulative <= threshold).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    return order.gather(-1, position).squeeze(-1)
