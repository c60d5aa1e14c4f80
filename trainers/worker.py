"""The trainer worker: takes `training-requests` in their order, has them run on its devices, and publishes what becomes of them.

This process stays light, so that it keeps its place in the consumer group and outlives whatever a job does. An offset is committed when the
last event of its job, and of those before it, is delivered; a request that comes again is looked up in the log (see `job_book`) and in what its
attempt kept in the model store (see `job_files`).

    python -m trueloop.trainers.worker --device cuda:0 --device cuda:1
"""

import argparse
import asyncio
import importlib.util
import logging
import multiprocessing.connection
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Message
from pydantic import ValidationError
from trueloop.trainers.job_book import JobBook
from trueloop.trainers.job_files import JobFiles
from trueloop.trainers.request_inbox import GROUP, RequestInbox
from trueloop.trainers.slot import Limits, Slot, Surroundings

from trueloop.adapters.dead_letters import DeadLetter, history
from trueloop.adapters.delivery import Delivery, Outgoing
from trueloop.adapters.kafka import Publisher, physical_name
from trueloop.adapters.metrics.endpoint import serving
from trueloop.adapters.metrics.record_metrics import RecordMetrics
from trueloop.adapters.metrics.standing import Lag, Standing
from trueloop.adapters.registry import connect
from trueloop.config import Settings, TrainerSettings, load_settings
from trueloop.errors import ConfigurationError, DecodeError
from trueloop.events import Event, JobStatus, TrainingRequest
from trueloop.readiness import announce_ready
from trueloop.rejection import RejectReason
from trueloop.topics import TRAINING_REQUESTS

NAME = "trainer"
IDLE_POLL_S = 0.2

_log = logging.getLogger(__name__)


class Worker(Standing):
    """One trainer worker. `run` returns when `stop` was called, which a signal handler may do."""

    def __init__(self, settings: Settings, limits: Limits | None = None) -> None:
        self._settings = settings
        self._codec = connect(settings.registry)
        self._publisher = Publisher(settings.kafka, self._codec)
        self._files = JobFiles(settings.models)
        self._book = JobBook(settings.kafka, self._codec)
        self._stopping = threading.Event()
        around = Surroundings(settings, limits or Limits(), self._files, self._book, self._publish, self._stopping.wait)
        self._slots = [Slot(device, around) for device in dict.fromkeys(settings.trainer.devices)]
        self._in_hand: dict[str, tuple[Message, float]] = {}
        self._inbox: RequestInbox | None = None
        self.metrics = RecordMetrics()

    def stop(self) -> None:
        """Ask `run` to return soon: the jobs in hand are called off and their requests stay uncommitted."""
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
                self._turn(inbox)
        finally:
            for slot in self._slots:
                slot.close()
            inbox.close()
            self._book.close()

    def _turn(self, inbox: RequestInbox) -> None:
        free = [slot for slot in self._slots if slot.attempt is None]
        for slot in free:
            slot.keep_warm()
        if not free:
            inbox.keep_membership()
        elif (message := inbox.next(0.0 if self._in_hand else IDLE_POLL_S)) is not None:
            self._take(inbox, free[0], message)
        if self._in_hand:
            self._book.glance()
            for slot in self._slots:
                self._look(inbox, slot)
            multiprocessing.connection.wait([slot.pipe for slot in self._slots if slot.attempt is not None and slot.pipe is not None], IDLE_POLL_S)

    def _take(self, inbox: RequestInbox, slot: Slot, message: Message) -> None:
        """Begin the newest attempt at a request's job that was ordered, unless it was made."""
        begun = time.monotonic()
        try:
            request = self._codec.decode(TRAINING_REQUESTS, message.value())
        except DecodeError as error:
            self._dead_letter(message, error)
            self._done(inbox, message, begun, "rejected", error.reason)
            return
        if not isinstance(request, TrainingRequest):
            raise TypeError(f"the codec gave {type(request).__name__}; expected TrainingRequest")
        if any(other.attempt is not None and other.attempt.request.job_id == request.job_id for other in self._slots):
            inbox.put_back(message)  # the same job is in hand: what this request is to begin shows when that has ended
            return
        self._book.catch_up()
        number = self._book.attempt(request.job_id)
        if self._is_answered(request, number):
            self._done(inbox, message, begun, "answered")
            return
        slot.begin(request, number)
        self._in_hand[slot.device] = message, begun

    def _is_answered(self, request: TrainingRequest, number: int) -> bool:
        """Return whether the log holds everything that an attempt has to say. Then nothing is said again."""
        result = self._book.result(request.job_id, number)
        if result is None or result.status is not JobStatus.SUCCEEDED or not result.is_candidate:
            return result is not None
        if self._book.is_evaluated(result):
            return True
        # The evaluation goes on from the result in the log, where the attempt's own files are gone or another machine's.
        self._files.attempt(request.job_id, number).settle("result", result.model_dump_json())
        return False

    def _look(self, inbox: RequestInbox, slot: Slot) -> None:
        if slot.attempt is None:
            return
        message, begun = self._in_hand[slot.device]
        if not inbox.holds(message):
            slot.call_off()
            del self._in_hand[slot.device]
            return
        outcome = slot.look()
        if outcome is not None:
            del self._in_hand[slot.device]
            self._done(inbox, message, begun, outcome)
            self._files.prune(self._settings.trainer.keep_jobs)

    def _publish(self, event: Event) -> None:
        self._publisher.publish([event])

    def _done(self, inbox: RequestInbox, message: Message, begun: float, outcome: str, refused: RejectReason | None = None) -> None:
        inbox.done(message)
        self.metrics.batch(
            processor=NAME,
            topic=TRAINING_REQUESTS.name,
            records=1,
            seconds=time.monotonic() - begun,
            oldest_ms=message.timestamp()[1],
            outcomes={outcome: 1},
            rejected={refused.value: 1} if refused else {},
        )

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


def run(settings: Settings, limits: Limits | None = None) -> None:
    """Serve training requests until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the training packages are not installed, or the port for metrics is taken.
        UnavailableError: Kafka or the registry do not answer.
        TrainingError: the training process cannot start.
    """
    missing = [name for name in ("torch", "transformers", "trl") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"the trainer lacks {', '.join(missing)}; expected the training packages: install trueloop[train]")
    worker = Worker(settings, limits)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    with serving(settings, NAME, worker.metrics, worker):
        worker.run()


def on_devices(settings: Settings, devices: Sequence[str]) -> Settings:
    """Return settings for a worker on these devices; the settings' own when none is named. Raises ConfigurationError on a name that is none."""
    if not devices:
        return settings
    try:
        trainer = TrainerSettings.model_validate(settings.trainer.model_dump() | {"devices": tuple(devices)})
    except ValidationError:
        raise ConfigurationError(f"given device {', '.join(devices)}; expected 'auto', 'cpu' or 'cuda:N'") from None
    return settings.model_copy(update={"trainer": trainer})


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Trueloop trainer worker")
    parser.add_argument("--silence-timeout-s", type=float, default=Limits().silence_timeout_s, help="seconds after which a silent job is given up")
    parser.add_argument("--max-beginnings", type=int, default=Limits().max_beginnings, help="times that a job is begun whose process dies in it")
    parser.add_argument("--device", action="append", default=[], help="'cpu', 'cuda:0', ...; may be repeated, for a job on each at once")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    limits = Limits(silence_timeout_s=arguments.silence_timeout_s, max_beginnings=arguments.max_beginnings)
    run(on_devices(load_settings(), arguments.device), limits)


if __name__ == "__main__":
    main()
