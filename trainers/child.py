"""The training process as its parent sees it: kept warm, spoken to over a pipe, replaced when it dies."""

import multiprocessing
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from trueloop.trainers import job_process
from trueloop.trainers.job_events import Fault

from trueloop.config import Settings


class TrainingProcess:
    """A warm child process on a device. `spawn` gives it an interpreter of its own, so that the parent stays without torch."""

    def __init__(self, settings: Settings, device: str = "auto") -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._pipe: Connection = ours
        self._process = context.Process(target=job_process.main, args=(theirs, settings, device), name="trueloop-training", daemon=True)
        self._process.start()
        theirs.close()
        self._open = True
        self.is_warm = False
        """Whether it has imported what jobs need. What happens before is no fault of a job."""

    @property
    def pid(self) -> int | None:
        """The pid, for those who watch or test it."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can take a job."""
        return self._open and self._process.is_alive()

    def send(self, order: job_process.Order) -> None:
        """Give it a job. Raises OSError when it is dead."""
        self._pipe.send(order)

    @property
    def pipe(self) -> Connection:
        """What becomes readable when it says something."""
        return self._pipe

    def messages(self, timeout_s: float) -> Iterator[Any]:
        """Yield what it says: waits up to `timeout_s` for the first message, and not for others."""
        while self._open and self._pipe.poll(timeout_s):
            timeout_s = 0.0
            try:
                message = self._pipe.recv()
            except (EOFError, OSError):
                self._open = False
                continue
            self.is_warm = self.is_warm or isinstance(message, job_process.Warm)
            yield message

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join(5.0)
        self._pipe.close()
        self._open = False

    def how_it_ended(self) -> Fault:
        """Return why a dead child is dead, as a fault of the job it was at."""
        self._process.join(5.0)
        code = self._process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = "; if nobody killed it, the machine ran out of memory: lower the batch size" if -code == signal.SIGKILL else ""
            return Fault("TrainingProcessKilled", f"the training process ended by {name}{hint}")
        return Fault("TrainingProcessExited", f"the training process ended with exit code {code}; its log says why")
