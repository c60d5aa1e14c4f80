"""What a policy thinks of the completions it wrote: log-probabilities of their tokens."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trueloop.trainers.online.samples import Sample

if TYPE_CHECKING:
    import torch

Reference = Callable[[], AbstractContextManager[Any]]
"""Opens the reference model."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Samples as tensors: prompts padded on the left and completions on the right, so that all completions begin in one column.

    ids, attention: samples x (prompt + completion). actions: samples x completion, whether there is a token.
    """

    ids: "torch.Tensor"
    attention: "torch.Tensor"
    actions: "torch.Tensor"


@dataclass(frozen=True, slots=True)
class PolicyPass:
    """Samples x completion tokens: log-probability of the token, entropy of the choice in nats, and (x hidden size) the state before it."""

    log_probabilities: "torch.Tensor"
    entropy: "torch.Tensor"
    states: "torch.Tensor"


def lay_out(samples: Sequence[Sample], pad_id: int, device: Any) -> Layout:
    """Return samples as tensors on `device`."""
    import torch

    before = max(len(sample.prompt_ids) for sample in samples)
    after = max(len(sample.action_ids) for sample in samples)
    ids = torch.full((len(samples), before + after), pad_id)
    attention = torch.zeros((len(samples), before + after), dtype=torch.long)
    for row, sample in enumerate(samples):
        start, end = before - len(sample.prompt_ids), before + len(sample.action_ids)
        ids[row, start:end] = torch.tensor(sample.prompt_ids + sample.action_ids)
        attention[row, start:end] = 1
    return Layout(ids.to(device), attention.to(device), attention[:, before:].bool().to(device))


def run(model: Any, layout: Layout, *, temperature: float, bf16: bool = False) -> PolicyPass:
    """Run the model over the samples once. Log-probabilities are those of sampling at `temperature`; padding has zeros.

    The pass is the same whether gradients are wanted or not, so that the first ratio of new to old policy is 1.
    """
    import torch

    width = layout.actions.shape[1]
    with torch.autocast(layout.ids.device.type, dtype=torch.bfloat16, enabled=bf16):
        output = model(
            input_ids=layout.ids,
            attention_mask=layout.attention,
            position_ids=(layout.attention.cumsum(-1) - 1).clamp(min=0),
            use_cache=False,
            logits_to_keep=width + 1,
            output_hidden_states=True,
        )
    distribution = torch.log_softmax(output.logits[:, -width - 1 : -1].float() / temperature, dim=-1)
    chosen = distribution.gather(-1, layout.ids[:, -width:, None]).squeeze(-1)
    with torch.no_grad():
        entropy = -(distribution.exp() * distribution).sum(-1)
    return PolicyPass(
        log_probabilities=chosen.masked_fill(~layout.actions, 0.0),
        entropy=entropy.masked_fill(~layout.actions, 0.0),
        states=output.hidden_states[-1][:, -width - 1 : -1].float(),
    )


def reference_of(model: Any) -> Reference:
    """Return how to open the policy as it is now, before training: without its adapter, or a frozen copy where all weights are trained."""
    if hasattr(model, "disable_adapter"):

        @contextlib.contextmanager
        def without_adapter() -> Iterator[Any]:
            with model.disable_adapter():
                yield model

        return without_adapter
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    return lambda: contextlib.nullcontext(frozen)


def still(model: Any) -> None:
    """Take dropout away: the policy that is trained must be the one that was sampled, and the ratio of the two its change alone."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0


def batches(samples: Sequence[Sample], rows: int) -> Iterator[list[int]]:
    """Yield the numbers of all samples, `rows` at a time, those of like length side by side."""
    order = sorted(range(len(samples)), key=lambda number: (samples[number].tokens, number))
    for start in range(0, len(order), rows):
        yield order[start : start + rows]
