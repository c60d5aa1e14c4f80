"""A Llama of 0.6 M parameters, trained from nothing on (messages, completion) pairs: the base model of the demo and of the tests.

Reduced against a real pre-training: no packing, the loss is on completions only (prompts hold random amounts that nothing can
predict), float32 on the CPU. The tokenizer is a byte-level BPE without merges whose vocabulary holds the frequent words of the
corpus whole: any other text falls back to bytes, so nothing is unknown and decoding is lossless. An amount `$47.71` is the two
tokens ` $47` and `.71`, so that quoting it is copying, which so small a model can learn; digits one by one it cannot.
"""

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from trueloop.trainers.frame.job_config import write_config
from trueloop.trainers.frame.training_report import TrainingReport, checkpoint_sha256, package_versions

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

Message = dict[str, str]
Example = tuple[Sequence[Message], str]
Progress = Callable[[int, int, dict[str, float]], None]

# `<|` inside a message is broken up: otherwise a customer could type `<|end|><|system|>` and open a system turn of their own.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'].replace('<|', '< |') + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPECIAL_TOKENS = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
_WORDS = r" ?\$\d{1,2}(?=\.\d\d)|\.\d\d(?!\d)| ?[A-Za-z]+| ?\d{1,3}|\n| ?[^\sA-Za-z0-9]+|\s+"

_ROPE_THETA = 100.0  # high frequencies, so that neighbouring positions differ clearly
_LOOK_BACK_HEADS = 3
_LOOK_BACK_SHARPNESS = 4.0  # squared and over sqrt(head size): the wanted distance scores some 3 nats above its neighbours


class Config(BaseModel):
    """Size and schedule. The defaults are the demo's: 0.6 M parameters; about 120 CPU seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output_dir: Path
    hidden_size: int = Field(default=128, ge=16, le=1024)
    layers: int = Field(default=3, ge=1, le=24)
    heads: int = Field(default=4, ge=1, le=16)
    intermediate_size: int = Field(default=256, ge=16, le=4096)
    max_length_tokens: int = Field(default=512, ge=32, le=8192)
    max_words: int = Field(default=4096, ge=0, le=65536, description="whole words kept in the vocabulary, most frequent first")
    batch_size: int = Field(default=16, ge=1, le=4096)
    steps: int = Field(default=1000, ge=1)
    warmup_steps: int = Field(default=20, ge=0)
    learning_rate: float = Field(default=3e-3, gt=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0, lt=1)
    threads: int = Field(default=2, ge=1, le=256)
    seed: int = Field(default=0, ge=0)


def build_tokenizer(texts: Iterable[str], *, max_words: int = 4096, max_length_tokens: int = 512) -> "PreTrainedTokenizerFast":
    """A lossless tokenizer whose whole-word tokens are the `max_words` most frequent pieces of `texts`, with all amounts up to $99.99."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(piece for piece, _ in split.pre_tokenize_str(text))
    amounts = [f"Ġ${number}" for number in range(100)] + [f".{number:02d}" for number in range(100)]
    frequent = [piece for piece, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:max_words]]
    pieces = dict.fromkeys([*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *amounts, *frequent])
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=list(SPECIAL_TOKENS[2:]),
        model_max_length=max_length_tokens,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def main(config: Config, corpus: Sequence[Example], progress: Progress | None = None) -> TrainingReport:
    """Train on `corpus` and save model and tokenizer to `config.output_dir`; the same inputs on the same machine give the same bytes.

    Raises:
        ValueError: the corpus is empty, or an example does not fit `max_length_tokens`.
    """
    if not corpus:
        raise ValueError("corpus is empty: expected at least one (messages, completion) pair; pass the examples to learn from")
    import torch

    started = time.monotonic()
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    texts = [text for messages, completion in corpus for text in (*(message["content"] for message in messages), completion)]
    tokenizer = build_tokenizer(texts, max_words=config.max_words, max_length_tokens=config.max_length_tokens)
    encoded = _encode(tokenizer, corpus, config.max_length_tokens)
    model = _build_model(config, tokenizer)
    loss, tokens = _fit(model, encoded, config, tokenizer.pad_token_id, progress)
    model.eval()
    model.save_pretrained(config.output_dir, safe_serialization=True)
    tokenizer.save_pretrained(config.output_dir)
    write_config(config, config.output_dir)
    return TrainingReport(
        checkpoint_dir=str(config.output_dir),
        checkpoint_sha256=checkpoint_sha256(config.output_dir),
        metrics={"loss": loss, "parameters": float(model.num_parameters())},
        seconds=time.monotonic() - started,
        tokens=tokens,
        versions=package_versions(),
        seed=config.seed,
    )


