"""How proximal policy optimisation learns from completions: rewards per token, advantages, and a few passes of clipped steps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field
from trueloop.trainers.online.assessment import Assessed, Floats, padded
from trueloop.trainers.online.gae import advantages
from trueloop.trainers.online.kl_controller import next_coefficient
from trueloop.trainers.online.loop_state import LoopState
from trueloop.trainers.online.optimiser_steps import optimise, optimiser, shuffled
from trueloop.trainers.online.policy_pass import lay_out, run
from trueloop.trainers.online.ppo_losses import policy_losses, value_losses
from trueloop.trainers.online.settings import OnlineConfig
from trueloop.trainers.online.whitening import whiten

if TYPE_CHECKING:
    import torch


class PpoSettings(OnlineConfig):
    """Settings of PPO. The defaults are those of the demo's model; a model of billions of parameters wants a learning rate of about 1e-6.

    A step samples batch_size x gradient_accumulation_steps x minibatches completions, and makes `passes` x `minibatches` optimiser steps on them.
    """

    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    value_learning_rate: float = Field(default=1e-3, gt=0, lt=1, description="of the value head, which starts from nothing")
    minibatches: int = Field(default=4, ge=1, le=1024)
    passes: int = Field(default=2, ge=1, le=64, description="over the completions of a step")
    clip: float = Field(default=0.2, gt=0, lt=1, description="how far the ratio of new to old probability may leave 1 before it gains no more")
    value_clip: float = Field(default=0.2, gt=0, le=100, description="how far a value may move from what it was before it gains no more")
    value_coefficient: float = Field(default=0.1, ge=0, le=100, description="weight of the value loss in what the backbone learns from")
    discount: float = Field(default=1.0, ge=0, le=1)
    trace_decay: float = Field(default=0.95, ge=0, le=1, description="lambda of generalised advantage estimation")
    kl_coefficient: float = Field(default=0.05, ge=0, le=100, description="penalty per nat of divergence from the reference, at the first step")
    kl_target: float | None = Field(default=6.0, gt=0, le=1e4, description="nats per completion that the coefficient is steered to; null keeps the coefficient")
    missing_end_penalty: float = Field(default=1.0, ge=0, le=1e4, description="taken from the reward of a completion that was cut")


class PpoUpdate:
    """Policy, value head and optimiser. The value head is one linear layer on the policy's last hidden state (as Ziegler et al. 2019 have it):
    no second backbone in memory, and the adapter of a LoRA serves both."""

    def __init__(self, config: PpoSettings, model: Any, pad_id: int, *, bf16: bool) -> None:
        import torch

        self._config = config
        self._model = model
        self._pad_id = pad_id
        self._bf16 = bf16
        self.head = torch.nn.Linear(model.config.get_text_config().hidden_size, 1).to(model.device)
        # Zeros: before it has seen a reward it expects none, and no random numbers are needed.
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)
        policy = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        values = {f"value_head.{name}": parameter for name, parameter in self.head.named_parameters()}
        self.state = LoopState(policy | values, optimiser([(policy, config.learning_rate), (values, config.value_learning_rate)]))
        self.coefficient = config.kl_coefficient

    def learn(self, step: int, items: Sequence[Assessed]) -> dict[str, float]:
        """Make the optimiser steps of one step and return its numbers."""
        config = self._config
        rewards, values = padded([self._token_rewards(item) for item in items]), padded([item.values for item in items])
        actions = padded([np.ones(len(item.values)) for item in items]) > 0
        gained = advantages(rewards, values, actions, discount=config.discount, trace_decay=config.trace_decay)
        returns = gained + values
        gained[actions] = whiten(gained[actions].tolist())
        sums = _Sums()
        self._model.train()
        for number in range(config.passes):
            for chosen in shuffled(len(items), config.batch_size * config.gradient_accumulation_steps, config.seed, "pass", step, number):
                tokens = int(actions[chosen].sum())

                def loss_of(rows: Sequence[int], tokens: int = tokens) -> "torch.Tensor":
                    return self._loss([items[row] for row in rows], gained[rows], returns[rows], tokens, sums)

                sums.loss += optimise(config, self.state.optimizer, chosen, loss_of)
                sums.steps += 1
        numbers = sums.means() | {"kl_coefficient": self.coefficient} | _explained_variance(values[actions], returns[actions])
        if config.kl_target is not None:
            divergence = sum(item.divergence for item in items) / len(items)
            self.coefficient = next_coefficient(self.coefficient, divergence, config.kl_target)
        return numbers

    def _token_rewards(self, item: Assessed) -> Floats:
        """The penalty for leaving the reference at each token, and what the whole is worth at the last."""
        rewards: Floats = -self.coefficient * (item.log_probabilities - item.reference)
        rewards[-1] += item.score - (0.0 if item.sample.ended else self._config.missing_end_penalty)
        return rewards

    def _loss(self, items: Sequence[Assessed], gained: Floats, returns: Floats, tokens: int, sums: "_Sums") -> "torch.Tensor":
        import torch

        layout = lay_out([item.sample for item in items], self._pad_id, self._model.device)
        width = layout.actions.shape[1]

        def tensor(rows: Floats) -> "torch.Tensor":
            return torch.from_numpy(rows[:, :width]).float().to(self._model.device)

        old, before = tensor(padded([item.log_probabilities for item in items])), tensor(padded([item.values for item in items]))
        now = run(self._model, layout, temperature=self._config.temperature, bf16=self._bf16)
        policy, clipped = policy_losses(now.log_probabilities, old, tensor(gained), self._config.clip)
        value = value_losses(self.head(now.states).squeeze(-1), before, tensor(returns), self._config.value_clip)
        mask = layout.actions
        sums.clipped += int(clipped[mask].sum())
        sums.value_loss += float(value[mask].sum().detach())
        sums.tokens += int(mask.sum())
        return (policy[mask].sum() + self._config.value_coefficient * value[mask].sum()) / tokens


class _Sums:
    """What the optimiser steps of one step add up to."""

    def __init__(self) -> None:
        self.loss = 0.0
        self.value_loss = 0.0
        self.clipped = 0
        self.tokens = 0
        self.steps = 0

    def means(self) -> dict[str, float]:
        return {"loss": self.loss / self.steps, "clip_share": self.clipped / self.tokens, "value_loss": self.value_loss / self.tokens}


def _explained_variance(values: Floats, returns: Floats) -> dict[str, float]:
    """1 - Var(returns - values) / Var(returns): 1 is perfect, 0 no better than their mean; left out where all returns are alike."""
    spread = float(returns.var())
    return {"explained_variance": 1 - float((returns - values).var()) / spread} if spread > 1e-12 else {}
