"""How a worker tells whoever started it that it is ready: it creates the file that the environment names."""

import os
from pathlib import Path

READY_FILE_VARIABLE = "TRUELOOP_READY_FILE"


def announce_ready() -> None:
    """Create the file named by TRUELOOP_READY_FILE; do nothing when nobody asked to be told.

    A worker calls this once, when it would process an event that arrived now. The parent deletes the file before each start, so the
    file's existence always speaks of the present process.
    """
    path = os.environ.get(READY_FILE_VARIABLE)
    if path:
        Path(path).touch()
