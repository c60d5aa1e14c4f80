"""What commands print: tables for people, JSON for scripts, and progress on stderr so that pipes stay clean."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

JSON_OPTION: Any = typer.Option(False, "--json", help="Print JSON, for scripts.")
_PATIENCE_S = 2.0
_INTERVAL_S = 1.0


def print_json(value: Any) -> None:
    """Print a value as JSON; ASCII only, so that no text of a stranger steers a terminal."""
    typer.echo(json.dumps(value, indent=2, default=str))


def printable(text: str) -> str:
    """Return text with control characters escaped: ids and names come from strangers, and a terminal obeys what it is sent.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str, *, err: bool = False) -> None:
    """Print rows in aligned columns, or the sentence `empty` when there are none; with `err` on standard error."""
    texts = [[printable("-" if cell is None else str(cell)) for cell in row] for row in rows]
    if not texts:
        typer.echo(empty, err=err)
        return
    widths = [max(len(line[index]) for line in [list(columns), *texts]) for index in range(len(columns))]
    for line in [[column.upper() for column in columns], *texts]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), err=err)


class Progress:
    """A line on stderr about work that takes longer than two seconds: rewritten in place on a terminal, once per second at most."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._shown = 0.0
        self._terminal = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Say how far the work is."""
        now = time.monotonic()
        if now - self._started < _PATIENCE_S or now - self._shown < (_INTERVAL_S if self._terminal else 10 * _INTERVAL_S):
            return
        self._shown = now
        typer.echo(f"\r\x1b[2K{text}" if self._terminal else text, err=True, nl=not self._terminal)

    def end(self) -> None:
        """Clear the line."""
        if self._terminal and self._shown:
            typer.echo("\r\x1b[2K", err=True, nl=False)


@contextmanager
def progress() -> Iterator[Progress]:
    """Give a Progress and clear its line at the end, however the work ends."""
    shown = Progress()
    try:
        yield shown
    finally:
        shown.end()
