"""What a runtime says about itself, for other terminals: `run/status.json`."""

import json
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from trueloop.embedded.files import write_atomically
from trueloop.embedded.lockfile import StateLock
from trueloop.embedded.managed import ServiceStatus, State

_FILE = "status.json"


class Phase(StrEnum):
    """What a runtime as a whole is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """A runtime at one moment. `pid` is the supervisor's; `error` says why a start failed."""

    phase: Phase
    pid: int | None
    services: tuple[ServiceStatus, ...] = ()
    error: str | None = None

    def write(self, run_dir: Path) -> None:
        """Write `status.json`."""
        write_atomically(run_dir / _FILE, json.dumps(asdict(self), indent=1))

    def to_dict(self) -> dict[str, Any]:
        """Return the status with what is measured now: `uptime_s` and `rss_bytes` of each process."""
        content = asdict(self)
        for service, entry in zip(self.services, content["services"], strict=True):
            entry["uptime_s"] = uptime_s(service)
            entry["rss_bytes"] = rss_bytes(service.pid)
        return content


def read(run_dir: Path) -> RuntimeStatus:
    """Return the status of the runtime that owns the state directory; `stopped` when none does, whatever a killed one left behind."""
    stopped = RuntimeStatus(Phase.STOPPED, None)
    owner = StateLock(run_dir).owner()
    if owner is None:
        return stopped
    try:
        content = json.loads((run_dir / _FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        content = {}
    if content.get("pid") != owner.pid:  # left by an earlier owner: this one has not come to write its own
        return RuntimeStatus(Phase.STARTING, owner.pid)
    return RuntimeStatus(Phase(content["phase"]), content["pid"], _services(content), content["error"])


def remove(run_dir: Path) -> None:
    """Delete `status.json`."""
    (run_dir / _FILE).unlink(missing_ok=True)


def rss_bytes(pid: int | None) -> int | None:
    """Return the resident memory of a process, None when it does not run."""
    try:
        return int(psutil.Process(pid).memory_info().rss) if pid else None
    except psutil.Error:
        return None


def uptime_s(service: ServiceStatus) -> float | None:
    """Return for how many seconds the process has run, None when it does not."""
    return round(max(0.0, time.time() - service.started_at), 1) if service.started_at else None


def read_last(run_dir: Path) -> tuple[ServiceStatus, ...]:
    """Return the services that the last runtime wrote down, alive or not."""
    try:
        return _services(json.loads((run_dir / _FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ()


def _services(content: dict[str, Any]) -> tuple[ServiceStatus, ...]:
    return tuple(ServiceStatus(**{**entry, "state": State(entry["state"]), "log_tail": tuple(entry["log_tail"])}) for entry in content["services"])
