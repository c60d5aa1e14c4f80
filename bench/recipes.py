"""The settings that the optimisers' benchmark runs each method with: chosen once on seed 0, which is not among those reported."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """A method and its settings. `rewards` are the reward models that it needs, by the name under which its settings ask for them ('<name>')."""

    method: str
    config: dict[str, Any] = field(default_factory=dict)
    rewards: dict[str, dict[str, Any]] = field(default_factory=dict)


_DPO = {"learning_rate": 2.5e-4, "beta": 0.1, "batch_size": 32}

RECIPES = {
    "sft": Recipe("sft", {"learning_rate": 3e-4}),
    "dpo": Recipe("dpo", _DPO),
}
