"""The training process: imports torch, transformers and trl ahead, then runs jobs one after the other, until its parent is gone.

It speaks with its parent over a pipe: requests come in; events, signs of life and ends of jobs go out. Whatever happens to it (a crash of a
library, an OOM kill) happens to it alone.
"""

import importlib
import logging
import os
import queue
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from trueloop.trainers.job_context import JobContext
from trueloop.trainers.job_files import JobFiles

from trueloop.adapters.model_store import ModelStore
from trueloop.adapters.registry import connect
from trueloop.config import Settings
from trueloop.errors import UnavailableError
from trueloop.events import TrainingRequest

_AHEAD = ("torch", "datasets", "trueloop.trainers.dpo", "trueloop.trainers.sft", "trueloop.trainers.evaluation", "trueloop.trainers.generate")
_PARTS = {
    "transformers": ("AutoModelForCausalLM", "AutoTokenizer", "DynamicCache", "LlamaForCausalLM", "TrainerCallback"),
    "trl": ("DPOConfig", "DPOTrainer", "SFTConfig", "SFTTrainer"),
}
"""What transformers and trl import on first use."""

_NICENESS = 10
"""Training, and the 14 CPU seconds of its imports, give way to the workers that share the machine: those have people waiting."""

_log = logging.getLogger(__name__)


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


def main(pipe: Connection, settings: Settings) -> None:
    """Serve jobs from `pipe`. Ends when the parent closes it or dies."""
    # Signals to the group are meant for the parent, which ends this process as it sees fit.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.basicConfig(level=logging.WARNING)
    started = time.monotonic()
    requests: queue.SimpleQueue[TrainingRequest] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, requests), daemon=True).start()
    _import_ahead()
    pipe.send(Warm(time.monotonic() - started))
    files = JobFiles(settings.models)
    files.sweep()
    codec, store = connect(settings.registry), ModelStore(settings.models)
    while True:
        request = requests.get()
        context = JobContext(request, settings, codec, store, files, send=pipe.send, alive=lambda: pipe.send(Alive()))
        pipe.send(_perform(context))


def _perform(context: JobContext) -> JobDone | JobPostponed:
    from trueloop.trainers.job import run_job

    try:
        run_job(context)
    except UnavailableError as error:
        return JobPostponed(str(error))
    return JobDone()


def _receive(pipe: Connection, requests: "queue.SimpleQueue[TrainingRequest]") -> None:
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
