"""`trueloop sql`: a query's answer as a table for people or as JSON lines for programs."""

import json
import sys
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from trueloop.adapters.clickhouse.client import Answer, query
from trueloop.adapters.clickhouse.engine import ClickHouseError
from trueloop.config import Settings

USER_ERROR = 2


def run_sql(settings: Settings, sql: str, as_json: bool = False, parameters: Mapping[str, str] | None = None) -> int:
    """Run a query, print its answer, and return the exit status: 0, or 2 after ClickHouse's own words on standard error.

    Raises UnavailableError when no ClickHouse answers.
    """
    try:
        answer = query(settings, sql, parameters)
    except ClickHouseError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return USER_ERROR
    if as_json:
        _print_json(answer)
    else:
        _print_table(answer)
    return 0


def _print_json(answer: Answer) -> None:
    for row in answer.rows:
        print(json.dumps(dict(zip(answer.columns, row, strict=True)), ensure_ascii=False, default=_plain))


def _print_table(answer: Answer) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    numeric = [all(isinstance(row[index], int | float) or row[index] is None for row in answer.rows) for index in range(len(answer.columns))]
    for name, right in zip(answer.columns, numeric, strict=True):
        table.add_column(Text(name), justify="right" if right and answer.rows else "left", overflow="fold")
    for row in answer.rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    console.print(f"{len(answer.rows)} row{'' if len(answer.rows) == 1 else 's'}")


def _cell(value: Any) -> Any:
    """Return a value as it is shown. `Text` is not markup, and control characters, which could drive the terminal, are taken out."""
    from rich.text import Text

    if value is None:
        return Text("null", style="dim")
    text = _plain(value) if isinstance(value, datetime | date) else f"{value:.6g}" if isinstance(value, float) else str(value)
    return Text("".join(character if character.isprintable() or character == "\n" else "�" for character in text))


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ").removesuffix("+00:00")
    return str(value)
