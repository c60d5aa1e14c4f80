"""The files in which the process that took a job and those that train it speak with each other, in the job's working directory.

order.json       method and configuration; written before the others start
progress.jsonl   one line per step, by process 0
ended.json       the report, or the fault; written last, in one piece
"""

import json
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from trueloop.trainers.frame.job_config import Progress
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.job_events import Fault

from trueloop.errors import TrainingError

ORDER, PROGRESS, ENDED = "order.json", "progress.jsonl", "ended.json"
POLL_S = 0.2


class RemoteFault(TrainingError):
    """What training ended of in another process, in the class and words that it was told there."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Exchange:
    """One job's files, from either side."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read = 0

    def write_order(self, method: str, config: BaseModel) -> None:
        """Say what is to be done."""
        self._write(ORDER, {"method": method, "config": config.model_dump(mode="json"), "order": uuid.uuid4().hex})

    def read_order(self) -> tuple[str, dict[str, Any]]:
        """Return method and configuration."""
        content = json.loads((self._directory / ORDER).read_text(encoding="utf-8"))
        return content["method"], content["config"]

    def order(self) -> str | None:
        """Return which order lies there, None when it was taken away."""
        try:
            return str(json.loads((self._directory / ORDER).read_text(encoding="utf-8"))["order"])
        except (FileNotFoundError, ValueError):
            return None

    def progress(self, step: int, total_steps: int, metrics: Mapping[str, float]) -> None:
        """Tell of a step."""
        with (self._directory / PROGRESS).open("a", encoding="utf-8") as writer:
            writer.write(json.dumps([step, total_steps, dict(metrics)]) + "\n")

    def end(self, ended: TrainingReport | Fault) -> None:
        """Tell how it ended. The first who tells is believed."""
        if not (self._directory / ENDED).exists():
            self._write(ENDED, {"fault" if isinstance(ended, Fault) else "report": asdict(ended)})

    def follow(self, progress: Progress) -> TrainingReport | None:
        """Hand on the steps that are new, and return the report when there is one, else None. Raises RemoteFault."""
        path = self._directory / ENDED
        ended = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        for step, total_steps, metrics in self._new_steps():
            progress(step, total_steps, metrics)
        if ended is None:
            return None
        if "fault" in ended:
            raise RemoteFault(Fault(**ended["fault"]))
        return TrainingReport(**ended["report"])

    def _new_steps(self) -> list[list[Any]]:
        try:
            with (self._directory / PROGRESS).open("rb") as reader:
                reader.seek(self._read)
                content = reader.read()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]  # a line that is being written comes with the next look
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        temporary = self._directory / f".{name}.{os.getpid()}"
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.rename(self._directory / name)


def wait_for_next_look(progress: Progress) -> None:
    """Pass a moment between two looks, and show that the wait goes on."""
    time.sleep(POLL_S)
    progress(0, 0, {})
