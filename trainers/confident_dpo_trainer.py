"""TRL's DPOTrainer with a confidence of its own for each pair, and a step that computes no more of the output layer than it needs.

It overrides private methods of trl 1.16 (`_compute_loss`, `_set_signature_columns_if_needed`); a test holds their source, so that another
version is noticed before it is used. Only the sigmoid loss is here, with an optional share of SFT on the chosen completions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer
from trl.trainer.utils import use_adapter
from trueloop.trainers.pair_loss import confident_dpo_losses

PAIR_COLUMNS = ("epsilon", "weight", "offset")


@dataclass
class ConfidentPairCollator(DataCollatorForPreference):
    """TRL's collator, which also passes on what each pair is worth."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch, chosen completions first, with a tensor of shape (pairs,) for each of PAIR_COLUMNS."""
        batch: dict[str, Any] = super().torch_call(examples)
        return batch | {name: torch.tensor([example[name] for example in examples], dtype=torch.float32) for name in PAIR_COLUMNS}


class ConfidentDPOTrainer(DPOTrainer):
    """Trains on columns epsilon, weight (mean 1) and offset beside TRL's. Reference log-probabilities are computed once, ahead."""

    def __init__(self, *, sft_weight: float = 0.0, **arguments: Any) -> None:
        self._sft_weight = sft_weight
        super().__init__(**arguments)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()  # type: ignore[no-untyped-call]
        columns: Any = self._signature_columns  # which transformers declares to be None for ever
        columns += [name for name in PAIR_COLUMNS if name not in columns]

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the reference model's log-probabilities of chosen and rejected completions, nats, each of shape (pairs,)."""
        whole = self.accelerator.unwrap_model(self.model)
        with torch.no_grad(), self.accelerator.autocast():
            if hasattr(whole, "peft_config"):
                with use_adapter(whole, adapter_name=None):
                    log_probs, _ = completion_log_probs(model, inputs)
            else:
                log_probs, _ = completion_log_probs(model, inputs)
        chosen, rejected = log_probs.chunk(2)
        return chosen, rejected

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> torch.Tensor:
        log_probs, lengths = completion_log_probs(model, inputs)
        chosen, rejected = log_probs.chunk(2)
        chosen_ratio, rejected_ratio = chosen - inputs["ref_chosen_logps"], rejected - inputs["ref_rejected_logps"]
        losses = confident_dpo_losses(chosen_ratio - rejected_ratio, beta=self.beta, epsilon=inputs["epsilon"], offset=inputs["offset"])
        loss: torch.Tensor = (losses * inputs["weight"]).mean()
        if self._sft_weight:
            loss = loss - self._sft_weight * chosen.sum() / lengths[: len(chosen)].sum()
        self._note(chosen_ratio.detach(), rejected_ratio.detach(), inputs["attention_mask"])
        return loss

    def _note(self, chosen_ratio: torch.Tensor, rejected_ratio: torch.Tensor, attention: torch.Tensor) -> None:
        """Keep the numbers that TRL keeps of rewards and tokens, fetched from the device at once."""
        mode = "train" if self.model is not None and self.model.training else "eval"
        right = (chosen_ratio > rejected_ratio).float()
        told = torch.stack([self.beta * chosen_ratio, self.beta * rejected_ratio, self.beta * (chosen_ratio - rejected_ratio), right])
        names = ("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies")
        for name, value in zip(names, self.accelerator.gather(told.T).mean(0).tolist(), strict=True):
            self._metrics[mode][name].append(value)
        if mode == "train":
            self._total_train_tokens += int(self.accelerator.gather(attention.sum()).sum())
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]


def completion_log_probs(model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return, for each row, the sum of the log-probabilities of its completion's tokens (nats), and how many they are.

    On a GPU TRL's fused head scores the completions' positions alone. Its form for the CPU scores all positions; so rows are moved to the right
    there, which lines the completions up at the end, and only as many positions as the longest one has go through the output layer.
    """
    mask = inputs["completion_mask"]
    lengths = mask[:, 1:].sum(1)
    if mask.is_cuda:
        labels = inputs["input_ids"].masked_fill(mask == 0, -100)
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], labels=labels, fused_lm_head=True)
        return outputs.log_probs.sum(1), lengths
    ids, attention, mask = _moved_right([inputs["input_ids"], inputs["attention_mask"], mask], inputs["attention_mask"])
    last = int(lengths.max())
    positions = (attention.cumsum(1) - 1).clamp(min=0)
    logits = model(input_ids=ids, attention_mask=attention, position_ids=positions, use_cache=False, logits_to_keep=last + 1).logits[:, :-1]
    counted = mask[:, -last:].bool()
    per_token = -torch.nn.functional.cross_entropy(logits[counted].float(), ids[:, -last:][counted], reduction="none")
    return torch.zeros(counted.shape, dtype=per_token.dtype).masked_scatter(counted, per_token).sum(1), lengths


def _moved_right(tensors: Sequence[torch.Tensor], attention: torch.Tensor) -> list[torch.Tensor]:
    """Return the tensors, of shape (rows, positions), with each row's padding moved from its end to its beginning."""
    width = attention.shape[1]
    source = (torch.arange(width) - (width - attention.sum(1, keepdim=True))) % width
    return [tensor.gather(1, source) for tensor in tensors]
