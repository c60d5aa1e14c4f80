"""One child process: started in its own session, tied to the life of its parent, stopped as a group."""

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from trueloop.embedded import launcher, log_files
from trueloop.embedded.service import ServiceSpec


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, told apart from a later one of the same pid by its start time (seconds since the epoch)."""

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """Return the identity of the running process `pid`, None when there is none."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    def is_running(self) -> bool:
        """Return whether this very process runs (a zombie does not)."""
        try:
            process = psutil.Process(self.pid)
            # The kernel counts start times in ticks of 10 ms, and the boot time they are added to may be corrected meanwhile.
            return bool(abs(process.create_time() - self.create_time) < 1.0 and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


class ChildProcess:
    """A running child. Construct and poll it from one long-lived thread: on Linux the child is killed when the thread that made it ends."""

    def __init__(self, spec: ServiceSpec) -> None:
        """Start the child. Raises OSError when its working directory or log file cannot be made."""
        spec.cwd.mkdir(parents=True, exist_ok=True)
        log = log_files.open_for_child(spec.log_file)
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(launcher.__file__)), str(os.getpid()), *spec.command],
                cwd=spec.cwd,
                env=dict(spec.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)

    @property
    def pid(self) -> int:
        """The pid, which is also the id of its process group."""
        return self._popen.pid

    def exit_status(self) -> str | None:
        """Return how it ended, such as "exit code 1" or "signal SIGKILL"; None while it runs."""
        code = self._popen.poll()
        if code is None:
            return None
        # A group outlives its leader: what the child itself started must not go on beside the restarted child.
        self.signal(signal.SIGKILL)
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
