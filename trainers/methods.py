"""The training methods that a request may name."""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trueloop.trainers.frame.job_config import PLACES

from trueloop.datasets.chain_rows import chain_rows
from trueloop.datasets.pairs_dataset import PairsDataset
from trueloop.datasets.rows import demonstration_rows, preference_rows, prompt_rows, unpaired_rows
from trueloop.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Method:
    """A trainer module (`Config`, `main(config, progress)`), imported when it is used, and the rows that it reads."""

    module: str
    rows: Callable[[PairsDataset], Iterator[dict[str, Any]]]

    def load(self) -> Any:
        """Return the trainer's module."""
        return importlib.import_module(self.module)


METHODS = {
    "constitutional": Method("trueloop.trainers.constitutional", preference_rows),
    "dpo": Method("trueloop.trainers.dpo", preference_rows),
    "grpo": Method("trueloop.trainers.grpo", prompt_rows),
    "kto": Method("trueloop.trainers.kto", unpaired_rows),
    "lamarckian": Method("trueloop.trainers.lamarckian", chain_rows),
    "mpo": Method("trueloop.trainers.mpo", preference_rows),
    "mpo_multiloss": Method("trueloop.trainers.mpo_multiloss", preference_rows),
    "online_dpo": Method("trueloop.trainers.online_dpo", prompt_rows),
    "ppo": Method("trueloop.trainers.ppo", prompt_rows),
    "rejection_sampling": Method("trueloop.trainers.rejection_sampling", prompt_rows),
    "reward": Method("trueloop.trainers.reward", preference_rows),
    "rloo": Method("trueloop.trainers.rloo", prompt_rows),
    "sft": Method("trueloop.trainers.sft", demonstration_rows),
}


def find_method(name: str) -> Method:
    """Return the method of that name. Raises ConfigurationError naming the known ones."""
    try:
        return METHODS[name]
    except KeyError:
        raise ConfigurationError(f"no training method {name!r}; known methods: {', '.join(sorted(METHODS))}. Correct the policy's training.method") from None


def read_config(module: Any, text: str, places: Mapping[str, Any]) -> Any:
    """Return the trainer's Config from a request's JSON and the places, by name, that the worker sets.

    Raises ConfigurationError or pydantic.ValidationError naming the key.
    """
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ConfigurationError(
            "the request's config is no JSON object; expected the settings of the trainer, such as {}: correct the policy's training.config"
        )
    for key in PLACES:
        if key in content:
            raise ConfigurationError(
                f"config key {key!r} is set by the worker; expected settings of the training alone: remove it from the policy's training.config"
            )
    return module.Config.model_validate(content | dict(places))
