"""A broker, a registry, a model store and toy trainer workers, for tests of jobs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil

from tests import toy_trainer
from tests.factories import example
from trueloop.adapters.kafka import Publisher, read_events
from trueloop.adapters.kafka_admin import TopicWatcher, ensure_topics
from trueloop.adapters.model_store import ModelStore, StoredCheckpoint
from trueloop.adapters.registry import connect
from trueloop.config import Settings, load_settings
from trueloop.datasets.pair_log import EMPTY, extend
from trueloop.errors import UnavailableError
from trueloop.events import Event, JobOrder, JobOrderKind, JobStatus, PreferencePair, Split, TrainingRequest, TrainingResult, TriggerReason
from trueloop.topics import TRAINING_RESULTS, Topic, physical

E = TypeVar("E", bound=Event)
APPLICATION = "support"
SECRET = "the words of a customer, which no log may hold"
N_PAIRS = 3
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 120.0) -> Any:
    """Return what the condition gives once that is true."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {timeout_s:g} s")


def serve_topics(settings: Settings) -> None:
    """Make all topics and wait until the broker knows them: it learns of a topic from the controller, a moment after the controller has made it."""
    ensure_topics(settings.kafka, physical())

    def serve() -> bool:
        try:
            return {topic.name for topic in physical()} <= {topic.name for topic in TopicWatcher(settings.kafka).observe()}
        except UnavailableError:
            return False

    wait_for(serve, "topics")


class ToyWorker:
    """A worker process."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self._ready = folder / f"ready-{time.monotonic_ns()}"
        names = {"TRUELOOP_STATE_DIR": str(folder), "TRUELOOP_READY_FILE": str(self._ready), "TOY_FOLDER": str(folder), **environment}
        with (folder / "worker.log").open("ab") as log:
            command = [sys.executable, "-m", "tests.toy_trainer", *options]
            self.process = subprocess.Popen(command, env={**os.environ, **names}, stdout=log, stderr=log)

    def wait_ready(self) -> "ToyWorker":
        wait_for(lambda: self._ready.exists() or self.process.poll() is not None, "worker ready")
        assert self.process.poll() is None
        return self

    def children(self) -> list[psutil.Process]:
        """Its training processes; multiprocessing's resource tracker is a child too."""
        found = psutil.Process(self.process.pid).children()
        return [child for child in found if "spawn_main" in " ".join(child.cmdline())]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


class JobHouse:
    """What tests of jobs do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: Settings = load_settings(state_dir=folder)
        self.codec = connect(self.settings.registry)
        serve_topics(self.settings)
        self.publisher = Publisher(self.settings.kafka, self.codec)
        self.store = ModelStore(self.settings.models)
        self.base = self.model("base")
        pairs = [self._pair(number) for number in range(N_PAIRS)]
        self.publisher.publish(pairs)
        self.chain = EMPTY
        for pair in pairs:
            self.chain = extend(self.chain, pair.event_id)

    def _pair(self, number: int) -> PreferencePair:
        changes: dict[str, Any] = {"event_id": f"pair-event-{number}", "pair_id": f"pair-{number}", "application": APPLICATION}
        return example(
            PreferencePair, split=Split.TRAIN, trainable=True, withdrawn=False, rubric_id="support", rubric_version=1, chosen=f"{SECRET} {number}", **changes
        )

    def model(self, name: str, **how: Any) -> StoredCheckpoint:
        """Store a base checkpoint."""
        return self.store.put(toy_trainer.write_model(self.folder / "models-made" / name, name, **how))

    def request(self, job_id: str, config: dict[str, Any] | None = None, **changes: Any) -> TrainingRequest:
        """Order a job."""
        standard: dict[str, Any] = {
            "event_id": f"request-{job_id}", "occurred_at": NOW, "application": APPLICATION, "job_id": job_id, "method": toy_trainer.METHOD,
            "config": json.dumps({"name": job_id, **(config or {})}), "base_checkpoint": self.base.checkpoint, "base_uri": self.base.uri,
            "baseline_checkpoint": self.base.checkpoint, "baseline_uri": self.base.uri, "dataset": f"{APPLICATION}/pairs", "dataset_version": 1,
            "dataset_hash": self.chain, "dataset_end_offset": N_PAIRS, "reason": TriggerReason.MANUAL, "rubric_id": "support", "rubric_version": 1,
            "policy_id": "support", "policy_version": 1,
        }  # fmt: skip
        request = TrainingRequest(**standard | changes)
        self.publisher.publish([request])
        return request

    def order(self, job_id: str, kind: JobOrderKind, attempt: int) -> None:
        """Cancel or retry a job."""
        self.publisher.publish(
            [
                JobOrder(
                    event_id=f"{job_id}-{kind}-{attempt}", occurred_at=NOW, application=APPLICATION, job_id=job_id, kind=kind, attempt=attempt,
                    reason="a test", ordered_by="tester",
                )
            ]
        )  # fmt: skip

    def events(self, topic: Topic, kind: type[E], **wanted: Any) -> list[E]:
        """Return the events of a topic with these values."""
        found = read_events(self.settings.kafka, self.codec, topic)
        return [event for event in found if isinstance(event, kind) and all(getattr(event, name) == value for name, value in wanted.items())]

    def results(self, job_id: str, *statuses: JobStatus) -> list[TrainingResult]:
        """Return the results of a job."""
        return [event for event in self.events(TRAINING_RESULTS, TrainingResult, job_id=job_id) if event.status in statuses]

    def finals(self, job_id: str) -> list[TrainingResult]:
        """Return the final results of a job, of all attempts."""
        return self.results(job_id, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)

    def final(self, job_id: str, attempt: int = 1) -> TrainingResult:
        """Return the final result of an attempt once it is there."""
        return wait_for(lambda: [found for found in self.finals(job_id) if found.attempt == attempt], f"final result of {job_id}")[0]  # type: ignore[no-any-return]

    def hold(self, phase: str) -> None:
        """Have the toy stay in a phase when it comes to it."""
        (self.folder / f"at-{phase}").unlink(missing_ok=True)
        (self.folder / f"hold-{phase}").touch()

    def wait_at(self, phase: str) -> None:
        """Wait until the toy is in the phase."""
        wait_for((self.folder / f"at-{phase}").exists, f"phase {phase}")

    def go(self, phase: str) -> None:
        """Let the toy go on."""
        (self.folder / f"hold-{phase}").unlink(missing_ok=True)
