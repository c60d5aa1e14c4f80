"""One device with its warm process, and the attempt that is being made there."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from trueloop.trainers import job_events
from trueloop.trainers.child import TrainingProcess
from trueloop.trainers.device_lock import DeviceLock
from trueloop.trainers.faults import describe
from trueloop.trainers.job_book import JobBook
from trueloop.trainers.job_events import Fault
from trueloop.trainers.job_files import AttemptFiles, JobFiles
from trueloop.trainers.job_process import JobDone, JobPostponed, Order, Warm

from trueloop.config import Settings
from trueloop.embedded.log_files import rotate_if_large
from trueloop.errors import TrainingError, UnavailableError
from trueloop.events import Evaluation, Event, JobStatus, TrainingRequest, TrainingResult

RESPAWN_INTERVAL_S = 5.0
"""Least time between two starts of an idle process, so that one that cannot start does not take the machine."""
WARM_UP_AFTER_S = 3.0
"""How long the first process waits for a request: its imports take all of a small machine, and the workers that start beside it need that too."""
LOG_BYTES = 1024 * 1024
"""Size at which a job's log is moved to a second piece, which replaces the one before."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """When an attempt is given up.

    `silence_timeout_s`: seconds without a step, an evaluated chunk or an event. `max_beginnings`: times that it is begun, which is once more
    after each death of the process or of the whole worker in it.
    """

    silence_timeout_s: float = 1800.0
    max_beginnings: int = 3


class Attempt:
    """An attempt that is in hand: how far it is, as its events tell."""

    def __init__(self, request: TrainingRequest, number: int, files: AttemptFiles) -> None:
        self.request = request
        self.number = number
        self.files = files
        self.began = self.last_sign = time.monotonic()
        self.is_with_child = False
        self.step = 0
        self.result: TrainingResult | None = None
        self.is_evaluated = False

    @property
    def order(self) -> Order:
        """What the process is told."""
        return Order(self.request, self.number)

    @property
    def seconds(self) -> float:
        """Seconds since it was begun here."""
        return time.monotonic() - self.began

    @property
    def outcome(self) -> str:
        """What became of it, in a word that is counted."""
        if self.result is None or self.result.status is not JobStatus.SUCCEEDED:
            return "cancelled" if self.result is not None and self.result.status is JobStatus.CANCELLED else "failed"
        return "succeeded" if self.is_evaluated else "not_evaluated"

    def note(self, event: Event) -> None:
        """Take an event into account."""
        if isinstance(event, TrainingResult):
            self.step = max(self.step, event.step)
            if event.status.is_final:
                self.result = event
                # A reward model is evaluated by nobody, so there is nothing that its attempt still owes.
                self.is_evaluated = self.is_evaluated or not event.is_candidate
        elif isinstance(event, Evaluation):
            self.is_evaluated = True


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What slots of a worker share. `publish` returns when an event is delivered; `stops_within` whether the worker is asked to stop, soon."""

    settings: Settings
    limits: Limits
    files: JobFiles
    book: JobBook
    publish: Callable[[Event], None]
    stops_within: Callable[[float], bool]


