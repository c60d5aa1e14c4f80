"""The formats by name, with the documents that are shipped for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trueloop.errors import ConfigurationError
from trueloop.replay import alpaca_eval, hh_rlhf, pandalm
from trueloop.replay.item import ReplayItem, Target


@dataclass(frozen=True, slots=True)
class Format:
    """A format: how its rows are read, and the name of its shipped rubric, policy and application."""

    name: str
    documents: str
    parse_row: Callable[[Mapping[str, Any], Target], ReplayItem]
    labelled: bool


FORMATS = {
    found.name: found
    for found in (
        Format("pandalm", "pandalm", pandalm.parse_row, labelled=True),
        Format("hh-rlhf", "hh-harmless", hh_rlhf.parse_row, labelled=True),
        Format("alpaca-eval", "alpaca-eval", alpaca_eval.parse_row, labelled=False),
    )
}


def format_named(name: str) -> Format:
    """Return a format. Raises ConfigurationError naming the known ones."""
    if name not in FORMATS:
        raise ConfigurationError(f"no format {name!r}; expected one of {', '.join(sorted(FORMATS))}")
    return FORMATS[name]
