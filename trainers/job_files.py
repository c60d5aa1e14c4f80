"""What a job keeps beside its checkpoint, under ROOT/jobs, and what it works in.

HASH/                  of the job's id, because ids come from events
    lock, work/        the working directory, for one process at a time; it holds text of the dataset
    state/             what a trainer resumes from; outlives kill -9, and goes when the attempt ends
    attempt-N/         log.txt, curve.jsonl, config.json, result.json, evaluation.json, beginnings; trials.json holds what people are asked
"""

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trueloop.events import derive_id

Record = Literal["result", "evaluation", "trials", "config"]


@dataclass(frozen=True, slots=True)
class AttemptFiles:
    """The files of one attempt at a job."""

    directory: Path

    @property
    def log(self) -> Path:
        """What the training process printed while it was at the attempt."""
        return self.directory / "log.txt"

    @property
    def curve(self) -> Path:
        """The metrics by step, as JSON lines."""
        return self.directory / "curve.jsonl"

    def make(self) -> None:
        """Make the directory."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def record(self, name: Record) -> str | None:
        """Return what was kept under a name, None when the attempt has not come so far."""
        try:
            return (self.directory / f"{name}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def settle(self, name: Record, text: str) -> str:
        """Keep what is final of the attempt and return what is kept: whoever comes second, in this process or another, gets the words of the first."""
        path = self.directory / f"{name}.json"
        self.make()
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with temporary.open("x", encoding="utf-8") as writer:
                writer.write(text)
                writer.flush()
                os.fsync(writer.fileno())
            os.link(temporary, path)
        except FileExistsError:
            return path.read_text(encoding="utf-8")
        finally:
            temporary.unlink(missing_ok=True)
        return text

    def beginnings(self) -> int:
        """Return how often the attempt was begun and neither ended nor was called off: each time a process died in it."""
        try:
            return int((self.directory / "beginnings").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0

    def begin(self) -> None:
        """Count a beginning."""
        self.make()
        self._write(self.beginnings() + 1)

    def call_off(self) -> None:
        """Take the last beginning back: it was not the job that ended it."""
        if self.directory.is_dir():
            self._write(max(0, self.beginnings() - 1))

    def end(self) -> None:
        """Forget the beginnings: the attempt has its outcome."""
        (self.directory / "beginnings").unlink(missing_ok=True)

    def _write(self, count: int) -> None:
        (self.directory / "beginnings").write_text(str(count), encoding="ascii")


class JobFiles:
    """The directories of all jobs of a model store. Several processes may use one."""

    def __init__(self, models: Path) -> None:
        self._jobs = models / "jobs"

    def attempt(self, job_id: str, number: int) -> AttemptFiles:
        """Return the files of an attempt, whether there are any or not."""
        return AttemptFiles(self._job(job_id) / f"attempt-{number}")

    def state(self, job_id: str) -> Path:
        """Return where a trainer keeps what it resumes from."""
        return self._job(job_id) / "state"

    def drop_state(self, job_id: str) -> None:
        """Remove what a trainer would resume from: the attempt has ended."""
        shutil.rmtree(self.state(job_id), ignore_errors=True)

    @contextlib.contextmanager
    def working_directory(self, job_id: str) -> Iterator[Path]:
        """Give the job's empty working directory to one process at a time, and remove it afterwards: it holds text of the dataset.

        The path is the same at each attempt, because trainers write it into the checkpoint, whose id is its content. Waits for a process that
        still holds it, which is one that is just being killed.
        """
        path = self._job(job_id) / "work"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (path.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(mode=0o700)
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)

    def sweep(self) -> None:
        """Remove the working directories of jobs that no process is at: those of killed workers hold text of datasets."""
        for path in self._jobs.glob("*/work"):
            with (path.parent / "lock").open("w") as lock, contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)

    def prune(self, keep: int) -> int:
        """Remove the directories of all but the `keep` jobs that were touched last, and of none that a process is at; return how many went.

        Their outcomes stay on `training-results`, where a worker that reads their requests again finds them.
        """
        newest_first = sorted(self._jobs.glob("*/"), key=lambda path: max((entry.stat().st_mtime for entry in path.iterdir()), default=0.0), reverse=True)
        gone = 0
        for path in newest_first[keep:]:
            with (path / "lock").open("w") as lock, contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
                gone += 1
        return gone

    def _job(self, job_id: str) -> Path:
        return self._jobs / derive_id("job", job_id)
