"""Keeps child processes alive, and stops them in order."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from signal import SIGKILL, SIGTERM

from trueloop.embedded import log_files
from trueloop.embedded.managed import ManagedService, ServiceStatus, State
from trueloop.embedded.service import ServiceSpec
from trueloop.errors import UnavailableError

_TICK_S = 0.03
_ROTATE_EVERY_S = 1.0
_KILL_WAIT_S = 5.0


class Supervisor:
    """Runs services in one thread of its own, which makes, watches and restarts every child.

    One thread, because Linux kills a child when the *thread* that made it ends: children live exactly as long as this thread.
    """

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        """Create a supervisor; `on_change` is called from its thread whenever a status differs from before."""
        self._on_change = on_change
        self._added: queue.SimpleQueue[ServiceSpec] = queue.SimpleQueue()
        self._services: list[ManagedService] = []
        self._expected: set[str] = set()
        self._statuses: list[ServiceStatus] = []
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._impatient = threading.Event()
        self._executor = ThreadPoolExecutor(8, thread_name_prefix="trueloop-probe")
        self._thread = threading.Thread(target=self._run, name="trueloop-supervisor", daemon=True)
        self._rotated_at = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def add(self, specs: Sequence[ServiceSpec]) -> None:
        """Start services and keep them alive."""
        with self._changed:
            self._expected.update(spec.name for spec in specs)
        for spec in specs:
            self._added.put(spec)

    def statuses(self) -> list[ServiceStatus]:
        """Return the state of every service."""
        with self._changed:
            return list(self._statuses)

    def wait_ready(self, timeout_s: float) -> None:
        """Return when every added service is ready.

        Raises:
            UnavailableError: When one fails, when `timeout_s` seconds have passed, or when the supervisor is stopped meanwhile.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = {status.name: status for status in self._statuses}
                for status in found.values():
                    if status.state is State.FAILING:
                        raise UnavailableError(_failure(status))
                waiting = sorted(name for name in self._expected if name not in found or found[name].state is not State.READY)
                if not waiting:
                    return
                if self._stopping.is_set():
                    raise UnavailableError(f"stopped before ready: {', '.join(waiting)}")
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise UnavailableError(f"not ready within {timeout_s:.0f} s: {', '.join(waiting)}. Read their logs, and run: trueloop doctor")
                self._changed.wait(remaining)

    def stop(self) -> None:
        """Stop the services, last stage first, and return when none is left. Calling it again changes nothing."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def is_alive(self) -> bool:
        """Return whether the thread runs, and with it the services."""
        return self._thread.is_alive()

    def hurry(self) -> None:
        """Make a stop that is under way kill what has not ended yet. Safe in a signal handler."""
        self._impatient.set()

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_S):
            with contextlib.suppress(queue.Empty):
                while True:
                    self._services.append(ManagedService(self._added.get_nowait(), self._executor))
            now = time.monotonic()
            for service in self._services:
                service.tick(now)
            self._rotate_logs(now)
            self._publish()
        for stage in sorted({service.spec.stage for service in self._services}, reverse=True):
            self._stop_stage([service for service in self._services if service.spec.stage == stage])
        self._publish()

    def _stop_stage(self, services: list[ManagedService]) -> None:
        for service in services:
            service.signal(SIGTERM)
        begun = time.monotonic()
        left = services
        while left := [service for service in left if not service.has_stopped()]:
            waited = time.monotonic() - begun
            for service in left:
                if self._impatient.is_set() or waited > service.spec.stop_grace_s:
                    service.signal(SIGKILL)
            if waited > max(service.spec.stop_grace_s for service in services) + _KILL_WAIT_S:
                return  # not even SIGKILL ends a process in uninterruptible sleep; the kernel will, later
            self._publish()
            time.sleep(_TICK_S)

    def _rotate_logs(self, now: float) -> None:
        if now - self._rotated_at >= _ROTATE_EVERY_S:
            self._rotated_at = now
            for service in self._services:
                with contextlib.suppress(OSError):  # as in _publish
                    log_files.rotate_if_large(service.spec.log_file)

    def _publish(self) -> None:
        statuses = [service.status() for service in self._services]
        with self._changed:
            if statuses == self._statuses:
                return
            self._statuses = statuses
            self._changed.notify_all()
        with contextlib.suppress(OSError):  # a full disk must not end this thread, and every child with it
            self._on_change()


def _failure(status: ServiceStatus) -> str:
    lines = "".join(f"\n  | {line}" for line in status.log_tail)
    return f"{status.name} fails ({status.detail}); expected it to become ready. The end of {status.log_file}:{lines}"
