"""The training process: imports torch, transformers and trl ahead, then runs jobs one after the other, until its parent is gone.

It speaks with its parent over a pipe: requests come in; events, signs of life and ends of jobs go out. Whatever happens to it (a crash of a
library, an OOM kill) happens to it alone.
"""

import contextlib
import faulthandler
import importlib
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from trueloop.trainers.job_context import JobContext
from trueloop.trainers.job_files import JobFiles

from trueloop.adapters.model_store import ModelStore
from trueloop.adapters.registry import connect
from trueloop.config import Settings
from trueloop.embedded.log_files import open_for_child
from trueloop.errors import UnavailableError
from trueloop.events import TrainingRequest

_AHEAD = (
    "torch",
    "datasets",
    "trueloop.trainers.dpo",
    "trueloop.trainers.confident_dpo_trainer",
    "trueloop.trainers.frame.watch",
    "trueloop.trainers.sft",
    "trueloop.trainers.evaluation",
    "trueloop.trainers.generate",
)
_PARTS = {
    "transformers": ("AutoModelForCausalLM", "AutoTokenizer", "DynamicCache", "LlamaForCausalLM", "TrainerCallback"),
    "trl": ("DPOConfig", "DPOTrainer", "SFTConfig", "SFTTrainer"),
}
"""What transformers and trl import on first use."""

_NICENESS = 10
"""Training, and the 14 CPU seconds of its imports, give way to the workers that share the machine: those have people waiting."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """An attempt at a job that this process is to make."""

    request: TrainingRequest
    attempt: int


@dataclass(frozen=True, slots=True)
class Warm:
    """The process has imported what jobs need; seconds since it started."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Alive:
    """The job goes on."""


@dataclass(frozen=True, slots=True)
class JobDone:
    """The job has its final event."""


@dataclass(frozen=True, slots=True)
class JobPostponed:
    """A service did not answer, so the job has no outcome and should be tried again."""

    message: str


def main(pipe: Connection, settings: Settings, device: str) -> None:
    """Serve jobs from `pipe` on a device. Ends when the parent closes it or dies."""
    # Signals to the group are meant for the parent, which ends this process as it sees fit.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _choose(device)
    faulthandler.enable()  # where native code died, in the job's log
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("trueloop").setLevel(logging.INFO)
    started = time.monotonic()
    requests: queue.SimpleQueue[Order] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, requests), daemon=True).start()
    _import_ahead()
    pipe.send(Warm(time.monotonic() - started))
    files = JobFiles(settings.models)
    files.sweep()
    codec, store = connect(settings.registry), ModelStore(settings.models)
    while True:
        order = requests.get()
        context = JobContext(order.request, settings, codec, store, files, send=pipe.send, alive=lambda: pipe.send(Alive()), attempt=order.attempt)
        pipe.send(_perform(context))


def _perform(context: JobContext) -> JobDone | JobPostponed:
    from trueloop.trainers.job import run_job

    with _printing_to(context.kept.log):
        try:
            run_job(context)
        except UnavailableError as error:
            return JobPostponed(str(error))
    return JobDone()


def _choose(device: str) -> None:
    """Let libraries see one device; 'auto' leaves them all, and the choice to the trainer."""
    if device == "auto":
        return
    number = device.partition(":")[2]
    shown = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    # Numbers count what the worker itself is shown, as they do in torch.
    os.environ["CUDA_VISIBLE_DEVICES"] = shown[int(number)] if number and int(number) < len(shown) else number


@contextlib.contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """Send what this process prints, native libraries included, to the job's log, whose size the parent bounds.

    A disk that is full costs the log and not the job.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = open_for_child(path)
    except OSError as error:
        _log.warning("no log is kept of a job: %s", os.strerror(error.errno or 0))
        yield
        return
    before = [os.dup(1), os.dup(2)]
    for number in (1, 2):
        os.dup2(log, number)
    os.close(log)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        for number, kept in zip((1, 2), before, strict=True):
            os.dup2(kept, number)
            os.close(kept)


def _receive(pipe: Connection, requests: "queue.SimpleQueue[Order]") -> None:
    while True:
        try:
            requests.put(pipe.recv())
        except (EOFError, OSError):
            # The parent is gone, perhaps by SIGKILL: what this process would still make, another will make again.
            os._exit(1)


def _import_ahead() -> None:
    for name in _AHEAD:
        importlib.import_module(name)
    for name, attributes in _PARTS.items():
        module = importlib.import_module(name)
        for attribute in attributes:
            getattr(module, attribute)
