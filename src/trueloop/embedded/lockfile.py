"""One runtime per state directory: a file lock that the kernel releases when its holder dies."""

import fcntl
import json
import os
from pathlib import Path

from trueloop.embedded.process import ProcessId
from trueloop.errors import TrueloopError


class AlreadyRunningError(TrueloopError):
    """Another runtime owns the state directory."""


class StateLock:
    """The lock `STATE_DIR/run/lock`. Its content names the owner, for messages and for `trueloop down`; the lock itself is the flock."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock; return True when a dead owner's lock was taken over. Raises AlreadyRunningError when the owner lives."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            owner = self._read_owner()
            raise AlreadyRunningError(
                f"a runtime already uses {str(self.path.parent.parent)!r} (process {owner.pid if owner else 'unknown'}); expected none. "
                "See it with `trueloop status`, stop it with `trueloop down`, or choose another directory with TRUELOOP_STATE_DIR"
            ) from None
        stale = os.fstat(descriptor).st_size > 0
        owner = ProcessId.of(os.getpid())
        assert owner is not None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": owner.pid, "create_time": owner.create_time}).encode(), 0)
        self._descriptor = descriptor
        return stale

    def release(self) -> None:
        """Give the lock back and leave no owner behind. The file stays: deleting a locked file lets two owners in."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def owner(self) -> ProcessId | None:
        """Return the live owner, None when the lock is free or was left by a dead process.

        Asks for the process and not for the flock: a reader that tried the lock, however shortly, could refuse a start at that moment.
        """
        owner = self._read_owner()
        return owner if owner is not None and owner.is_running() else None

    def dead_owner(self) -> ProcessId | None:
        """Return the process that died holding the lock, None when there is none."""
        owner = self._read_owner()
        return owner if owner is not None and not owner.is_running() else None

    def clear_dead_owner(self) -> None:
        """Forget an owner that died. Does nothing when there is none."""
        if self.dead_owner() is not None:
            self.acquire()
            self.release()

    def _read_owner(self) -> ProcessId | None:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            return ProcessId(int(content["pid"]), float(content["create_time"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
