"""`trueloop model`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from trueloop.cli import group
from trueloop.commands.output import JSON_OPTION, print_json
from trueloop.config import load_settings

app = group(help="Models that the loop trains and serves.")


@app.callback()
def models() -> None:
    """Keep `register` a command of its own, though it is the only one."""


@app.command()
def register(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A checkpoint as transformers saves it: safetensors, JSON and tokenizer files.")],
    application: str = typer.Option(..., "--application", "-a", help="The application that it belongs to."),
    release: bool = typer.Option(False, "--release", help="Let it serve from now on: publish a release."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Copy a checkpoint into the model store; the same files are stored once.

    \b
    Example, the model that the loop is to improve:
      trueloop model register ./my-model --application billing-support --release
    """
    from trueloop.adapters.model_store import ModelStore

    settings = load_settings()
    stored = ModelStore(settings.models).put(directory, {"application": application, "registered_at": datetime.now(UTC).isoformat()})
    said: dict[str, Any] = {"checkpoint": stored.checkpoint, "uri": stored.uri, "sha256": stored.sha256, "released": release}
    if release:
        from trueloop.commands.releases import publish_release

        publish_release(settings, application, stored)
    if as_json:
        print_json(said)
    else:
        typer.echo(f"stored checkpoint {stored.checkpoint} in {settings.models}" + (f"; it serves {application!r} from now on" if release else ""))
