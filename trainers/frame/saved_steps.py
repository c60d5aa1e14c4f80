"""What a run keeps so that it can go on after a kill: the states that transformers saves, and how one is told to be whole and of this job.

A state holds weights, optimiser, schedule and random numbers. Optimiser and random numbers are files of torch, which are read with
`weights_only=True` and only when a mark, written last, says that this very job wrote them and no byte has changed since. A state that was
being written when the process died has no mark.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trueloop.trainers.frame.job_config import JobConfig, settings_of
from trueloop.trainers.frame.training_report import package_versions

MARK = "trueloop_state.json"
_PICKLED_SETTINGS = "training_args.bin"
"""A pickle that transformers writes beside each state and nobody reads."""


@dataclass(frozen=True, slots=True)
class SavedStep:
    """A whole state: its directory, the optimiser steps done, and the tokens read until then."""

    directory: Path
    step: int
    tokens: int


def job_key(config: JobConfig) -> str:
    """Return a hash of all that the steps depend on: settings, base, dataset and packages. A state of another key is of another job."""
    with config.dataset_file.open("rb") as rows:
        dataset = hashlib.file_digest(rows, "sha256").hexdigest()
    said = {"settings": settings_of(config), "base": str(config.model_dir), "dataset": dataset, "versions": package_versions()}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def newest_step(directory: Path, key: str) -> SavedStep | None:
    """Return the state with the most steps that is whole and of that job; remove those that are not, for they only take room."""
    found: list[SavedStep] = []
    for path in sorted(directory.glob("checkpoint-*")):
        state = _read(path, key)
        if state is None:
            shutil.rmtree(path, ignore_errors=True)
        else:
            found.append(state)
    return max(found, key=lambda state: state.step, default=None)


def mark_whole(directory: Path, key: str, *, step: int, tokens: int) -> None:
    """Say that a state is whole. Call it when all its files are written."""
    (directory / _PICKLED_SETTINGS).unlink(missing_ok=True)
    mark = {"key": key, "step": step, "tokens": tokens, "files": _hashes(directory)}
    temporary = directory / f".{MARK}.new"
    with temporary.open("w", encoding="utf-8") as writer:
        writer.write(json.dumps(mark, sort_keys=True))
        writer.flush()
        os.fsync(writer.fileno())
    temporary.rename(directory / MARK)


def _read(path: Path, key: str) -> SavedStep | None:
    try:
        mark = json.loads((path / MARK).read_text(encoding="utf-8"))
        whole = mark["key"] == key and mark["files"] == _hashes(path)
        return SavedStep(path, int(mark["step"]), int(mark["tokens"])) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _hashes(directory: Path) -> Mapping[str, str]:
    hashes = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != MARK and not path.name.startswith("."):
            with path.open("rb") as content:
                hashes[path.relative_to(directory).as_posix()] = hashlib.file_digest(content, "sha256").hexdigest()
    return hashes
