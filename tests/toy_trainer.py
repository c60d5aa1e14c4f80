"""A trainer worker whose training needs no torch: everything around the training is real. Tests hold it in a phase, and break what they like.

    python -m tests.toy_trainer [options of the worker]

It holds in a phase while FOLDER/hold-PHASE exists, having made FOLDER/at-PHASE. TOY_FOLDER names the folder, TOY_GROUP the consumer group. Where
there is a FOLDER/pairs.jsonl, it is the log of pairs, and no broker is asked.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from trueloop.trainers import job, job_process, methods, request_inbox, worker
from trueloop.trainers.frame.job_config import Progress
from trueloop.trainers.frame.training_errors import NonFiniteLossError
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.job_context import JobContext

from tests.factories import example
from trueloop.adapters.model_store import ModelStore
from trueloop.config import Settings
from trueloop.datasets.rows import preference_rows
from trueloop.events import Evaluation, PreferencePair, TrainingResult
from trueloop.rubrics import Governance

METHOD = "toy"
PHASES = ("start", "training", "storing", "evaluation", "end")


class Config(BaseModel):
    """Settings of the toy."""

    model_config = ConfigDict(extra="forbid")

    model_dir: Path
    models_dir: Path
    judges: Any
    rubric: Any
    dataset_file: Path
    output_dir: Path
    state_dir: Path
    steps: int = 3
    step_s: float = 0.0
    name: str = "toy"
    fault: Literal["nan", "memory", "killed", "disk", "library"] | None = None


def hold(phase: str) -> None:
    """Stay here while the test wants it."""
    folder = Path(os.environ["TOY_FOLDER"])
    if (folder / f"hold-{phase}").exists():
        (folder / f"at-{phase}").touch()
        while (folder / f"hold-{phase}").exists():
            time.sleep(0.02)


def train(config: Config, progress: Progress | None = None) -> TrainingReport:
    """Count to `steps`, from where the state says."""
    assert progress is not None
    rows = config.dataset_file.read_text(encoding="utf-8").splitlines()
    config.state_dir.mkdir(parents=True, exist_ok=True)
    state = config.state_dir / "step"
    begin = int(state.read_text()) if state.exists() else 0
    for step in range(begin + 1, config.steps + 1):
        progress(step, config.steps, {"loss": 1.0 / step})
        if step == 2:
            _break(config)
        state.write_text(str(step))
        time.sleep(config.step_s)
        if step == 2:
            hold("training")
    write_model(config.output_dir, config.name)
    report = {"resumed_from": float(begin), "rows": float(len(rows))}
    return TrainingReport(str(config.output_dir), "", report, 0.1, 10, {"toy": "1"}, 0)


def _break(config: Config) -> None:
    if config.fault == "nan":
        raise NonFiniteLossError("loss is nan at step 2; expected a finite number: lower learning_rate (1.0)")
    if config.fault == "memory":
        raise MemoryError
    if config.fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if config.fault == "library":
        raise RuntimeError(config.dataset_file.read_text(encoding="utf-8"))
    if config.fault == "disk":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))


def write_model(directory: Path, name: str, *, weights: int = 200_000, without: str = "") -> Path:
    """Write what looks like a checkpoint."""
    directory.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"name": name}).encode()
    files = {"config.json": b"{}", "tokenizer.json": b"{}", "chat_template.jinja": b"{{ messages }}", "model.safetensors": header + bytes(weights)}
    for file, content in files.items():
        if file != without:
            (directory / file).write_bytes(content)
    return directory


def evaluate(context: JobContext, result: TrainingResult) -> Iterator[Evaluation]:
    """Evaluate nothing."""
    hold("evaluation")
    yield example(
        Evaluation, event_id=f"evaluation-{result.event_id}", occurred_at=result.occurred_at, application=result.application, job_id=result.job_id,
        candidate=result.checkpoint, candidate_uri=result.checkpoint_uri, candidate_sha256=result.checkpoint_sha256, error=None,
    )  # fmt: skip


def child(pipe: Any, settings: Settings, device: str) -> None:
    """Be the training process."""
    run_job, publish = job.run_job, ModelStore._publish

    def held_job(context: JobContext) -> None:
        hold("start")
        run_job(context)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        hold("end")

    def held_publish(store: ModelStore, staged: Path, checkpoint: str) -> None:
        hold("storing")
        publish(store, staged, checkpoint)

    pairs = Path(os.environ["TOY_FOLDER"]) / "pairs.jsonl"
    if pairs.exists():
        log = [PreferencePair.model_validate_json(line) for line in pairs.read_text().splitlines()]
        JobContext._records = list(enumerate(log))  # type: ignore[assignment]
        JobContext.governance = Governance()  # type: ignore[assignment]
    toy: Any = SimpleNamespace(Config=Config, main=train)
    methods.METHODS[METHOD] = methods.Method("tests.toy_trainer", preference_rows)
    methods.Method.load = lambda _: toy  # type: ignore[method-assign]
    sys.modules["trueloop.trainers.evaluation"] = SimpleNamespace(evaluate=evaluate)  # type: ignore[assignment]
    job.run_job = held_job
    ModelStore._publish = held_publish  # type: ignore[method-assign]
    job_process._import_ahead = lambda: None
    job_process._NICENESS = 0  # a test does not give way
    job_process.main(pipe, settings, device)


def main() -> None:
    """Be the worker."""
    job_process.main = child
    request_inbox.GROUP = os.environ.get("TOY_GROUP", request_inbox.GROUP)
    worker.main()


if __name__ == "__main__":
    main()
