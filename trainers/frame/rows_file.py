"""The rows of a dataset file: JSON lines, checked before a model is loaded. No message holds text of a row."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trueloop.trainers.frame.training_errors import DatasetError

Message = dict[str, str]


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number (from 1) and row. Raises DatasetError naming the line that is no JSON object, or when there is no row at all."""
    if not path.is_file():
        raise DatasetError(f"no dataset file {str(path)!r}; expected JSON lines: export the dataset first")
    empty = True
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            empty = False
            yield number, _object(line, number)
    if empty:
        raise DatasetError(f"dataset {str(path)!r} has no row; expected at least one: collect labels, or select another dataset version")


def conversation(row: Mapping[str, Any], column: str, line: int) -> list[Message]:
    """Return the messages of a column. Raises DatasetError unless it is a non-empty list of objects with text `role` and `content`."""
    value = row.get(column)
    if not isinstance(value, list) or not value or not all(_is_message(message) for message in value):
        raise DatasetError(f"line {line}: {column!r} is no list of messages; expected [{{'role': ..., 'content': ...}}, ...] with text in both")
    return [{"role": message["role"], "content": message["content"]} for message in value]


def completion(row: Mapping[str, Any], column: str, line: int) -> list[Message]:
    """Return a completion as the one assistant message it is, given as text or (as TRL has it) as a list of messages."""
    value = row.get(column)
    return [{"role": "assistant", "content": value}] if isinstance(value, str) else conversation(row, column, line)


def slices(row: Mapping[str, Any], line: int) -> dict[str, str]:
    """Return the slices that a row lies in, none when it names none. Raises DatasetError unless they are texts by name."""
    value = row.get("slices") or {}
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value.values()):
        raise DatasetError(f"line {line}: 'slices' are malformed; expected {{name: value}}: export the dataset again")
    return value


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise DatasetError(f"line {number} is no JSON object; expected one row per line: export the dataset again")
    return value


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str)
