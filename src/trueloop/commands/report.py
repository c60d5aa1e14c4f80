"""`trueloop report`."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from trueloop.config import load_settings
from trueloop.errors import ConfigurationError
from trueloop.report.scope import DEFAULT_SINCE, Scope, parse_since

_PIPE_WIDTH = 200
"""A pipe has no width of its own."""


def report(
    application: Annotated[str | None, typer.Option("--application", "-a", help="Only this application.")] = None,
    since: Annotated[str, typer.Option("--since", help="Evidence from then on: 36h, 7d, 4w, or a date such as 2026-11-01.")] = DEFAULT_SINCE,
    slice_name: Annotated[str | None, typer.Option("--slice", help="Only this slice of agreement, drift and gates: 'all', or NAME=VALUE.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots instead; it needs nothing but a browser.")] = None,
) -> None:
    """Say how far reviewers agree, how reliable they are, what drifts, and what the gates decided.

    \b
    Every number has its interval, or the reason why there is none. Only views
    of ClickHouse are read, as `trueloop sql` does.

    \b
    Examples:
      trueloop report
      trueloop report --application billing-support --since 7d
      trueloop report --slice all --html report.html
    """
    from rich.console import Console

    from trueloop.report import terminal
    from trueloop.report.page import page
    from trueloop.report.reading import Reader

    now = datetime.now(UTC)
    scope = Scope(application, slice_name, parse_since(since, now))
    evidence = Reader(load_settings(), scope).evidence()
    if html is not None:
        try:
            html.write_text(page(evidence, scope, now), encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"cannot write {html}: {error.strerror}; expected a file in a directory that exists and may be written") from None
        typer.echo(f"report: {html}")
        return
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    terminal.show(evidence, console)
    if not evidence.applications():
        typer.echo(f"no evidence since {scope.since:%Y-%m-%d %H:%M} UTC; expected traces and labels: see `trueloop status`, or name an earlier --since")
