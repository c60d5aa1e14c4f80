"""The stream workers by name. A processor is imported when it is asked for."""

from collections.abc import Iterable
from importlib import import_module

from trueloop.errors import ConfigurationError
from trueloop.processors.processor import Processor

NAMES = (
    "sampling", "appeals", "trials", "profiles", "collection", "agreement", "reviewers", "estimates", "drift", "distributions", "families", "quotas",
    "disagreements", "trigger", "gating",
)  # fmt: skip


def processors(names: Iterable[str]) -> tuple[Processor, ...]:
    """Return the processors of these workers. Raises ConfigurationError for a name that is not in `NAMES`.

    >>> processors(["sampler"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    trueloop.errors.ConfigurationError: no stream worker 'sampler'; expected one of agreement, appeals, ...
    """
    found: list[Processor] = []
    for name in names:
        if name not in NAMES:
            raise ConfigurationError(f"no stream worker {name!r}; expected one of {', '.join(sorted(NAMES))}")
        found.append(import_module(f"trueloop.processors.{name}").PROCESSOR)
    return tuple(found)
