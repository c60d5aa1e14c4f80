"""The settings that the optimisers' benchmark runs each method with: the defaults, but where a line says otherwise. Nothing was tuned per cell."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """A method and its settings. `rewards` are the reward models that it needs, by the name under which its settings ask for them ('<name>')."""

    method: str
    config: dict[str, Any] = field(default_factory=dict)
    rewards: dict[str, dict[str, Any]] = field(default_factory=dict)


_DPO = {"learning_rate": 2.5e-4, "beta": 0.1, "batch_size": 32}
_OVERALL: dict[str, dict[str, Any]] = {"overall": {"objective": "overall"}}
_SCORED = {"rewards": [{"kind": "model", "uri": "<overall>"}]}

RECIPES = {
    "SFT on the chosen": Recipe("sft"),
    "DPO": Recipe("dpo", _DPO),
    "DPO, confidence per pair": Recipe("dpo", _DPO | {"confidence": "conservative"}),
    "KTO": Recipe("kto"),
    "RM + PPO": Recipe("ppo", _SCORED, _OVERALL),
    "RM + GRPO": Recipe("grpo", _SCORED, _OVERALL),
    "RM + RLOO": Recipe("rloo", _SCORED, _OVERALL),
    "RM + online DPO": Recipe("online_dpo", _SCORED, _OVERALL),
    "MPO": Recipe("mpo", {"reward_model": "<overall>"}, _OVERALL),
    "rejection sampling": Recipe(
        "rejection_sampling",
        {
            "helpfulness": [{"kind": "model", "uri": "<overall>", "squash": True}],
            "safety": [{"kind": "model", "uri": "<policy>", "squash": True}],
        },
        _OVERALL | {"policy": {"objective": "policy"}},
    ),
}
