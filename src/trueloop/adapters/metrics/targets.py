"""Where the workers of this machine serve their metrics: one file per worker, in the form that Prometheus' `file_sd_configs` reads.

A worker takes any free port unless one is set, so two never want the same; the file is how others find it.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

DIRECTORY = Path("run") / "metrics"
_PID, _STARTED = "__meta_trueloop_pid", "__meta_trueloop_started"
_SAME_PROCESS_S = 2.0
"""A process's start time as it noted it and as the system tells it later differ by rounding."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """A worker that serves metrics. `address` is host:port."""

    worker: str
    address: str
    pid: int
    started: float

    @property
    def is_alive(self) -> bool:
        """Return whether the process that wrote this still runs."""
        try:
            process = psutil.Process(self.pid)
            return bool(abs(process.create_time() - self.started) < _SAME_PROCESS_S and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False

    def to_json(self) -> str:
        """Return the content of the file. Prometheus keeps the label `worker`, and forgets those that begin with two underscores."""
        labels = {"worker": self.worker, _PID: str(self.pid), _STARTED: str(self.started)}
        return json.dumps([{"targets": [self.address], "labels": labels}], indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Target":
        """Return what a file says. Raises ValueError when it is none of ours."""
        try:
            (entry,) = json.loads(text)
            (address,) = entry["targets"]
            labels = entry["labels"]
            return cls(str(labels["worker"]), str(address), int(labels[_PID]), float(labels[_STARTED]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the address of a worker: {error}") from None


@contextmanager
def noted(state_dir: Path, worker: str, address: str) -> Iterator[None]:
    """Make this process's address known while the context lasts. Where the directory cannot be written, go on without."""
    target = Target(worker, address, os.getpid(), psutil.Process().create_time())
    path = state_dir / DIRECTORY / f"{worker}-{target.pid}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget_the_dead(state_dir)
        temporary = path.with_suffix(".new")  # Prometheus reads *.json, and must not read a part
        temporary.write_text(target.to_json(), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        logger.info("`trueloop top` will not find this worker by itself: %s cannot be written (%s)", path, error.strerror)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def running(state_dir: Path) -> list[Target]:
    """Return the workers whose processes run, by name."""
    return sorted((target for _, target in _files(state_dir) if target.is_alive), key=lambda target: (target.worker, target.pid))


def _forget_the_dead(state_dir: Path) -> None:
    for path, target in _files(state_dir):
        if not target.is_alive:
            path.unlink(missing_ok=True)


def _files(state_dir: Path) -> Iterator[tuple[Path, Target]]:
    for path in sorted((state_dir / DIRECTORY).glob("*.json")):
        with suppress(OSError, ValueError):  # deleted meanwhile, or not ours
            yield path, Target.from_json(path.read_text(encoding="utf-8"))
