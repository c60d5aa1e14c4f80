"""The commands of the one-machine runtime: up, down, status, doctor, fetch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from trueloop.config import load_settings
from trueloop.embedded import background, class_cache, doctor, foreground, status, status_view
from trueloop.embedded.endpoints import Endpoints
from trueloop.embedded.layout import Layout
from trueloop.embedded.ports import remembered
from trueloop.embedded.runtime import EmbeddedRuntime, Stack
from trueloop.embedded.status import Phase
from trueloop.embedded.store import ArtifactStore
from trueloop.errors import TrueloopError

StateDir = Annotated[Path | None, typer.Option("--state-dir", help="Where all state is kept; by default .trueloop, or TRUELOOP_STATE_DIR.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _layout(state_dir: Path | None) -> Layout:
    return Layout((state_dir or load_settings().state_dir).absolute())


def up(stack: Stack, state_dir: Path | None = None, *, panel: foreground.Panel = lambda: None) -> None:
    """Run everything until Ctrl-C, showing it."""
    console = Console()
    layout = _layout(state_dir)
    foreground.run(EmbeddedRuntime(layout.state_dir, stack, say=lambda text: console.print(escape(text))), console, panel)


def up_detached(module: str, state_dir: Path | None = None, timeout_s: float = 300.0) -> None:
    """Run everything in the background; `module` is what `python -m` runs to get `up` again."""
    layout = _layout(state_dir)
    say = lambda text: typer.echo(f"  {text}")  # noqa: E731
    background.start(layout, ["-m", module, "up", "--state-dir", str(layout.state_dir)], timeout_s, say)
    found = Endpoints.from_ports(remembered(layout.run))
    typer.echo(f"ready: Kafka at {found.kafka}, schema registry at {found.registry}, ClickHouse at {found.clickhouse}. Stop it with: trueloop down")


def down(state_dir: Path | None = None, *, force: bool = False) -> None:
    """Stop the runtime, wherever it was started."""
    typer.echo(background.stop(_layout(state_dir), force=force))


def show_status(state_dir: Path | None = None, *, as_json: bool = False) -> bool:
    """Print what runs; return whether everything is ready."""
    layout = _layout(state_dir)
    found = status.read(layout.run)
    if as_json:
        typer.echo(json.dumps({"state_dir": str(layout.state_dir), **found.to_dict()}, indent=2))
    elif found.phase is Phase.STOPPED:
        typer.echo(f"nothing runs in {layout.state_dir}. Start it with: trueloop up")
    else:
        console = Console()
        console.print(status_view.render(found, hint=False))
    return found.phase is Phase.READY and all(service.state == "ready" for service in found.services)


def examine(state_dir: Path | None = None, *, as_json: bool = False) -> bool:
    """Print what is wrong and how to mend it; return whether nothing is."""
    try:
        found = list(doctor.examine(_layout(state_dir).state_dir))
    except TrueloopError as error:  # settings or the lock of artifacts are themselves what is wrong
        found = [doctor.Finding("settings", doctor.Level.PROBLEM, str(error), "correct what the message names")]
    healthy = all(finding.level is not doctor.Level.PROBLEM for finding in found)
    if as_json:
        typer.echo(json.dumps({"healthy": healthy, "findings": [finding.to_dict() for finding in found]}, indent=2))
        return healthy
    console = Console()
    colours = {doctor.Level.OK: "green", doctor.Level.NOTE: "yellow", doctor.Level.PROBLEM: "red"}
    for finding in found:
        console.print(f"[{colours[finding.level]}]{finding.level:<8}[/]{escape(finding.check)}: {escape(finding.message)}", soft_wrap=True, highlight=False)
        if finding.remedy:
            console.print(f"        -> {escape(finding.remedy)}", soft_wrap=True, highlight=False)
    return healthy


def fetch() -> None:
    """Download the locked artifacts, replace altered ones, and record the class caches."""
    store = ArtifactStore()
    for name in store.bundles:
        typer.echo(f"{name}: fetching what is missing, replacing what is altered")
        store.repair(name)
        store.verify(name)
    class_cache.ensure(store, typer.echo, try_again=True)
    typer.echo(f"all artifacts are in {store.root}, as locked")


def build_app(stack: Callable[[Path], Stack] = lambda _: Stack(), *, panel: foreground.Panel = lambda: None, module: str = "trueloop.embedded") -> typer.Typer:
    """Return the commands as an application to be mounted.

    Args:
        stack: Called with the state directory by `up` alone, so that the other commands do not pay for its imports.
        panel: Called for every frame of the live view; what it returns is shown below the topics.
        module: What `python -m MODULE up` must run to be this `up` again; for `up --detach`.
    """
    app = typer.Typer(no_args_is_help=True, add_completion=False, help="The one-machine runtime.")

    @app.command("up")
    def _up(state_dir: StateDir = None, detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when ready.")] = False) -> None:
        """Start Kafka, the schema registry, ClickHouse and the workers."""
        up_detached(module, state_dir) if detach else up(stack(_layout(state_dir).state_dir), state_dir, panel=panel)

    @app.command("down")
    def _down(state_dir: StateDir = None, force: Annotated[bool, typer.Option("--force", help="Kill instead of asking; loses nothing.")] = False) -> None:
        """Stop what `up` started. The state stays."""
        down(state_dir, force=force)

    @app.command("status")
    def _status(state_dir: StateDir = None, as_json: Json = False) -> None:
        """Show each process. Exits with 1 when not everything is ready."""
        if not show_status(state_dir, as_json=as_json):
            raise typer.Exit(1)

    @app.command("doctor")
    def _doctor(state_dir: StateDir = None, as_json: Json = False) -> None:
        """Say what is missing or wrong, and the command that mends it. Exits with 1 when there is a problem."""
        if not examine(state_dir, as_json=as_json):
            raise typer.Exit(1)

    @app.command("fetch")
    def _fetch() -> None:
        """Download the Java artifacts, or replace altered ones."""
        fetch()

    return app