class Slot:
    """A device. Nothing here waits but for a process that is being killed; the worker looks again and again."""

    def __init__(self, device: str, around: Surroundings) -> None:
        self.device = device
        self.attempt: Attempt | None = None
        self._around = around
        self._lock = DeviceLock(around.settings.models, device)
        self._child: TrainingProcess | None = None
        self._child_started = time.monotonic() - RESPAWN_INTERVAL_S + WARM_UP_AFTER_S

    @property
    def pipe(self) -> Connection | None:
        """What becomes readable when there is something to look at."""
        return self._child.pipe if self._child is not None and self._child.is_alive else None

    def keep_warm(self) -> None:
        """Have a process ready for the next job."""
        if self._child is not None and self._child.is_alive:
            for message in self._child.messages(0.0):
                if isinstance(message, Warm):
                    _log.info("training process %s on %s is warm after %.1f s", self._child.pid, self.device, message.seconds)
        elif time.monotonic() - self._child_started >= RESPAWN_INTERVAL_S:
            self._spawn()

    def begin(self, request: TrainingRequest, number: int) -> None:
        """Take an attempt in hand."""
        self.attempt = Attempt(request, number, self._around.files.attempt(request.job_id, number))

    def look(self) -> str | None:
        """Go on with what is in hand; return what became of it when it has come to its end.

        Raises UnavailableError when a service does not answer, TrainingError when the training process cannot start.
        """
        attempt = self.attempt
        if attempt is None:
            return None
        ended = self._cancelled(attempt)
        if ended is None and not attempt.is_with_child:
            ended = self._hand_over(attempt) if self._lock.take() else None
        if ended is None and attempt.is_with_child and self._child is not None:
            ended = self._heard(attempt, self._child) or self._watched(attempt, self._child)
        if ended is not None:
            attempt.files.end()
            self._around.files.drop_state(attempt.request.job_id)
            self._leave()
        return ended

    def call_off(self) -> None:
        """Let go of what is in hand without any outcome: the process must not go on with what is begun again, here or elsewhere."""
        if self.attempt is not None and self.attempt.is_with_child:
            if self._child is not None:
                self._child.kill()
            self.attempt.files.call_off()
        self._leave()

    def close(self) -> None:
        """End the process."""
        self.call_off()
        if self._child is not None:
            self._child.kill()

    def _leave(self) -> None:
        self.attempt = None
        self._lock.release()

    def _spawn(self) -> TrainingProcess:
        if self._child is not None:
            self._child.kill()
        self._child = TrainingProcess(self._around.settings, self.device)
        self._child_started = time.monotonic()
        return self._child

    def _hand_over(self, attempt: Attempt) -> str | None:
        """Give the attempt to the process, or give it up when it was begun often enough."""
        begun = attempt.files.beginnings()
        if begun >= self._around.limits.max_beginnings:
            fault = Fault("WorkerDied", f"the worker died {begun} times in this job; look at its memory limit, then `trueloop jobs retry` or change the config")
            return self._give_up(attempt, fault)
        try:
            attempt.files.begin()
        except OSError as error:
            return self._give_up(attempt, describe(error))
        child = self._child if self._child is not None and self._child.is_alive else self._spawn()
        try:
            child.send(attempt.order)
        except OSError:
            self._spawn().send(attempt.order)
        attempt.is_with_child, attempt.last_sign = True, time.monotonic()
        return None

    def _heard(self, attempt: Attempt, child: TrainingProcess) -> str | None:
        for said in child.messages(0.0):
            attempt.last_sign = time.monotonic()
            if isinstance(said, Event):
                self._publish(attempt, said)
            elif isinstance(said, JobDone):
                return attempt.outcome
            elif isinstance(said, JobPostponed):
                raise UnavailableError(said.message)
        return None

    def _publish(self, attempt: Attempt, event: Event) -> None:
        if not self._is_said(attempt, event):
            self._around.publish(event)
        attempt.note(event)

    def _is_said(self, attempt: Attempt, event: Event) -> bool:
        """Return whether the log has it: of the process before this one, or of the worker before, which died before it could commit."""
        if isinstance(event, Evaluation):
            return attempt.is_evaluated
        if isinstance(event, TrainingResult) and event.status.is_final:
            return attempt.result is not None or self._around.book.result(event.job_id, event.attempt) is not None
        return False

    def _cancelled(self, attempt: Attempt) -> str | None:
        order = self._around.book.cancelled(attempt.request.job_id, attempt.number)
        if order is None:
            return None
        if attempt.is_with_child and self._child is not None:
            heard = self._heard(attempt, self._child)
            if heard is not None:
                return heard
            self._child.kill()
        return self._give_up(attempt, job_events.cancelled(order))

    def _watched(self, attempt: Attempt, child: TrainingProcess) -> str | None:
        """Look whether the process lives and the job keeps its time."""
        if not child.is_alive:
            return self._after_death(attempt, child)
        rotate_if_large(attempt.files.log, LOG_BYTES, backups=1)
        silent_s, limit_s = time.monotonic() - attempt.last_sign, attempt.request.timeout_seconds
        if not child.is_warm:
            return None
        fault: Fault | None = None
        if limit_s is not None and attempt.seconds > limit_s:
            fault = Fault("JobTimedOut", f"the job took longer than its {limit_s:.0f} s; raise the policy's training.timeout_minutes, or train less")
        elif silent_s > self._around.limits.silence_timeout_s:
            fault = Fault("TrainingProcessHung", f"the training process gave no sign of life for {silent_s:.0f} s and was killed; see its log")
        if fault is None:
            return None
        child.kill()
        return self._give_up(attempt, fault)

    def _after_death(self, attempt: Attempt, child: TrainingProcess) -> str | None:
        """Begin again, where the trainer's state lets it resume, or give up."""
        # A signal to the whole group may reach the child first: then the worker is stopping, and the job did not fail.
        if self._around.stops_within(0.3):
            return None
        if not child.is_warm:
            raise TrainingError(f"before it took any job, {child.how_it_ended().message}. Are the packages of trueloop[train] installed as locked?")
        fault = child.how_it_ended()
        begun = attempt.files.beginnings()
        if begun >= self._around.limits.max_beginnings:
            return self._give_up(attempt, Fault(fault.error_class, f"{fault.message}. It was begun {begun} times"))
        _log.warning("job %s: %s; it is begun again", attempt.request.job_id, fault.error_class)
        attempt.is_with_child = False
        self._spawn()
        return None

    def _give_up(self, attempt: Attempt, fault: Fault) -> str:
        """Say why nothing more comes: of the training, or, when the process had settled that, of the evaluation."""
        _log.warning("job %s: %s", attempt.request.job_id, fault.error_class)
        request = attempt.request
        if attempt.result is None:
            self._publish(attempt, self._settled(attempt, job_events.failed(request, attempt.number, fault, attempt.step, attempt.seconds)))
        if attempt.result is not None and attempt.outcome == "not_evaluated":
            self._around.publish(job_events.evaluation_failed(request, attempt.result, fault, attempt.seconds))
        if self._child is None or not self._child.is_alive:
            self._spawn()
        return attempt.outcome

    def _settled(self, attempt: Attempt, result: TrainingResult) -> TrainingResult:
        try:
            return TrainingResult.model_validate_json(attempt.files.settle("result", result.model_dump_json()))
        except OSError as error:
            _log.warning("job %s: its result is not kept: %s", result.job_id, type(error).__name__)
            return result
