"""What a job keeps beside its checkpoint, under ROOT/jobs: its outcome, its working directory, and how often it was begun."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from trueloop.events import derive_id

Record = Literal["result", "evaluation"]


class JobFiles:
    """Files of jobs, by job id. Ids come from events, so a hash of the id names the directory."""

    def __init__(self, models: Path) -> None:
        self._jobs = models / "jobs"

    def record(self, job_id: str, name: Record) -> str | None:
        """Return a final event of the job as JSON, or None when the job has not come so far."""
        try:
            return self._path(job_id, f"{name}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def keep(self, job_id: str, name: Record, text: str) -> None:
        """Keep a final event of the job, to be sent again word for word when the request is delivered again."""
        path = self._path(job_id, f"{name}.json")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(f".{os.getpid()}.new")
        with temporary.open("w", encoding="utf-8") as writer:
            writer.write(text)
            writer.flush()
            os.fsync(writer.fileno())
        temporary.rename(path)

    def attempts(self, job_id: str) -> int:
        """Return how often the job was begun and neither ended nor was called off: each time the whole worker died."""
        try:
            return int(self._path(job_id, "attempts").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0

    def begin(self, job_id: str) -> None:
        """Count a beginning."""
        path = self._path(job_id, "attempts")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(str(self.attempts(job_id) + 1), encoding="ascii")

    def call_off(self, job_id: str) -> None:
        """Take the last beginning back: it was not the job that ended it."""
        self._path(job_id, "attempts").write_text(str(max(0, self.attempts(job_id) - 1)), encoding="ascii")

    def end(self, job_id: str) -> None:
        """Forget the beginnings: the job has its outcome."""
        self._path(job_id, "attempts").unlink(missing_ok=True)

    @contextlib.contextmanager
    def working_directory(self, job_id: str) -> Iterator[Path]:
        """Give the job's empty working directory to one process at a time, and remove it afterwards: it holds text of the dataset.

        The path is the same at each attempt, because trainers write it into the checkpoint, whose id is its content. Waits for a process that
        still holds it, which is one that is just being killed.
        """
        path = self._path(job_id, "work")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._path(job_id, "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(mode=0o700)
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)

    def state_directory(self, job_id: str) -> Path:
        """Return where a job keeps what it needs to go on after a kill. It holds weights and no text, and stays until `forget_state`."""
        return self._path(job_id, "state")

    def forget_state(self, job_id: str) -> None:
        """Remove the states of a job that has its outcome."""
        shutil.rmtree(self.state_directory(job_id), ignore_errors=True)

    def sweep(self) -> None:
        """Remove the working directories of jobs that no process is at: those of killed workers hold text of datasets."""
        for path in self._jobs.glob("*/work"):
            with (path.parent / "lock").open("w") as lock, contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)

    def _path(self, job_id: str, name: str) -> Path:
        return self._jobs / derive_id("job", job_id) / name
