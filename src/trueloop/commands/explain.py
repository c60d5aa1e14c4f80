"""`trueloop explain`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from trueloop.commands.output import JSON_OPTION, print_json, printable
from trueloop.config import load_settings

if TYPE_CHECKING:
    from trueloop.adapters.clickhouse.lineage import Found


def explain(
    wanted: str = typer.Argument(
        ..., metavar="ID", help="Id, or its beginning: of a gate, release, checkpoint, dataset (NAME@VERSION), pair, label, trace ..."
    ),
    *,
    kind: str = typer.Option(None, "--kind", help="What it is, when an id is that of several things."),
    depth: int = typer.Option(12, min=1, max=50, help="Steps to follow."),
    width: int = typer.Option(3, min=1, max=1000, help="Things of a kind to show below another."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Show everything that a thing came from, and everything that came of it, from ClickHouse.

    \b
    Examples:
      trueloop explain 2c2cff730996
      trueloop explain billing-support/pairs@2 --width 10
      trueloop sql "SELECT DISTINCT checkpoint FROM v_checkpoint_sources
                    WHERE reviewer_id = 'r1'"
    """
    from trueloop.adapters.clickhouse.client import query
    from trueloop.adapters.clickhouse.lineage import Walk, find

    settings = load_settings()

    def ask(sql: str, parameters: Mapping[str, str]) -> Sequence[Sequence[Any]]:
        return query(settings, sql, parameters).rows

    thing = find(ask, wanted, kind)
    walk = Walk(ask, depth, width)
    sources, results = walk.came_from(thing), walk.came_of(thing)
    if as_json:
        print_json({**_plain(sources, "came_from"), "came_of_it": _plain(results, "came_of_it").get("came_of_it", [])})
        return
    typer.echo(printable(f"{thing.kind} {thing.id}: {thing.said}"))
    for title, tree in (("came from", sources), ("came of it", results)):
        typer.echo(f"\n{title}")
        for line in _lines(tree, 1) if tree.below or tree.cut else ["  nothing that is known"]:
            typer.echo(line)


def _lines(found: "Found", depth: int) -> Iterator[str]:
    for each in found.below:
        named = f"{each.role} {each.thing.kind}".strip()
        note = " (see above)" if each.repeated else " ..." if each.cut else ""
        yield "  " * depth + printable(f"{named} {each.thing.id}: {each.thing.said}") + note
        yield from _lines(each, depth + 1)
    for named, more in found.left_out.items():
        yield "  " * depth + f"and {more:,} more: {named}"


def _plain(found: "Found", below: str) -> dict[str, Any]:
    """Return a tree as JSON shows it."""
    told: dict[str, Any] = {"kind": found.thing.kind, "id": found.thing.id, "said": found.thing.said}
    told |= {"role": found.role} if found.role else {}
    told |= {"repeated": True} if found.repeated else {}
    told |= {"cut": True} if found.cut else {}
    told |= {"left_out": found.left_out} if found.left_out else {}
    return told | ({below: [_plain(each, below) for each in found.below]} if found.below else {})
