"""The trainer worker: takes `training-requests`, has them run in a warm child process, and publishes what becomes of them.

This process stays light, so that it keeps its place in the consumer group and outlives whatever a job does. An offset is committed when the
last event of the job is delivered; a request that comes again is answered from what its job left in the model store.

    python -m trueloop.trainers.worker
"""

import argparse
import asyncio
import importlib.util
import logging
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from confluent_kafka import Message
from trueloop.trainers import job_events
from trueloop.trainers.child import TrainingProcess
from trueloop.trainers.job_events import Fault
from trueloop.trainers.job_files import JobFiles
from trueloop.trainers.job_process import JobDone, JobPostponed, Warm
from trueloop.trainers.request_inbox import GROUP, RequestInbox

from trueloop.adapters.dead_letters import DeadLetter, history
from trueloop.adapters.delivery import Delivery, Outgoing
from trueloop.adapters.kafka import Publisher, physical_name
from trueloop.adapters.metrics.endpoint import serving
from trueloop.adapters.metrics.record_metrics import RecordMetrics
from trueloop.adapters.metrics.standing import Lag, Standing
from trueloop.adapters.registry import connect
from trueloop.config import Settings, load_settings
from trueloop.errors import ConfigurationError, DecodeError, TrainingError, TrueloopError, UnavailableError
from trueloop.events import Evaluation, Event, JobStatus, TrainingRequest, TrainingResult
from trueloop.readiness import announce_ready
from trueloop.rejection import RejectReason
from trueloop.topics import TRAINING_REQUESTS

