"""`trueloop top`."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueloop.commands.output import JSON_OPTION, print_json
from trueloop.config import load_settings
from trueloop.errors import UnavailableError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from trueloop.adapters.metrics.scrape import WorkerReading
    from trueloop.commands.top_rows import History, WorkerRow

EVERY_S = 1.0
_AT_ONCE = 16
_PIPE_WIDTH = 160
"""A pipe has no width of its own."""


def top(
    urls: Annotated[list[str] | None, typer.Argument(metavar="[URL]...", help="Metrics of workers elsewhere; by default those of this machine.")] = None,
    once: bool = typer.Option(False, "--once", help="Print one table and leave."),
    state_dir: Annotated[Path | None, typer.Option("--state-dir", help="Whose workers; by default .trueloop, or TRUELOOP_STATE_DIR.")] = None,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show live what each worker does: events, lag, how long they take, dead letters.

    \b
    Rates are taken between scrapes one second apart. Quantiles are over the
    last minute; with --once and --json, since each worker started.

    \b
    Examples:
      trueloop top
      trueloop top --once
      trueloop top http://10.0.0.5:9464/metrics --json
    """
    watch = _Watch(urls or [], state_dir or load_settings().state_dir)
    if not watch.observe():
        raise UnavailableError(watch.nobody())
    if as_json or once:
        time.sleep(EVERY_S)
        watch.observe()
        _print_json(watch) if as_json else _print(watch)
        return
    _show(watch)


class _Watch:
    """Scrapes the workers again and again."""

    def __init__(self, urls: list[str], state_dir: Path) -> None:
        self._urls = urls
        self._state_dir = state_dir
        self._histories: dict[str, History] = {}
        self.silent: list[str] = []

    def observe(self) -> bool:
        """Scrape every worker once; return whether one answers. Workers that have ended are forgotten."""
        from trueloop.commands.top_rows import History

        found = self._addresses()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            readings = dict(zip(found, pool.map(_try, found), strict=True))
        self._histories = {url: self._histories.get(url) or History(url) for url, reading in readings.items() if reading is not None}
        for url, history in self._histories.items():
            reading = readings[url]
            if reading is not None:
                history.add(reading)
        self.silent = [f"{found[url]} at {url}" for url, reading in readings.items() if reading is None]
        return bool(self._histories)

    def rows(self, *, since_start: bool) -> "list[WorkerRow]":
        return [history.row(since_start=since_start) for history in self._histories.values()]

    def nobody(self) -> str:
        if self._urls:
            return f"no worker answers at {', '.join(self._urls)}; expected the metrics of one, such as http://127.0.0.1:9464/metrics"
        return f"no worker of {self._state_dir.absolute()} runs. Start them with: trueloop up. For workers elsewhere, name their metrics: trueloop top URL..."

    def _addresses(self) -> dict[str, str]:
        if self._urls:
            return dict.fromkeys(self._urls, "a worker")
        from trueloop.adapters.metrics import targets

        return {f"http://{target.address}/metrics": target.worker for target in targets.running(self._state_dir)}


def _try(url: str) -> "WorkerReading | None":
    from trueloop.adapters.metrics.scrape import scrape

    try:
        return scrape(url)
    except UnavailableError:
        return None


def _print_json(watch: _Watch) -> None:
    print_json({"workers": [row.to_dict() for row in watch.rows(since_start=True)], "silent": watch.silent})


def _print(watch: _Watch) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    console.print(_view(watch, console.width, live=False), soft_wrap=True)


def _show(watch: _Watch) -> None:
    """Show until Ctrl-C; then leave the last view behind."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    try:
        # On a screen of its own: a terminal that is made narrower would wrap the lines of the view before.
        with Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
            while True:
                begun = time.monotonic()
                live.update(_view(watch, console.width, live=True), refresh=True)
                time.sleep(max(0.0, EVERY_S - (time.monotonic() - begun)))
                watch.observe()
    except KeyboardInterrupt:
        console.print(_view(watch, console.width, live=True, hint=False))


def _view(watch: _Watch, width: int, *, live: bool, hint: bool | None = None) -> "RenderableType":
    from trueloop.commands.top_view import render

    period = "over the last minute" if live else "since each worker started"
    return render(watch.rows(since_start=not live), watch.silent, period, width, hint=live if hint is None else hint)
