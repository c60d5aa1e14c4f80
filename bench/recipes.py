"""The settings that the optimisers' benchmark runs each method with: the defaults, but where a line says otherwise. Nothing was tuned per cell.

The methods that learn from completions of their own all sample 8 to each prompt: GRPO and RLOO do in one epoch, PPO and online DPO in several. Reward
models get three epochs: after one, on 500 pairs, they did not yet tell a kept refund rule from a broken one.
"""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Recipe:
    """A method and its settings.

    Attributes:
        rewards: The reward models that it needs, by the name under which its settings ask for them ('<name>').
        learns_from: Pairs, pairs that are all as sure as they are in the mean, or the chains of a reviewer's edits.
        asks_critic: Whether it needs the scripted critic and the rubric's constitution.
    """

    method: str
    config: dict[str, Any] = field(default_factory=dict)
    rewards: dict[str, dict[str, Any]] = field(default_factory=dict)
    learns_from: Literal["pairs", "evenly sure pairs", "edits"] = "pairs"
    asks_critic: bool = False


_DPO = {"learning_rate": 2.5e-4, "beta": 0.1, "batch_size": 32}
_SURE = _DPO | {"confidence": "conservative"}
_REWARD = {"epochs": 3}
_OVERALL: dict[str, dict[str, Any]] = {"overall": _REWARD | {"objective": "overall"}}
_SCORED = {"rewards": [{"kind": "model", "uri": "<overall>"}]}
_EIGHT = {"ppo": {"epochs": 8}, "online_dpo": {"epochs": 4}}
_BOTH_SCORED = {name: [{"kind": "model", "uri": f"<{objective}>", "squash": True}] for name, objective in (("helpfulness", "overall"), ("safety", "policy"))}

RECIPES = {
    "SFT on the chosen": Recipe("sft"),
    "DPO": Recipe("dpo", _DPO),
    "DPO, confidence per pair": Recipe("dpo", _SURE),
    "MPO": Recipe("mpo", {"reward_model": "<overall>", "second_stage": _EIGHT["ppo"]}, _OVERALL),
    "RM + PPO": Recipe("ppo", _SCORED | _EIGHT["ppo"], _OVERALL),
    "RM + GRPO": Recipe("grpo", _SCORED, _OVERALL),
    "RM + RLOO": Recipe("rloo", _SCORED, _OVERALL),
    "rejection sampling": Recipe("rejection_sampling", _BOTH_SCORED, _OVERALL | {"policy": _REWARD | {"objective": "policy"}}),
    "constitutional": Recipe("constitutional", {"critic": "judge:script", "judge": "judge:script"}, asks_critic=True),
    "lamarckian": Recipe("lamarckian", learns_from="edits"),
    "DPO, one confidence for all": Recipe("dpo", _SURE, learns_from="evenly sure pairs"),
    "KTO": Recipe("kto"),
    "RM + online DPO": Recipe("online_dpo", _SCORED | _EIGHT["online_dpo"], _OVERALL),
}
