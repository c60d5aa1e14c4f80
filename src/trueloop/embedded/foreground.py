"""`trueloop up` in a terminal: runs the runtime until Ctrl-C or SIGTERM, and shows what it does."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console, RenderableType
from rich.live import Live

from trueloop.embedded import status_view
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.errors import UnavailableError

_REDRAW_S = 0.5

Panel = Callable[[], RenderableType | None]


def run(runtime: EmbeddedRuntime, console: Console, panel: Panel = lambda: None) -> None:
    """Start the runtime, show it, and stop it when asked to. Raises what `EmbeddedRuntime.wait_ready` raises, after having stopped."""
    with _Interrupts(runtime) as interrupts:
        begun = time.monotonic()
        interrupts.during_start(runtime.start)
        observer = status_view.TopicObserver(lambda: runtime.endpoints.kafka)
        try:
            show = _show_live if console.is_terminal else _show_lines
            with show(runtime, console, observer, panel) as redraw:
                _watch(runtime, interrupts.requested, redraw, observer, lambda: console.print(f"ready in {time.monotonic() - begun:.1f} s"))
                _stop(runtime, redraw)
        finally:
            observer.stop()
            runtime.stop()


def _watch(
    runtime: EmbeddedRuntime, requested: threading.Event, redraw: Callable[[], None], observer: status_view.TopicObserver, on_ready: Callable[[], None]
) -> None:
    settled = False
    while not requested.wait(_REDRAW_S if settled else 0.1):
        redraw()
        if not settled and runtime.is_settled():
            settled = True
            runtime.wait_ready()
            observer.start()
            on_ready()
        if not runtime.is_supervising():
            raise UnavailableError("the supervisor ended by itself, and its children with it; the state is intact. Run: trueloop up")


def _stop(runtime: EmbeddedRuntime, redraw: Callable[[], None]) -> None:
    stopping = threading.Thread(target=runtime.stop, name="trueloop-stop")
    stopping.start()
    while stopping.is_alive():
        redraw()
        stopping.join(0.1)
    redraw()


class _Interrupts:
    """SIGINT and SIGTERM: the first asks for a stop, the next one for a quick stop. While starting they interrupt."""

    def __init__(self, runtime: EmbeddedRuntime) -> None:
        self.requested = threading.Event()
        self._runtime = runtime
        self._starting = False
        self._before: dict[signal.Signals, object] = {}

    def during_start(self, start: Callable[[], None]) -> None:
        self._starting = True
        try:
            start()
        finally:
            self._starting = False

    def __enter__(self) -> "_Interrupts":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._starting:
            raise KeyboardInterrupt
        if self.requested.is_set():
            self._runtime.hurry()
        self.requested.set()


@contextmanager
def _show_live(runtime: EmbeddedRuntime, console: Console, observer: status_view.TopicObserver, panel: Panel) -> Iterator[Callable[[], None]]:
    with Live(console=console, auto_refresh=False, transient=False) as live:
        yield lambda: live.update(status_view.render(runtime.status, observer.latest, panel()), refresh=True)


@contextmanager
def _show_lines(runtime: EmbeddedRuntime, console: Console, _observer: status_view.TopicObserver, _panel: Panel) -> Iterator[Callable[[], None]]:
    shown: dict[str, tuple[object, ...]] = {}

    def redraw() -> None:
        for service in runtime.status.services:
            now = (service.state, service.restarts)
            if shown.get(service.name) != now:
                shown[service.name] = now
                detail = service.detail or service.endpoint or ""
                console.print(f"{service.name}: {service.state} {detail}".rstrip(), markup=False, highlight=False, soft_wrap=True)

    yield redraw
