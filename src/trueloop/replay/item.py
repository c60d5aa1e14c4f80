"""What every format is turned into: a trace, and what the data set's reviewers said of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trueloop.errors import ConfigurationError
from trueloop.events import Trace, derive_id


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one reviewer of the data set said of a pair: the text that is better, None for a tie."""

    reviewer_id: str
    preferred: str | None


@dataclass(frozen=True, slots=True)
class ReplayItem:
    """A trace with the verdicts on it; without verdicts it goes to your own reviewers."""

    trace: Trace
    verdicts: tuple[Verdict, ...] = ()

    @property
    def ambiguous(self) -> bool:
        """Whether both completions read the same, so that no verdict tells which one was meant."""
        return any(alternative.completion == self.trace.completion for alternative in self.trace.alternatives)


@dataclass(frozen=True, slots=True)
class Target:
    """Where an item is to go: the application, and the event time that its trace gets."""

    application: str
    now: datetime


class UnusableRow(ValueError):
    """A row that its own format allows but that makes no trace; counted and passed over. The argument names the reason, never the text."""


def text(row: Mapping[str, Any], field: str) -> str:
    """Return a text field. Raises ConfigurationError naming the field when it is absent or no text."""
    value = row.get(field)
    if not isinstance(value, str):
        given = "is missing" if field not in row else f"is a {type(value).__name__}"
        raise ConfigurationError(f"field {field!r} {given}, expected text; is this the right --format?")
    return value


def number(row: Mapping[str, Any], field: str) -> float:
    """Return a number field. Raises ConfigurationError naming the field when it is absent or no number."""
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        given = "is missing" if field not in row else f"is a {type(value).__name__}"
        raise ConfigurationError(f"field {field!r} {given}, expected a number; is this the right --format?")
    return float(value)


def trace_id(application: str, *content: str) -> str:
    """Return an id made of the content: a data set that is replayed twice gives the same traces, so the second time changes nothing."""
    return derive_id("replay", application, *content)