NAME = "trainer"
IDLE_POLL_S = 0.2
RESPAWN_INTERVAL_S = 5.0
"""Least time between two starts of an idle child, so that one that cannot start does not take the machine."""
WARM_UP_AFTER_S = 3.0
"""How long the first child waits for a request: its imports take all of a small machine, and the workers that start beside it need that too."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """When a job is given up.

    `silence_timeout_s`: seconds without a step, an evaluated chunk or an event. `max_attempts`: times that the whole worker died in it.
    """

    silence_timeout_s: float = 1800.0
    max_attempts: int = 3


@dataclass(slots=True)
class _Progress:
    """How far the job in hand is, as its events tell."""

    step: int = 0
    result: TrainingResult | None = None
    evaluated: bool = False

    @property
    def outcome(self) -> str:
        if self.result is None or self.result.status is not JobStatus.SUCCEEDED:
            return "failed"
        return "succeeded" if self.evaluated else "not_evaluated"

    def note(self, event: Event) -> None:
        if isinstance(event, TrainingResult):
            self.step = max(self.step, event.step)
            if event.status in (JobStatus.SUCCEEDED, JobStatus.FAILED):
                self.result = event
        elif isinstance(event, Evaluation):
            self.evaluated = True


class _Ended(NamedTuple):
    """What became of a request whose final events are out."""

    outcome: str
    refused: RejectReason | None = None


class Worker(Standing):
    """One trainer worker. `run` returns when `stop` was called, which a signal handler may do."""

    def __init__(self, settings: Settings, options: WorkerOptions | None = None) -> None:
        self._settings = settings
        self._options = options or WorkerOptions()
        self._codec = connect(settings.registry)
        self._publisher = Publisher(settings.kafka, self._codec)
        self._files = JobFiles(settings.models)
        self._stopping = threading.Event()
        self.metrics = RecordMetrics()
        self._inbox: RequestInbox | None = None
        self._child: TrainingProcess | None = None
        self._child_started = time.monotonic() - RESPAWN_INTERVAL_S + WARM_UP_AFTER_S

    def stop(self) -> None:
        """Ask `run` to return soon: the job in hand is called off and its request stays uncommitted."""
        self._stopping.set()

    def lags(self) -> list[Lag]:
        """Return how many requests wait or are in hand, for metrics."""
        return [Lag(NAME, TRAINING_REQUESTS.name, partition, lag) for partition, lag in self._inbox.lags.items()] if self._inbox else []

    def rebalances(self) -> dict[str, int]:
        """Return how often the requests were divided among the trainers."""
        return {NAME: self._inbox.divisions} if self._inbox else {}

    def run(self) -> None:
        """Serve requests until `stop`.

        Raises UnavailableError when Kafka or the registry do not answer, TrainingError when the training process cannot start. Nothing is lost by
        either: the request is not committed.
        """
        inbox = self._inbox = RequestInbox(self._settings.kafka, announce_ready)
        try:
            while not self._stopping.is_set():
                self._keep_warm()
                message = inbox.next(IDLE_POLL_S)
                if message is not None:
                    begun = time.monotonic()
                    ended = self._handle(inbox, message)
                    if ended is not None:
                        inbox.commit(message)
                        self._count(message, ended, time.monotonic() - begun)
        finally:
            if self._child is not None:
                self._child.kill()
            inbox.close()

    def _keep_warm(self) -> None:
        if self._child is not None and self._child.is_alive:
            for message in self._child.messages(0.0):
                if isinstance(message, Warm):
                    _log.info("training process %s is warm after %.1f s", self._child.pid, message.seconds)
        elif time.monotonic() - self._child_started >= RESPAWN_INTERVAL_S:
            self._spawn()

    def _spawn(self) -> TrainingProcess:
        if self._child is not None:
            self._child.kill()
        self._child = TrainingProcess(self._settings)
        self._child_started = time.monotonic()
        return self._child

    def _count(self, message: Message, ended: _Ended, seconds: float) -> None:
        self.metrics.batch(
            processor=NAME,
            topic=TRAINING_REQUESTS.name,
            records=1,
            seconds=seconds,
            oldest_ms=message.timestamp()[1],
            outcomes={ended.outcome: 1},
            rejected={ended.refused.value: 1} if ended.refused else {},
        )

    def _handle(self, inbox: RequestInbox, message: Message) -> _Ended | None:
        """Return what became of the request, None when it does not have its final events, so that its offset must not be committed."""
        try:
            request = self._codec.decode(TRAINING_REQUESTS, message.value())
        except DecodeError as error:
            self._dead_letter(message, error)
            return _Ended("rejected", error.reason)
        if not isinstance(request, TrainingRequest):
            raise TypeError(f"the codec gave {type(request).__name__}; expected TrainingRequest")
        attempts = self._files.attempts(request.job_id)
        if attempts >= self._options.max_attempts:
            fault = Fault("WorkerDied", f"the worker died {attempts} times in this job; look at its memory limit, then request the job with another config")
            self._publisher.publish([job_events.failed(request, fault, 0, 0.0)])
            self._files.end(request.job_id)
            return _Ended("failed")
        self._files.begin(request.job_id)
        try:
            ended = self._execute(inbox, message, request)
        except TrueloopError:
            self._files.call_off(request.job_id)
            raise
        if ended is not None:
            self._files.end(request.job_id)
        else:
            self._files.call_off(request.job_id)
        return ended

    def _execute(self, inbox: RequestInbox, message: Message, request: TrainingRequest) -> _Ended | None:
        child = self._child if self._child is not None and self._child.is_alive else self._spawn()
        started = last_sign = time.monotonic()
        progress = _Progress()
        try:
            child.send(request)
        except OSError:
            child = self._spawn()
            child.send(request)
        while not self._stopping.is_set() and inbox.holds(message):
            inbox.keep_membership()
            for said in child.messages(IDLE_POLL_S):
                last_sign = time.monotonic()
                if isinstance(said, Event):
                    self._publisher.publish([said])
                    progress.note(said)
                elif isinstance(said, JobDone):
                    return _Ended(progress.outcome)
                elif isinstance(said, JobPostponed):
                    raise UnavailableError(said.message)
            fault = self._fault(child, time.monotonic() - last_sign)
            if fault is not None:
                return self._give_up(request, progress, fault, time.monotonic() - started)
        # Called off: the child must not go on with a job that another worker, or the next run of this one, begins again.
        child.kill()
        return None

    def _fault(self, child: TrainingProcess, silent_s: float) -> Fault | None:
        if not child.is_alive:
            # A signal to the whole group may reach the child first: then the worker is stopping, and the job did not fail.
            if self._stopping.wait(0.3):
                return None
            if not child.is_warm:
                raise TrainingError(f"before it took any job, {child.how_it_ended().message}. Are the packages of trueloop[train] installed as locked?")
            return child.how_it_ended()
        if child.is_warm and silent_s > self._options.silence_timeout_s:
            child.kill()
            return Fault("TrainingProcessHung", f"the training process gave no sign of life for {silent_s:.0f} s and was killed; see its log")
        return None

    def _give_up(self, request: TrainingRequest, progress: _Progress, fault: Fault, seconds: float) -> _Ended:
        _log.warning("job %s: %s", request.job_id, fault.error_class)
        if progress.result is None:
            self._publisher.publish([job_events.failed(request, fault, progress.step, seconds)])
        elif progress.result.status is JobStatus.SUCCEEDED and not progress.evaluated:
            self._publisher.publish([job_events.evaluation_failed(request, progress.result, fault, seconds)])
        self._spawn()
        return _Ended(progress.outcome)

    def _dead_letter(self, message: Message, error: DecodeError) -> None:
        past = history(_headers(message))
        letter = DeadLetter(
            topic=TRAINING_REQUESTS.name,
            partition=int(message.partition() or 0),
            offset=int(message.offset() or 0),
            key=_bytes(message.key()),
            value=_bytes(message.value()),
            reason=error.reason,
            message=error.message,
            consumer=GROUP,
            first_failed_at=past.first_failed_at if past else datetime.now(UTC),
            attempt=past.attempt + 1 if past else 1,
        )
        key, value, headers = letter.record()
        record = Outgoing(physical_name(self._settings.kafka, letter.name), key, value, headers)
        asyncio.run(Delivery(self._settings.kafka).send([record]))
        _log.warning("record %s of %r is a dead letter: %s", message.offset(), TRAINING_REQUESTS.name, error.reason.value)


def _headers(message: Message) -> Iterator[tuple[str, bytes]]:
    found: Any = message.headers() or ()
    yield from ((str(name), bytes(value or b"")) for name, value in found)


def _bytes(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data


def run(settings: Settings, options: WorkerOptions | None = None) -> None:
    """Serve training requests until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the training packages are not installed, or the port for metrics is taken.
        UnavailableError: Kafka or the registry do not answer.
        TrainingError: the training process cannot start.
    """
    missing = [name for name in ("torch", "transformers", "trl") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"the trainer lacks {', '.join(missing)}; expected the training packages: install trueloop[train]")
    worker = Worker(settings, options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    with serving(settings, NAME, worker.metrics, worker):
        worker.run()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Trueloop trainer worker")
    parser.add_argument("--silence-timeout-s", type=float, default=WorkerOptions().silence_timeout_s, help="seconds after which a silent job is given up")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    run(load_settings(), WorkerOptions(silence_timeout_s=arguments.silence_timeout_s))


if __name__ == "__main__":
    main()
