"""The one-machine runtime: a Kafka broker, a schema registry and workers, owned by one process and one state directory."""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from trueloop.embedded import broker, class_cache, endpoints, leftovers, ports, schema_registry, status
from trueloop.embedded.artifacts import KAFKA, REGISTRY
from trueloop.embedded.endpoints import Endpoints
from trueloop.embedded.layout import Layout
from trueloop.embedded.lockfile import StateLock
from trueloop.embedded.service import ServiceSpec, WorkerSpec
from trueloop.embedded.status import Phase, RuntimeStatus
from trueloop.embedded.store import ArtifactStore
from trueloop.embedded.supervisor import Supervisor
from trueloop.errors import UnavailableError
from trueloop.readiness import READY_FILE_VARIABLE

_INFRASTRUCTURE_TIMEOUT_S = 60.0
_WORKER_STAGE = 2


def _nothing(_: Endpoints) -> None:
    return


@dataclass(frozen=True)
class Stack:
    """What runs on top of the broker and the registry.

    `prepare` is called once, in a thread, when both serve and before the workers start: the place to create topics and register schemas.
    """

    workers: Sequence[WorkerSpec] = ()
    prepare: Callable[[Endpoints], None] = _nothing


class EmbeddedRuntime:
    """Starts and stops everything that `trueloop up` runs; a context manager that is ready inside. For one start and one stop.

    Whatever ends this process, kill -9 included, ends the children too (see `launcher`).
    """

    def __init__(self, state_dir: Path, stack: Stack | None = None, *, store: ArtifactStore | None = None, say: Callable[[str], None] = lambda _: None) -> None:
        """Describe a runtime.

        Args:
            state_dir: Where all its state is; made when missing.
            stack: Workers; by default none, only the broker and the registry.
            store: Artifacts; by default those that all projects of this user share.
            say: Takes sentences about slow first-time work and about what was repaired.
        """
        self.layout = Layout(state_dir.absolute())
        self._stack = stack or Stack()
        self._store = store or ArtifactStore()
        self._say = say
        self._lock = StateLock(self.layout.run)
        self._phase = Phase.STOPPED
        self._supervisor = Supervisor(on_change=self._write_status)
        self._bring_up = threading.Thread(target=self._run_bring_up, name="trueloop-bring-up", daemon=True)
        self._settled = threading.Event()
        self._writing = threading.Lock()
        self._failure: Exception | None = None
        self._ports: dict[str, int] = {}
        self._claims = ports.Claims()

    @property
    def endpoints(self) -> Endpoints:
        """Where the services listen; known after `start`."""
        return Endpoints.from_ports(self._ports)

    @property
    def status(self) -> RuntimeStatus:
        """The present status, as `status.json` tells it to others."""
        error = str(self._failure) if self._failure else None
        return RuntimeStatus(self._phase, os.getpid(), tuple(self._supervisor.statuses()), error)

    def start(self) -> None:
        """Take the state directory and begin to start the services; see `wait_ready`.

        Raises:
            AlreadyRunningError: When another runtime owns the state directory.
            IntegrityError: When an artifact of the broker is not the locked one.
            UnavailableError: When a missing artifact cannot be fetched.
        """
        if self._lock.acquire():
            ended = leftovers.end(self.layout.run)
            self._say(f"the last runtime here was killed; its state is intact{', ended what it left running: ' + ', '.join(ended) if ended else ''}")
        try:
            self._phase = Phase.STARTING
            self._write_status()
            self._fetch_what_is_missing()
            self._store.verify(KAFKA)
            self._ports = ports.choose_for(self.layout.run, self._claims)
            self.endpoints.write(self.layout.run)
            self._supervisor.start()
            # The broker starts while the registry's files, four times as many bytes, are still being verified.
            self._supervisor.add([broker.service(self.layout, self._ports, self._store, class_cache.of(self._store, KAFKA))])
            self._bring_up.start()
        except BaseException:
            self.stop()
            raise

    def wait_ready(self, timeout_s: float = 120.0) -> None:
        """Return when everything serves.

        Raises:
            TrueloopError: When something does not start; the message ends with the last lines of its log. Everything else still runs:
                call `stop`.
        """
        if not self._settled.wait(timeout_s):
            raise UnavailableError(f"not ready within {timeout_s:.0f} s. Read the logs in {self.layout.logs}, and run: trueloop doctor")
        if self._failure is not None:
            raise self._failure

    def is_settled(self) -> bool:
        """Return whether `wait_ready` would return or raise at once."""
        return self._settled.is_set()

    def stop(self) -> None:
        """Stop the workers, then the registry, then the broker, and give the state directory back. Calling it again changes nothing."""
        if self._phase is Phase.STOPPED:
            return  # the directory may have another owner by now
        self._phase = Phase.STOPPING
        self._supervisor.stop()
        if self._bring_up.is_alive():
            self._bring_up.join()
        endpoints.remove(self.layout.run)
        status.remove(self.layout.run)
        self._claims.release()
        self._lock.release()
        self._phase = Phase.STOPPED

    def hurry(self) -> None:
        """Make a stop that is under way kill what has not ended yet. Safe in a signal handler."""
        self._supervisor.hurry()

    def is_supervising(self) -> bool:
        """Return whether crashed children would be restarted: False only before `start`, after `stop` and after a fault of our own."""
        return self._supervisor.is_alive()

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()

    def _fetch_what_is_missing(self) -> None:
        for name in (KAFKA, REGISTRY):
            absent = self._store.missing(name)
            if absent:
                self._say(f"fetching {name}, once per machine")
                self._store.fetch(name)
        class_cache.ensure(self._store, self._say)

    def _run_bring_up(self) -> None:
        try:
            self._store.verify(REGISTRY)
            self._supervisor.add([schema_registry.service(self.layout, self._ports, self._store, class_cache.of(self._store, REGISTRY))])
            self._supervisor.wait_ready(_INFRASTRUCTURE_TIMEOUT_S)
            self._stack.prepare(self.endpoints)
            self._supervisor.add([self._worker(spec) for spec in self._stack.workers])
            self._supervisor.wait_ready(max((spec.ready_timeout_s for spec in self._stack.workers), default=1.0) + 1.0)
            self._phase = Phase.READY
        except Exception as error:  # handed to whoever waits
            self._failure = error
        self._write_status()
        self._settled.set()

    def _worker(self, spec: WorkerSpec) -> ServiceSpec:
        ready_file = self.layout.run / "ready" / spec.name

        def prepare() -> None:
            ready_file.parent.mkdir(exist_ok=True)
            ready_file.unlink(missing_ok=True)

        return ServiceSpec(
            name=spec.name,
            command=spec.command,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                **self.endpoints.environment(),
                "TRUELOOP_STATE_DIR": str(self.layout.state_dir),
                READY_FILE_VARIABLE: str(ready_file),
                **spec.env,
            },
            cwd=Path.cwd(),
            log_file=self.layout.logs / f"{spec.name}.log",
            stage=_WORKER_STAGE,
            prepare=prepare,
            probe=ready_file.exists,
            endpoint=spec.endpoint,
            ready_timeout_s=spec.ready_timeout_s,
            stop_grace_s=spec.stop_grace_s,
        )

    def _write_status(self) -> None:
        # The supervisor's thread and the one that brings up both write: each must write what is true when it writes.
        with self._writing:
            self.status.write(self.layout.run)
