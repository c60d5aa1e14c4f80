"""`trueloop rubric`."""

from datetime import UTC, datetime

import typer

from trueloop.adapters.documents import load_rubric, shipped
from trueloop.cli import group
from trueloop.commands.governed import SOURCE, pick, print_published
from trueloop.commands.output import JSON_OPTION, print_json, printable
from trueloop.config import load_settings
from trueloop.rubrics import Rubric, content_hash

app = group(
    help="Rubrics say what good means. They are TOML files under your version control; these shipped ones are examples:\n\n" + ", ".join(shipped(Rubric))
)


@app.command()
def check(source: str = SOURCE, as_json: bool = JSON_OPTION) -> None:
    """Check a rubric file without publishing it.

    \b
    Examples:
      trueloop rubric check rubrics/support.toml
      trueloop rubric check billing-support
    """
    rubric = load_rubric(source)
    digest = content_hash(rubric)
    if as_json:
        print_json({"id": rubric.id, "version": rubric.version, "content_hash": digest, "dimensions": [dimension.name for dimension in rubric.dimensions]})
    else:
        names = ", ".join(dimension.name for dimension in rubric.dimensions)
        typer.echo(f"ok: rubric {rubric.id!r} version {rubric.version}, dimensions {names}; content {digest[:12]}")


@app.command()
def publish(source: str = SOURCE, as_json: bool = JSON_OPTION) -> None:
    """Publish a rubric. A version never changes once published: raise `version` for every change. Publishing the same again does nothing."""
    from trueloop.adapters.publication import Documents

    rubric = load_rubric(source)
    new = Documents(load_settings()).publish_rubric(rubric, datetime.now(UTC))
    if as_json:
        print_json({"id": rubric.id, "version": rubric.version, "content_hash": content_hash(rubric), "published": new})
    else:
        typer.echo(f"{'published' if new else 'already published:'} rubric {rubric.id!r} version {rubric.version}")


@app.command("ls")
def list_rubrics(as_json: bool = JSON_OPTION) -> None:
    """List the published rubrics."""
    from trueloop.adapters.publication import Documents

    print_published(Documents(load_settings()).rubrics(), as_json, "no rubric is published; try `trueloop rubric publish billing-support`")


@app.command()
def show(name: str = typer.Argument(..., metavar="ID[@VERSION]", help="A published rubric; without version the newest."), as_json: bool = JSON_OPTION) -> None:
    """Show a published rubric as its reviewers read it."""
    from trueloop.adapters.publication import Documents

    found = pick(name, Documents(load_settings()).rubrics())
    rubric = Rubric.model_validate_json(found.document)
    if as_json:
        print_json(rubric.model_dump(mode="json") | {"content_hash": found.content_hash, "published_at": found.occurred_at})
        return
    typer.echo(f"{rubric.id} version {rubric.version}: {printable(rubric.title)}\n")
    typer.echo("\n".join(printable(line) for line in rubric.statement.strip().splitlines()) + "\n")
    for dimension in rubric.dimensions:
        floor = "no floor" if dimension.floor is None else f"floor {dimension.floor:g}"
        typer.echo(f"{dimension.name} ({dimension.scale.min}..{dimension.scale.max}, {floor}): {printable(dimension.description)}")
    typer.echo(f"\nvetoes: {', '.join(rubric.vetoes) or 'none'}; ties are broken by: {', '.join(rubric.tie_break) or 'nothing'}")
