"""The training methods that a request may name."""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueloop.trainers.frame.job_config import PLACES

from trueloop.datasets.pairs_dataset import PairsDataset
from trueloop.datasets.rows import demonstration_rows, preference_rows
from trueloop.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Method:
    """A trainer module (`Config`, `main(config, progress)`), imported when it is used, and the rows that it reads.

    What does not make candidates makes reward models: they are stored and never evaluated, gated or released.
    """

    module: str
    rows: Callable[[PairsDataset], Iterator[dict[str, Any]]]
    makes_candidates: bool = True

    def load(self) -> Any:
        """Return the trainer's module."""
        return importlib.import_module(self.module)


METHODS = {
    "dpo": Method("trueloop.trainers.dpo", preference_rows),
    "sft": Method("trueloop.trainers.sft", demonstration_rows),
}


def find_method(name: str) -> Method:
    """Return the method of that name. Raises ConfigurationError naming the known ones."""
    try:
        return METHODS[name]
    except KeyError:
        raise ConfigurationError(f"no training method {name!r}; known methods: {', '.join(sorted(METHODS))}. Correct the policy's training.method") from None


def is_evaluated(name: str) -> bool:
    """Return whether an evaluation follows the training. A method that this worker does not know was another worker's, which knew."""
    return name not in METHODS or METHODS[name].makes_candidates


def read_config(module: Any, text: str, places: Mapping[str, Path]) -> Any:
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
