"""One job at a time on a device, whichever worker of this machine takes it."""

import fcntl
import re
import socket
from pathlib import Path
from typing import IO


class DeviceLock:
    """A lock that ends with the process that holds it, by SIGKILL too.

    Workers that share a model store share the locks; the machine's name is in theirs, because a store may be shared by machines. 'auto' is a
    device of its own: a machine whose GPUs are named one by one names all of them.
    """

    def __init__(self, models: Path, device: str) -> None:
        self._path = models / "devices" / re.sub(r"[^A-Za-z0-9._-]", "-", f"{socket.gethostname()}-{device}.lock")
        self._held: IO[bytes] | None = None

    def take(self) -> bool:
        """Return whether the device is this one's now. Never waits."""
        if self._held is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = self._path.open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
            self._held = file
        return True

    def release(self) -> None:
        """Leave the device to others."""
        if self._held is not None:
            self._held.close()
            self._held = None
