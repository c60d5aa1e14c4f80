"""`trueloop model`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from trueloop.cli import group
from trueloop.commands.output import JSON_OPTION, print_json
from trueloop.config import load_settings
from trueloop.errors import ConfigurationError

app = group(help="Models that the loop trains and serves.")


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


@app.command()
def mirror(
    checkpoint: str = typer.Argument(..., metavar="CHECKPOINT", help="Id of a checkpoint of the model store, or models://ID."),
    to: str = typer.Option(..., "--to", metavar="KIND:DIR", help="'mlflow:DIR' or 'hf:DIR', DIR being empty or not there."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Write a checkpoint as MLflow or the Hugging Face Hub take it. Nothing is uploaded.

    \b
    Examples:
      trueloop model mirror 0123456789abcdef0123456789abcdef --to mlflow:./mirror
      trueloop model mirror 0123456789abcdef0123456789abcdef --to hf:./my-model
    """
    from trueloop.adapters.mirrors import hub_mirror, mlflow_mirror, vllm_command, vllm_faults
    from trueloop.adapters.model_store import SCHEME, ModelStore

    kind, _, place = to.partition(":")
    kinds = {"mlflow": mlflow_mirror, "hf": hub_mirror}
    if kind not in kinds or not place:
        raise ConfigurationError(f"--to is {to!r}; expected mlflow:DIR or hf:DIR")
    store = ModelStore(load_settings().models)
    uri = checkpoint if checkpoint.startswith(SCHEME) else SCHEME + checkpoint
    written = kinds[kind](store, uri, Path(place))
    faults = vllm_faults(store.resolve(uri))
    served = vllm_command(store, uri, written) if kind == "hf" and not faults else None
    if as_json:
        print_json({"checkpoint": uri.removeprefix(SCHEME), "directory": str(written), "kind": kind, "vllm": served, "vllm_faults": faults})
        return
    typer.echo(f"wrote checkpoint {uri.removeprefix(SCHEME)} to {written}")
    if served:
        typer.echo(f"to serve it: {served}")
    for fault in faults:
        typer.echo(f"warning: vLLM does not load this adapter: {fault}", err=True)
