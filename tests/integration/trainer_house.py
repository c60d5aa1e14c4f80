"""A broker's view of a trainer worker that really trains: a model store with a base checkpoint, a log of pairs, and the worker as an operator runs it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil

from tests.integration.billing_policy import APPLICATION
from tests.integration.job_house import wait_for
from trueloop.adapters.kafka import Publisher, read_events
from trueloop.adapters.model_store import ModelStore, StoredCheckpoint
from trueloop.adapters.registry import connect
from trueloop.config import Settings
from trueloop.datasets.pair_log import EMPTY, extend
from trueloop.events import Evaluation, Event, JobStatus, PreferencePair, Split, TrainingRequest, TrainingResult, TriggerReason
from trueloop.topics import EVALUATIONS, TRAINING_RESULTS, Topic

E = TypeVar("E", bound=Event)
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SHORT = {"epochs": 1, "batch_size": 4, "threads": 1}


class WorkerProcess:
    """The worker as an operator runs it. `judge` is the address of the judge 'panel'; `settings` are more of the environment."""

    def __init__(self, folder: Path, judge: str = "http://127.0.0.1:9", **settings: str) -> None:
        self._ready = folder / "ready"
        self._ready.unlink(missing_ok=True)
        self._log = (folder / "worker.log").open("ab")
        environment = {**os.environ, "TRUELOOP_STATE_DIR": str(folder), "TRUELOOP_READY_FILE": str(self._ready)}
        environment |= {"TRUELOOP_JUDGES__PANEL__URL": judge, "TRUELOOP_JUDGES__PANEL__MODEL": "scripted"} | settings
        self.process = subprocess.Popen([sys.executable, "-m", "trueloop.trainers.worker"], env=environment, stdout=self._log, stderr=self._log)

    def wait_ready(self) -> "WorkerProcess":
        wait_for(lambda: self._ready.exists() or self.process.poll() is not None, "worker ready", 180.0)
        assert self.process.poll() is None
        return self

    def child(self) -> psutil.Process:
        """The training process: it has torch in memory, so it is the largest."""
        return max(psutil.Process(self.process.pid).children(), key=lambda child: child.memory_info().rss)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(20)
        self._log.close()
        return code


@dataclass
class TrainerHouse:
    """Broker, registry, a model store with a base checkpoint, the pairs that were published, and a worker that tests may replace."""

    folder: Path
    settings: Settings
    publisher: Publisher
    base: StoredCheckpoint
    pairs: Sequence[PreferencePair]
    worker: WorkerProcess

    def request(self, job_id: str, **changes: Any) -> TrainingRequest:
        chain = EMPTY
        for pair in self.pairs:
            if pair.split is Split.TRAIN:
                chain = extend(chain, pair.event_id)
        config = json.dumps(changes.pop("config", SHORT))
        standard: dict[str, Any] = {
            "event_id": f"request-{job_id}", "occurred_at": NOW, "application": APPLICATION, "job_id": job_id, "method": "dpo", "config": config,
            "base_checkpoint": self.base.checkpoint, "base_uri": self.base.uri, "baseline_checkpoint": self.base.checkpoint,
            "baseline_uri": self.base.uri, "dataset": f"{APPLICATION}/pairs", "dataset_version": 1, "dataset_hash": chain,
            "dataset_end_offset": len(self.pairs), "reason": TriggerReason.MANUAL, "rubric_id": "billing", "rubric_version": 1, "policy_id": "billing",
            "policy_version": 1,
        }  # fmt: skip
        request = TrainingRequest(**standard | changes)
        self.publisher.publish([request])
        return request

    def events(self, topic: Topic, kind: type[E], **wanted: Any) -> list[E]:
        found = read_events(self.settings.kafka, connect(self.settings.registry), topic)
        return [event for event in found if isinstance(event, kind) and all(getattr(event, name) == value for name, value in wanted.items())]

    def results(self, job_id: str, *statuses: JobStatus) -> list[TrainingResult]:
        return [event for event in self.events(TRAINING_RESULTS, TrainingResult, job_id=job_id) if event.status in statuses]

    def final(self, job_id: str) -> TrainingResult:
        return wait_for(lambda: self.results(job_id, JobStatus.SUCCEEDED, JobStatus.FAILED), f"final result of {job_id}", 180.0)[0]  # type: ignore[no-any-return]

    def evaluation(self, job_id: str) -> Evaluation:
        return wait_for(lambda: self.events(EVALUATIONS, Evaluation, job_id=job_id), f"evaluation of {job_id}", 180.0)[0]  # type: ignore[no-any-return]

    def in_training(self, job_id: str) -> None:
        wait_for(lambda: self.results(job_id, JobStatus.PROGRESS), f"progress of {job_id}", 180.0)

    def checkpoints_of(self, job_id: str) -> list[str]:
        store = ModelStore(self.settings.models)
        names = [entry.name for entry in (self.settings.models / "checkpoints").iterdir()]
        return [name for name in names if store.checkpoint(f"models://{name}").metadata.get("job_id") == job_id]