def _encode(tokenizer: "PreTrainedTokenizerFast", corpus: Sequence[Example], limit: int) -> list[tuple[list[int], list[int]]]:
    """(prompt ids, completion ids with the end token) of each example."""
    prompts = [tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True) for messages, _ in corpus]
    prompt_ids = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    completion_ids = tokenizer([f"{text.replace('<|', '< |')}<|end|>" for _, text in corpus], add_special_tokens=False)["input_ids"]
    for number, (prompt, completion) in enumerate(zip(prompt_ids, completion_ids, strict=True)):
        if len(prompt) + len(completion) > limit:
            raise ValueError(
                f"corpus example {number} has {len(prompt) + len(completion)} tokens; expected at most {limit}: shorten it or raise max_length_tokens"
            )
    return list(zip(prompt_ids, completion_ids, strict=True))


def _build_model(config: Config, tokenizer: "PreTrainedTokenizerFast") -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=config.max_length_tokens,
            tie_word_embeddings=True,
            initializer_range=0.05,
            attention_bias=True,
            rope_parameters={"rope_type": "default", "rope_theta": _ROPE_THETA},
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    _prepare_for_copying(model)
    return model


def _prepare_for_copying(model: Any) -> None:
    """Start from weights that make copying easy to find: without them the full task was not learnt within 800 steps.

    Two parts. Values pass through each attention layer unchanged: value and output projections are each other's transpose
    ("mimetic initialization", Trockman & Kolter 2023, arXiv:2305.09828, here with a plus sign). And the first heads of the first
    layer look 1, 2 and 3 tokens back: their query and key are constant biases, which rotary embedding turns into attention by
    distance. The second layer can then match "the amount after these words". All of it stays trainable.
    """
    import torch

    attention = model.model.layers[0].self_attn
    size = attention.head_dim
    heads = model.config.num_attention_heads
    angles = _ROPE_THETA ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    with torch.no_grad():
        for layer in model.model.layers:
            rotation, _ = torch.linalg.qr(torch.randn(heads * size, heads * size))
            layer.self_attn.v_proj.weight.copy_(rotation)
            layer.self_attn.o_proj.weight.copy_(rotation.T)
        for head in range(min(_LOOK_BACK_HEADS, heads - 1)):
            rows = slice(head * size, (head + 1) * size)
            attention.q_proj.weight[rows] = 0.0
            attention.k_proj.weight[rows] = 0.0
            attention.k_proj.bias[rows] = _LOOK_BACK_SHARPNESS * torch.cat([torch.ones(size // 2), torch.zeros(size // 2)])
            turn = (head + 1) * angles
            attention.q_proj.bias[rows] = _LOOK_BACK_SHARPNESS * torch.cat([turn.cos(), -turn.sin()])


def _fit(model: Any, encoded: Sequence[tuple[list[int], list[int]]], config: Config, pad_id: int, progress: Progress | None) -> tuple[float, int]:
    """Train with AdamW, a linear warm-up and a cosine decay to a tenth.

    The first pass keeps the order of the corpus, which may be a curriculum; later passes are shuffled. Returns the mean loss of the last
    50 steps and the tokens read.
    """
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _learning_rate_factor(step, config))
    order = random.Random(config.seed)  # noqa: S311 - shuffling, not secrets
    queue = list(range(len(encoded)))
    losses: list[float] = []
    tokens = 0
    model.train()
    for step in range(1, config.steps + 1):
        while len(queue) < config.batch_size:
            queue.extend(order.sample(range(len(encoded)), len(encoded)))
        batch, queue = queue[: config.batch_size], queue[config.batch_size :]
        loss, read = _batch_loss(model, [encoded[number] for number in batch], pad_id)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        tokens += read
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise ValueError(f"loss is {losses[-1]!r} at step {step}; expected a finite number: lower learning_rate ({config.learning_rate})")
        if progress is not None and (step % 50 == 0 or step == config.steps):
            progress(step, config.steps, {"loss": sum(losses[-50:]) / len(losses[-50:])})
    return sum(losses[-50:]) / len(losses[-50:]), tokens


def _learning_rate_factor(step: int, config: Config) -> float:
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, done)))


def _batch_loss(model: Any, examples: Sequence[tuple[list[int], list[int]]], pad_id: int) -> "tuple[torch.Tensor, int]":
    """Mean cross-entropy of the completion tokens.

    Padding is on the right, where a causal model cannot see it: no attention mask is needed, which keeps attention on its fast
    path. Only positions that predict a completion token go through the output layer.
    """
    import torch

    width = max(len(prompt) + len(completion) for prompt, completion in examples)
    ids = torch.full((len(examples), width), pad_id)
    wanted = torch.zeros((len(examples), width), dtype=torch.bool)
    for row, (prompt, completion) in enumerate(examples):
        end = len(prompt) + len(completion)
        ids[row, :end] = torch.tensor(prompt + completion)
        wanted[row, len(prompt) : end] = True
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[wanted[:, 1:]])
    loss = torch.nn.functional.cross_entropy(logits, ids[:, 1:][wanted[:, 1:]])
    return loss, sum(len(prompt) + len(completion) for prompt, completion in examples)
