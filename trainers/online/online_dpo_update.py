"""How direct preference optimisation learns from completions that the policy in training has just written."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field
from trueloop.trainers.online.assessment import Assessed, padded
from trueloop.trainers.online.loop_state import LoopState
from trueloop.trainers.online.optimiser_steps import optimise, optimiser
from trueloop.trainers.online.policy_pass import lay_out, run
from trueloop.trainers.online.settings import OnlineConfig

if TYPE_CHECKING:
    import torch


class OnlineDpoSettings(OnlineConfig):
    """Settings of online DPO. The defaults are those of the demo's model; a model of billions of parameters wants a learning rate of about 5e-7.

    A step samples completions of batch_size x gradient_accumulation_steps prompts and makes one optimiser step on the pairs they give.
    """

    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    beta: float = Field(default=0.1, gt=0, le=100, description="how strongly the policy is held to the reference model")
    completions_per_prompt: int = Field(default=2, ge=2, le=256, description="of which the best and the worst are a pair")


def best_and_worst(items: Sequence[Assessed]) -> list[tuple[Assessed, Assessed]]:
    """Return a pair per prompt: its completion with the highest reward and that with the lowest. A tie says nothing and gives no pair."""
    groups: dict[tuple[int, ...], list[Assessed]] = {}
    for item in items:
        groups.setdefault(tuple(item.sample.prompt_ids), []).append(item)
    pairs = [(max(group, key=lambda item: item.score), min(group, key=lambda item: item.score)) for group in groups.values()]
    return [(best, worst) for best, worst in pairs if best.score > worst.score]


class OnlineDpoUpdate:
    """Policy and optimiser."""

    def __init__(self, config: OnlineDpoSettings, model: Any, pad_id: int, *, bf16: bool) -> None:
        self._config = config
        self._model = model
        self._pad_id = pad_id
        self._bf16 = bf16
        self.head = None
        self.coefficient = config.beta
        policy = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.state = LoopState(policy, optimiser([(policy, config.learning_rate)]))

    def learn(self, step: int, items: Sequence[Assessed]) -> dict[str, float]:
        """Make one optimiser step and return its numbers; none where all completions of each prompt are worth the same."""
        pairs = best_and_worst(items)
        prompts = len({tuple(item.sample.prompt_ids) for item in items})
        numbers = {"ties_share": 1 - len(pairs) / prompts}
        if not pairs:
            return numbers
        self._model.train()
        right: list[int] = []

        def loss_of(rows: Sequence[int]) -> "torch.Tensor":
            loss, margins = self._losses([pairs[row] for row in rows])
            right.append(int((margins > 0).sum()))
            return loss.sum() / len(pairs)

        loss = optimise(self._config, self.state.optimizer, range(len(pairs)), loss_of)
        return numbers | {
            "loss": loss,
            "pairs": float(len(pairs)),
            "reward_gap": sum(best.score - worst.score for best, worst in pairs) / len(pairs),
            "rewards/accuracies": sum(right) / len(pairs),
        }

    def _losses(self, pairs: Sequence[tuple[Assessed, Assessed]]) -> "tuple[torch.Tensor, torch.Tensor]":
        """Rafailov et al. 2023, equation 7, of each pair, and its margin of implicit rewards."""
        import torch

        both = [best for best, _ in pairs] + [worst for _, worst in pairs]
        layout = lay_out([item.sample for item in both], self._pad_id, self._model.device)
        now = run(self._model, layout, temperature=self._config.temperature, bf16=self._bf16).log_probabilities.sum(-1)
        before = torch.from_numpy(padded([item.reference for item in both]).sum(-1)).float().to(now.device)
        gain = self._config.beta * (now - before)
        margins = gain[: len(pairs)] - gain[len(pairs) :]
        return -torch.nn.functional.logsigmoid(margins), margins.detach()
