"""`trueloop sql`."""

from typing import Annotated

import typer

from trueloop.commands.output import JSON_OPTION
from trueloop.config import load_settings
from trueloop.errors import ConfigurationError


def sql(
    query: str = typer.Argument(..., metavar="QUERY", help="A SELECT; the views are named in `SHOW TABLES`."),
    parameters: Annotated[list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE for {NAME:Type} in the query; may be repeated.")] = None,
    as_json: bool = JSON_OPTION,
) -> None:
    """Ask ClickHouse; a table for people, JSON lines for programs.

    \b
    Examples:
      trueloop sql "SHOW TABLES"
      trueloop sql "SELECT count() FROM traces"
      trueloop sql --json -p app=support \\
        "SELECT count() AS n FROM labels WHERE application = {app:String}"
    """
    from trueloop.adapters.clickhouse.sql_command import run_sql

    values: dict[str, str] = {}
    for parameter in parameters or ():
        name, equals, value = parameter.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigurationError(f"--param is {parameter!r}; expected NAME=VALUE, such as app=support")
        values[name] = value
    raise typer.Exit(run_sql(load_settings(), query, as_json, values))
