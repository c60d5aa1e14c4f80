"""`trueloop emit`: events from JSON lines, checked line by line."""

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import typer
from pydantic import ValidationError

from trueloop.cli import group
from trueloop.commands.output import JSON_OPTION, print_json, progress
from trueloop.config import load_settings
from trueloop.errors import ConfigurationError
from trueloop.events import Appeal, Event, Label, Trace, derive_id
from trueloop.rubrics import canonical_json

app = group(help="Send events from a file of JSON lines: one object per line, with the fields of the event's schema.")

FILE: Any = typer.Argument(..., metavar="FILE.jsonl", help="JSON lines, or - for standard input.")
APPLICATION: Any = typer.Option(None, "--application", "-a", help="For lines that name none.")
DRY_RUN: Any = typer.Option(False, "--dry-run", help="Check every line, send nothing.")
_CHUNK = 500
_MAX_FAULTS = 10


@app.command()
def trace(file: str = FILE, application: str = APPLICATION, dry_run: bool = DRY_RUN, as_json: bool = JSON_OPTION) -> None:
    """Send traces: production requests and their answers.

    \b
    A line, at least (trace_id and occurred_at are made when absent):
      {"application": "support", "model": "m1", "consent": "TRAINING",
       "messages": [{"role": "USER", "content": "..."}], "completion": "..."}
    """
    emit_lines(Trace, file, application, dry_run, as_json)


@app.command()
def label(file: str = FILE, application: str = APPLICATION, dry_run: bool = DRY_RUN, as_json: bool = JSON_OPTION) -> None:
    """Send labels: reviewers' verdicts on tasks.

    \b
    A line, at least (and ratings, preferences, spans, a rewrite or critiques):
      {"application": "support", "task_id": "...", "reviewer_id": "r1",
       "rubric_id": "support", "rubric_version": 1, "ratings":
       [{"candidate_id": "...", "dimension": "tone", "value": 1}]}
    """
    emit_lines(Label, file, application, dry_run, as_json)


@app.command()
def appeal(file: str = FILE, application: str = APPLICATION, dry_run: bool = DRY_RUN, as_json: bool = JSON_OPTION) -> None:
    """Send appeals: users' objections to answers.

    \b
    A line; without messages, completion and consent (REVIEW or TRAINING) the
    appeal is counted, and nobody re-reviews the answer:
      {"application": "support", "trace_id": "...", "text": "...",
       "consent": "REVIEW", "completion": "...",
       "messages": [{"role": "USER", "content": "..."}]}
    """
    emit_lines(Appeal, file, application, dry_run, as_json)


def emit_lines(kind: type[Event], file: str, application: str | None, dry_run: bool, as_json: bool) -> None:
    """Check a file of JSON lines, send its events, and say how many. Raises ConfigurationError as `read_lines` does."""
    # The whole file is checked first: half a file in the stream helps nobody.
    events = read_lines(kind, file, application, datetime.now(UTC))
    if not dry_run:
        _publish(events)
    if as_json:
        print_json({"events": len(events), "sent": 0 if dry_run else len(events)})
    else:
        noun = _noun(kind) + ("" if len(events) == 1 else "s")
        typer.echo(f"{len(events)} {noun} checked, nothing sent" if dry_run else f"sent {len(events)} {noun}")


def _publish(events: list[Event]) -> None:
    from trueloop.adapters.kafka import Publisher
    from trueloop.adapters.registry import connect

    settings = load_settings()
    publisher = Publisher(settings.kafka, connect(settings.registry))
    with progress() as shown:
        for start in range(0, len(events), _CHUNK):
            publisher.publish(events[start : start + _CHUNK])
            shown.show(f"sent {min(start + _CHUNK, len(events))} of {len(events)}")


def read_lines(kind: type[Event], file: str, application: str | None, now: datetime) -> list[Event]:
    """Return the events in a file of JSON lines. Raises ConfigurationError naming line, field and rule of up to ten faults; never the text."""
    events: list[Event] = []
    faults: list[str] = []
    for number, line in enumerate(_lines(file), 1):
        if len(faults) == _MAX_FAULTS:
            faults.append("and perhaps more; the rest was not read")
            break
        if line.strip():
            try:
                events.append(_event(kind, line, application, now))
            except ValueError as error:
                faults.append(f"line {number}: {_reason(error)}")
    if faults:
        raise ConfigurationError(f"{file} holds lines that are no {_noun(kind)}; nothing was sent:\n  " + "\n  ".join(faults))
    return events


def _noun(kind: type[Event]) -> str:
    """Return a kind of event in words.

    >>> from trueloop.events import GoldAnswer
    >>> _noun(GoldAnswer)
    'gold answer'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()


def _event(kind: type[Event], line: str, application: str | None, now: datetime) -> Event:
    content = json.loads(line)
    if not isinstance(content, dict):
        raise ConfigurationError(f"a JSON {type(content).__name__}; expected an object")
    # Ids are made of the content, so that a file that is sent twice counts once.
    digest = derive_id(kind.__name__, canonical_json(content))
    defaults: dict[str, Any] = {"occurred_at": now.isoformat(), "event_id": digest}
    if application is not None:
        defaults["application"] = application
    if kind is Trace:
        defaults["trace_id"] = digest
    return kind.model_validate_json(json.dumps(defaults | content))


def _reason(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'event'}: {_rule(fault)}" for fault in error.errors(include_input=False)[:5])
    return f"not JSON ({error.msg} at column {error.colno})" if isinstance(error, json.JSONDecodeError) else str(error)


def _rule(fault: Any) -> str:
    return {"missing": "is missing", "extra_forbidden": "is no field of this event"}.get(fault["type"], str(fault["msg"]))


def _lines(file: str) -> Iterator[str]:
    if file == "-":
        yield from _decoded(sys.stdin, file)
        return
    try:
        with Path(file).open(encoding="utf-8") as stream:
            yield from _decoded(stream, file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}; expected a file of JSON lines, or - for standard input") from None


def _decoded(stream: TextIO, file: str) -> Iterator[str]:
    try:
        yield from stream
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not UTF-8: byte {error.start} of a block; save it as UTF-8") from None
