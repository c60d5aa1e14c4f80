"""Log files of child processes: bounded while the child writes them, and read from the end."""

import os
import shutil
from pathlib import Path

MAX_BYTES = 8 * 1024 * 1024
BACKUPS = 3
_TAIL_BYTES = 16 * 1024


def open_for_child(path: Path) -> int:
    """Return a descriptor that appends to `path`.

    The child writes to the file and not to a pipe, so that it never waits for its supervisor (which may be suspended with Ctrl-Z) and its
    last words survive the supervisor's death.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def rotate_if_large(path: Path, max_bytes: int = MAX_BYTES, backups: int = BACKUPS) -> bool:
    """Move the content of `path` to `path.1` when it exceeds `max_bytes`, keeping `backups` older pieces; return whether it did.

    The file is copied and truncated, for the child holds it open: appends continue at its new end. What is written in the microseconds
    between the last read and the truncation is lost; logs only, and the price of not having to ask a JVM to reopen a file.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(backups - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    with path.open("r+b") as source, path.with_name(f"{path.name}.1").open("wb") as target:
        shutil.copyfileobj(source, target)
        source.truncate(0)
    return True


def tail(path: Path, lines: int = 12) -> list[str]:
    """Return the last `lines` non-empty lines of `path`, none when it is missing."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]
