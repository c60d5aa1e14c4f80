"""Children of a supervisor that was killed. On Linux the kernel ends them with it; elsewhere the next start does."""

import contextlib
import os
import signal
from pathlib import Path

import psutil

from trueloop.embedded import status

_SAME_PROCESS_S = 2.0
"""A child's start time as the supervisor noted it and as the system tells it differ by rounding and by a scheduling delay."""


def find(run_dir: Path) -> dict[str, int]:
    """Return name and pid of each service in `status.json` that still runs; meaningful when no supervisor does."""
    return {
        service.name: service.pid
        for service in status.read_last(run_dir)
        if service.pid is not None and service.started_at is not None and _is_same(service.pid, service.started_at)
    }


def end(run_dir: Path) -> list[str]:
    """Kill what a dead supervisor left behind, and return the names."""
    found = find(run_dir)
    for pid in found.values():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid) for pid in found.values() if psutil.pid_exists(pid)], timeout=5)
    return sorted(found)


def _is_same(pid: int, started_at: float) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(abs(process.create_time() - started_at) < _SAME_PROCESS_S and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
