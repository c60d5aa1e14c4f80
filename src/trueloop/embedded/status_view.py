"""The live view of `trueloop up`: processes, endpoints, topics."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from trueloop.embedded.managed import ServiceStatus, State
from trueloop.embedded.status import Phase, RuntimeStatus, rss_bytes, uptime_s
from trueloop.errors import TrueloopError

if TYPE_CHECKING:
    from trueloop.adapters.kafka_admin import TopicActivity

_COLOURS = {State.READY: "green", State.STARTING: "cyan", State.RESTARTING: "yellow", State.FAILING: "red", State.STOPPED: "dim"}
_HINTS = {
    Phase.STOPPED: "Stopped.",
    Phase.STARTING: "Starting. Ctrl-C stops everything.",
    Phase.READY: "Ctrl-C stops everything; the state stays.",
    Phase.STOPPING: "Stopping. Ctrl-C again kills what is left.",
}
_OBSERVE_EVERY_S = 2.0
_TAIL_LINES = 6


def render(status: RuntimeStatus, topics: "list[TopicActivity] | None" = None, more: RenderableType | None = None, *, hint: bool = True) -> RenderableType:
    """Return the whole view. `topics` is None while nothing is known about them; `more` is the caller's own panel; `hint` names the keys."""
    parts: list[RenderableType] = [_processes(status)]
    parts.extend(_failure(service) for service in status.services if service.state is State.FAILING)
    if topics:
        parts.append(_topics(topics))
    if more is not None:
        parts.append(more)
    if hint:
        parts.append(Text(_HINTS[status.phase], style="dim"))
    return Group(*parts)


def _processes(status: RuntimeStatus) -> RenderableType:
    table = Table(title=f"trueloop: {status.phase}", title_justify="left", expand=False)
    table.add_column("process", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in ("pid", "up", "restarts", "memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("endpoint", overflow="fold")
    for service in status.services:
        colour = _COLOURS[service.state]
        table.add_row(
            service.name,
            Text(service.state, style=colour),
            str(service.pid or "-"),
            format_duration(uptime_s(service)),
            str(service.restarts),
            format_bytes(rss_bytes(service.pid)),
            Text(service.endpoint or ""),
        )
    return table


def _failure(service: ServiceStatus) -> RenderableType:
    # Text, not markup: a log line may hold anything.
    lines = Text("\n".join(service.log_tail[-_TAIL_LINES:]), overflow="ellipsis", no_wrap=True)
    return Panel(lines, title=Text(f"{service.name}: {service.detail}"), subtitle=Text(service.log_file), border_style="red", title_align="left")


def _topics(topics: "list[TopicActivity]") -> RenderableType:
    table = Table(expand=False)
    table.add_column("topic", no_wrap=True)
    table.add_column("records", justify="right")
    table.add_column("lag", justify="right")
    table.add_column("slowest reader", overflow="fold")
    quiet = 0
    for topic in topics:
        if topic.end_offset == 0:
            quiet += 1
            continue
        group, lag = max(topic.lag.items(), key=lambda item: item[1], default=("", None))
        table.add_row(topic.name, f"{topic.end_offset:,}", "-" if lag is None else f"{lag:,}", Text(group if lag else ""))
    if quiet:
        table.caption = f"{quiet} of {len(topics)} topics are empty"
    return table


def format_duration(seconds: float | None) -> str:
    """Return a short duration.

    >>> format_duration(None), format_duration(4.2), format_duration(75), format_duration(7260)
    ('-', '4s', '1m15s', '2h01m')
    """
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    if minutes == 0:
        return f"{rest}s"
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


def format_bytes(count: int | None) -> str:
    """Return an amount of memory in MiB.

    >>> format_bytes(None), format_bytes(194 * 1024 * 1024)
    ('-', '194 MiB')
    """
    return "-" if count is None else f"{count / 1024 / 1024:.0f} MiB"


class TopicObserver:
    """Watches topics in a thread of its own, so that a view can redraw while the broker does not answer."""

    def __init__(self, bootstrap_servers: Callable[[], str]) -> None:
        """`bootstrap_servers` is asked once, by `start`."""
        self._bootstrap_servers = bootstrap_servers
        self._latest: list[TopicActivity] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trueloop-topics", daemon=True)

    @property
    def latest(self) -> "list[TopicActivity] | None":
        """The newest observation, None before the first."""
        return self._latest

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._ended.set()

    def _run(self) -> None:
        from trueloop.adapters.kafka_admin import TopicWatcher
        from trueloop.config import KafkaSettings

        watcher = TopicWatcher(KafkaSettings(bootstrap_servers=self._bootstrap_servers()))
        while not self._ended.is_set():
            try:
                self._latest = watcher.observe()
            except TrueloopError:
                self._latest = None  # the process table shows that the broker is away
            self._ended.wait(_OBSERVE_EVERY_S)
