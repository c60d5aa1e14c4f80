"""Whether a base checkpoint has what every method needs: found out before the dataset is read, and told in words of ours."""

import json
from pathlib import Path

from trueloop.adapters.adapter_checkpoint import ADAPTER_CONFIG
from trueloop.errors import ConfigurationError

_MODELS = ("config.json", ADAPTER_CONFIG)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_TEMPLATE = "chat_template.jinja"


def check_base(directory: Path, checkpoint: str) -> None:
    """Raise ConfigurationError, naming what is missing, unless there are a model, a tokenizer and a chat template."""
    if not any((directory / name).is_file() for name in _MODELS):
        raise ConfigurationError(f"base checkpoint {checkpoint!r} has no config.json; expected a model of transformers, or an adapter of peft: register one")
    if not any((directory / name).is_file() for name in _TOKENIZERS):
        raise ConfigurationError(
            f"base checkpoint {checkpoint!r} has no tokenizer; expected one of {', '.join(_TOKENIZERS)}: save the tokenizer beside the model"
        )
    if not (directory / _TEMPLATE).is_file() and not _templates_within(directory / "tokenizer_config.json"):
        raise ConfigurationError(f"base checkpoint {checkpoint!r} has no chat template; expected one: add {_TEMPLATE} and register the checkpoint again")


def _templates_within(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and bool(content.get("chat_template"))
