"""Rows that a job made and keeps, so that a kill costs the newest of them at most."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

Row = dict[str, Any]
Item = TypeVar("Item")
CHUNK = 32
"""Items between two writes: what a kill can cost."""


class KeptRows:
    """A file of JSON lines: first the key of the job, then rows by the id of what they were made from. Rows of another key are forgotten."""

    def __init__(self, path: Path | None, key: str) -> None:
        """Read what is kept at `path`; None keeps nothing. A line that was being written when the process died ends what is read."""
        self._path = path
        self.rows: dict[str, Row] = {}
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        whole = _whole_lines(path)
        if whole and whole[0] == {"key": key}:
            self.rows = {str(row["id"]): row["row"] for row in whole[1:]}
        # Written anew, so that half a line at the end is not continued.
        temporary = path.with_suffix(".new")
        _append(temporary, [{"key": key}, *({"id": name, "row": row} for name, row in self.rows.items())], mode="w")
        temporary.rename(path)

    def add(self, rows: Mapping[str, Row]) -> None:
        """Keep rows by id. Raises OSError when the disk is full."""
        if self._path is not None:
            _append(self._path, [{"id": name, "row": row} for name, row in rows.items()], mode="a")
        self.rows |= rows

    def complete(
        self, items: Mapping[str, Item], make: Callable[[Sequence[Item]], Iterable[Row]], alive: Callable[[int, int], None] | None = None
    ) -> dict[str, Row]:
        """Return a row per item, in their order, making those that are not kept, a chunk at a time.

        Args:
            items: What rows are made from, by id.
            make: Gives a row per item, in their order.
            alive: Called after every chunk with the rows that there are and that there will be.
        """
        missing = [name for name in items if name not in self.rows]
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            self.add(dict(zip(chunk, make([items[name] for name in chunk]), strict=True)))
            if alive is not None:
                alive(len(items) - len(missing) + start + len(chunk), len(items))
        return {name: self.rows[name] for name in items}


def _whole_lines(path: Path) -> list[Row]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    found: list[Row] = []
    for line in text.splitlines(keepends=True):
        try:
            row = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n") or not isinstance(row, dict):
            break
        found.append(row)
    return found


def _append(path: Path, rows: Sequence[Row], mode: str) -> None:
    with path.open(mode, encoding="utf-8") as writer:
        # ASCII: half a surrogate pair that a model wrote stays an escape.
        writer.write("".join(json.dumps(row) + "\n" for row in rows))
        writer.flush()
        os.fsync(writer.fileno())
