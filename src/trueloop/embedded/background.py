"""`trueloop up --detach` and `trueloop down`: a runtime without a terminal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from trueloop.embedded import leftovers, log_files, status
from trueloop.embedded.layout import Layout
from trueloop.embedded.lockfile import StateLock
from trueloop.embedded.status import Phase
from trueloop.errors import UnavailableError

_POLL_S = 0.05
_STOP_TIMEOUT_S = 60.0


def start(layout: Layout, command: Sequence[str], timeout_s: float, say: Callable[[str], None]) -> None:
    """Run `command`, which is `trueloop up`, in a session of its own, and return when its runtime is ready.

    Args:
        layout: The state directory that the command uses.
        command: Arguments after `python`.
        timeout_s: How long to wait. What has been started goes on afterwards.
        say: Takes the lines that the command prints meanwhile.

    Raises:
        UnavailableError: When the command ends or `timeout_s` seconds have passed before it is ready.
    """
    log_file = layout.logs / "supervisor.log"
    log_files.rotate_if_large(log_file)
    log = log_files.open_for_child(log_file)
    try:
        with log_file.open(encoding="utf-8", errors="replace") as output:
            output.seek(0, os.SEEK_END)
            process = subprocess.Popen([sys.executable, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            deadline = time.monotonic() + timeout_s
            while True:
                ended = process.poll()
                for line in output.read().splitlines():
                    say(line)
                if ended is not None:
                    raise UnavailableError(f"the runtime did not start (exit code {ended}); it said why above and in {log_file}")
                found = status.read(layout.run)
                if found.pid == process.pid and found.phase is Phase.READY:
                    return
                if time.monotonic() > deadline:
                    raise UnavailableError(f"not ready within {timeout_s:.0f} s; it goes on starting. See: trueloop status; stop it with: trueloop down")
                time.sleep(_POLL_S)
    finally:
        os.close(log)


def stop(layout: Layout, *, force: bool = False) -> str:
    """Stop the runtime of a state directory, wherever it was started, and return a sentence about it.

    Args:
        layout: The state directory.
        force: Kill instead of asking; the state survives that too.

    Raises:
        UnavailableError: When it has not ended within a minute.
    """
    lock = StateLock(layout.run)
    owner, dead = lock.owner(), lock.dead_owner()
    if owner is None:
        if dead is None:
            return f"nothing runs in {layout.state_dir}"
        ended = leftovers.end(layout.run)
        lock.clear_dead_owner()
        return f"process {dead.pid} was killed before; cleared its lock" + (f" and ended {', '.join(ended)}" if ended else "")
    os.kill(owner.pid, signal.SIGKILL if force else signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while owner.is_running() and lock.owner() is not None:
        if time.monotonic() > deadline:
            raise UnavailableError(f"process {owner.pid} has not stopped within {_STOP_TIMEOUT_S:.0f} s. Kill it, losing nothing: trueloop down --force")
        time.sleep(_POLL_S)
    if force:
        leftovers.end(layout.run)
        lock.clear_dead_owner()
    return f"stopped process {owner.pid}; the state stays in {layout.state_dir}"
