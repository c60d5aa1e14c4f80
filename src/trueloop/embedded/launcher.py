"""Become a child that dies with its parent, then become the command: `python -I -S launcher.py PARENT_PID COMMAND ARGUMENT...`.

On Linux the kernel sends SIGKILL when the thread that forked this process ends, however it ends, and keeps that promise over exec. It is
asked for here and not in a `preexec_fn`, because that would run Python between fork and exec of a process with many threads.
Elsewhere there is no such promise; there the next `trueloop up` ends what a killed supervisor left behind.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Ask for the signal, make sure that the parent did not end in between, and exec."""
    parent, command = int(argv[0]), argv[1:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(f"the parent {parent} ended before the start of {command[0]}")
    try:
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
