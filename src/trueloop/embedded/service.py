"""What the supervisor is asked to run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """A worker process, as the caller of the runtime describes it.

    The runtime adds the endpoints, the state directory and TRUELOOP_READY_FILE to the environment; the worker says that it is ready with
    `trueloop.readiness.announce_ready`.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    endpoint: str | None = None
    ready_timeout_s: float = 60.0
    stop_grace_s: float = 10.0


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A child process that the supervisor keeps alive.

    `prepare` runs before every start; `probe` is called from a thread until it returns True, and must itself give up within about two
    seconds. Services stop in descending order of `stage`: those of one stage together, each with `stop_grace_s` between SIGTERM and
    SIGKILL. `env` is the whole environment: nothing is inherited, so that a stray JAVA_TOOL_OPTIONS or QUARKUS_* cannot change a service.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log_file: Path
    stage: int
    prepare: Callable[[], None]
    probe: Callable[[], bool]
    endpoint: str | None = None
    ready_timeout_s: float = 60.0
    stop_grace_s: float = 10.0
