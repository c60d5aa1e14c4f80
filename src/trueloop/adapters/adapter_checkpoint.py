"""Checkpoints that are an adapter of peft (a LoRA) over another checkpoint of the model store."""

import json
from pathlib import Path

from trueloop.adapters.model_store import SCHEME
from trueloop.errors import ConfigurationError

ADAPTER_CONFIG = "adapter_config.json"
"""The file that makes a directory an adapter."""


def is_adapter(directory: Path) -> bool:
    """Return whether a checkpoint is an adapter."""
    return (directory / ADAPTER_CONFIG).is_file()


def base_uri(directory: Path) -> str:
    """Return the URI of the checkpoint that an adapter belongs to.

    Raises ConfigurationError unless it is one of the model store: a path or a name on a hub, which peft would follow, is not followed.
    """
    try:
        base = json.loads((directory / ADAPTER_CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError):
        base = None
    if not isinstance(base, str) or not base.startswith(SCHEME):
        raise ConfigurationError(
            f"adapter {directory.name!r} does not say which checkpoint of the model store it belongs to; expected base_model_name_or_path "
            f"{SCHEME}ID in its {ADAPTER_CONFIG}: merge it into its base, and store that"
        )
    return base
