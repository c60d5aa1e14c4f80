"""Training by `accelerate launch`: several processes on the GPUs of this machine or of several, as its configuration says.

Under --cpu accelerate 1.15 starts one process, whatever --num_processes says; --multi_gpu starts as many as it is told, which without a GPU are on the
CPU and speak by gloo.
"""

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel
from trueloop.trainers.exchange import Exchange, wait_for_next_look
from trueloop.trainers.frame.job_config import Progress
from trueloop.trainers.frame.training_report import TrainingReport

from trueloop.errors import TrainingError

_END_S = 20.0
"""How long the processes may take to end after their report, and then after they were told to."""


class AccelerateLaunch:
    """Starts `accelerate launch ARGUMENTS` anew for each job, which costs the seconds of its imports."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = tuple(arguments)

    def command(self, directory: Path) -> list[str]:
        """Return the command line for a job."""
        launcher = (sys.executable, "-m", "accelerate.commands.launch", *self._arguments)
        return [*launcher, "-m", "trueloop.trainers.launched", "--while-parent", str(directory)]

    def train(self, method: str, config: BaseModel, directory: Path, progress: Progress) -> TrainingReport:
        """Launch, follow and return the report. Raises TrainingError when the processes end without one."""
        exchange = Exchange(directory)
        exchange.write_order(method, config)
        # Standard input is how the processes learn that this one is gone, by SIGKILL too: they must not go on with a job that is begun again.
        with subprocess.Popen(self.command(directory), stdin=subprocess.PIPE) as process:
            try:
                while True:
                    code = process.poll()
                    report = exchange.follow(progress)
                    if report is not None:
                        _await_the_others(process)
                        return report
                    if code is not None:
                        raise TrainingError(f"`accelerate launch` ended with exit code {code} and no report; the job's log says why")
                    wait_for_next_look(progress)
            finally:
                _end(process)


def _await_the_others(process: "subprocess.Popen[bytes]") -> None:
    """Give the processes that have nothing to tell the time to end by themselves: one whose standard input ends first is a failure to the launcher."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
