"""The life of one supervised service: start, wait until ready, start again after a crash."""

import time
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from enum import StrEnum
from signal import Signals

from trueloop.embedded import log_files
from trueloop.embedded.process import ChildProcess
from trueloop.embedded.service import ServiceSpec

RESTART_DELAYS_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Pause before the nth start after a crash. The first costs nothing: a single kill -9 should be over as soon as possible."""
FAILING_AFTER = 3
"""Crashes in a row, none after `STABLE_S` seconds of being ready, that make a service `failing`. It is still started again."""
STABLE_S = 10.0
_PROBE_EVERY_S = 0.05


class State(StrEnum):
    """What a service is doing."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILING = "failing"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A service at one moment. `started_at` is in seconds since the epoch; `log_tail` is filled when the service is failing."""

    name: str
    state: State
    pid: int | None
    started_at: float | None
    restarts: int
    endpoint: str | None
    detail: str | None
    log_file: str
    log_tail: tuple[str, ...] = ()


class ManagedService:
    """A state machine driven by `tick`. All methods are for the supervisor's thread; slow work goes to the executor."""

    def __init__(self, spec: ServiceSpec, executor: Executor) -> None:
        self.spec = spec
        self._executor = executor
        self._state = State.STARTING
        self._process: ChildProcess | None = None
        self._task: Future[object] | None = None
        self._due_at = 0.0
        self._ready_since: float | None = None
        self._started_at: float | None = None
        self._deadline = float("inf")
        self._crashes = 0
        self._restarts = 0
        self._detail: str | None = None

    def tick(self, now: float) -> None:
        """Do the next step, if there is one. `now` is monotonic, in seconds."""
        if self._process is None:
            self._advance_start(now)
        elif (ended := self._process.exit_status()) is not None:
            self._process = None
            self._task = None
            self._crashed(ended, now)
        elif self._ready_since is None:
            self._advance_probe(now)

    def status(self) -> ServiceStatus:
        """Return the present state."""
        failing = self._state is State.FAILING
        return ServiceStatus(
            name=self.spec.name,
            state=self._state,
            pid=self._process.pid if self._process else None,
            started_at=self._started_at,
            restarts=self._restarts,
            endpoint=self.spec.endpoint,
            detail=self._detail,
            log_file=str(self.spec.log_file),
            log_tail=tuple(log_files.tail(self.spec.log_file)) if failing else (),
        )

    def signal(self, number: Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self._process is not None:
            self._process.signal(number)

    def has_stopped(self) -> bool:
        """Return whether no process is left; for use while stopping."""
        if self._process is not None and self._process.exit_status() is not None:
            self._process = None
        if self._process is None:
            self._state, self._started_at = State.STOPPED, None
        return self._process is None

    def _advance_start(self, now: float) -> None:
        if now < self._due_at:
            return
        if self._task is None:
            self._task = self._executor.submit(self.spec.prepare)
        if not self._task.done():
            return
        task, self._task = self._task, None
        try:
            task.result()
            self._process = ChildProcess(self.spec)
        except Exception as error:  # whatever it was, it is the service that fails, not the supervisor
            self._crashed(f"not started: {error}", now)
            return
        self._started_at, self._due_at, self._deadline = time.time(), now, now + self.spec.ready_timeout_s

    def _advance_probe(self, now: float) -> None:
        if self._task is None:
            if now >= self._due_at:
                self._task = self._executor.submit(self.spec.probe)
            return
        if not self._task.done():
            return
        task, self._task = self._task, None
        self._due_at = now + _PROBE_EVERY_S
        if task.exception() is None and task.result():
            self._ready_since, self._state, self._detail = now, State.READY, None
        elif now > self._deadline:
            self._state = State.FAILING
            self._detail = f"runs but was not ready within {self.spec.ready_timeout_s:.0f} s"

    def _crashed(self, how: str, now: float) -> None:
        stable = self._ready_since is not None and now - self._ready_since >= STABLE_S
        self._crashes = 1 if stable else self._crashes + 1
        self._restarts += 1
        self._ready_since = self._started_at = None
        self._state = State.FAILING if self._crashes >= FAILING_AFTER else State.RESTARTING
        self._detail = how
        self._due_at = now + RESTART_DELAYS_S[min(self._crashes, len(RESTART_DELAYS_S)) - 1]
