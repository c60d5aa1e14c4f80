"""What the log says of jobs: which attempts people ordered or cancelled, which have their final result, and which checkpoints were evaluated."""

import time
from datetime import datetime

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from trueloop.adapters.kafka import TIMEOUT_S, client_config, physical_name
from trueloop.adapters.log_positions import LogPositions
from trueloop.codec import Codec
from trueloop.config import KafkaSettings
from trueloop.errors import DecodeError, UnavailableError
from trueloop.events import Evaluation, JobOrder, JobOrderKind, TrainingResult
from trueloop.topics import EVALUATIONS, JOB_ORDERS, TRAINING_RESULTS, Topic

_TOPICS = (JOB_ORDERS, TRAINING_RESULTS, EVALUATIONS)


class JobBook:
    """Reads `job-orders`, `training-results` and `evaluations` from their beginning and along, without joining a group: every worker hears every order.

    Each record is read once, whatever is asked how often; of an evaluation no more is kept than whose it was and when.

    A worker that comes to a request, its group's first or one that was replayed into another group, learns here whether it was answered.
    """

    def __init__(self, kafka: KafkaSettings, codec: Codec) -> None:
        self._codec = codec
        self._topics: dict[str, Topic] = {physical_name(kafka, topic.name): topic for topic in _TOPICS}
        self._next = dict.fromkeys(self._topics, 0)
        self._positions = LogPositions(kafka)
        self._attempts: dict[str, int] = {}
        self._cancelled: dict[tuple[str, int], JobOrder] = {}
        self._results: dict[tuple[str, int], TrainingResult] = {}
        self._evaluated: dict[str, datetime] = {}
        settings = {"group.id": "trueloop-reader", "enable.auto.commit": False, "auto.offset.reset": "earliest", "enable.partition.eof": True}
        self._consumer = Consumer(client_config(kafka) | settings | {"fetch.wait.max.ms": 100})
        self._consumer.assign([TopicPartition(name, 0, OFFSET_BEGINNING) for name in self._topics])

    def attempt(self, job_id: str) -> int:
        """Return the newest attempt at a job that was ordered, 1 when nobody ordered another."""
        return self._attempts.get(job_id, 1)

    def cancelled(self, job_id: str, attempt: int) -> JobOrder | None:
        """Return the order that cancels an attempt."""
        return self._cancelled.get((job_id, attempt))

    def result(self, job_id: str, attempt: int) -> TrainingResult | None:
        """Return the final result of an attempt, the first if there are several."""
        return self._results.get((job_id, attempt))

    def is_evaluated(self, result: TrainingResult) -> bool:
        """Return whether the checkpoint of a result was evaluated at or after the result."""
        newest = self._evaluated.get(str(result.checkpoint))
        return newest is not None and newest >= result.occurred_at

    def glance(self) -> None:
        """Take what has come, without waiting. Raises UnavailableError when a topic cannot be read."""
        for message in self._consumer.consume(100, 0.0):
            self._take(message)

    def catch_up(self) -> None:
        """Read to where the topics end now. Raises UnavailableError when the brokers do not answer."""
        ends = self._positions.ends([(topic.name, 0) for topic in _TOPICS])
        wanted = {name: ends[topic.name, 0] for name, topic in self._topics.items()}
        deadline = time.monotonic() + TIMEOUT_S
        while any(self._next[name] < end for name, end in wanted.items()):
            if time.monotonic() > deadline:
                raise UnavailableError(f"{', '.join(self._topics)} could not be read within {TIMEOUT_S:g} s; is the broker up?")
            for message in self._consumer.consume(1000, 0.02):
                deadline = time.monotonic() + TIMEOUT_S
                self._take(message)

    def close(self) -> None:
        """Leave the brokers."""
        self._consumer.close()

    def _take(self, message: Message) -> None:
        error, name, offset = message.error(), str(message.topic()), int(message.offset() or 0)
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                if error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise UnavailableError(f"reading {name!r}: {error.str()}; see `trueloop doctor`")
                return
            self._next[name] = max(self._next[name], offset)
            return
        self._next[name] = offset + 1
        try:
            event = self._codec.decode(self._topics[name], message.value())
        except DecodeError:
            return
        self._note(event)

    def _note(self, event: object) -> None:
        if isinstance(event, TrainingResult) and event.status.is_final:
            self._results.setdefault((event.job_id, event.attempt), event)
        elif isinstance(event, Evaluation):
            self._evaluated[event.candidate] = max(event.occurred_at, self._evaluated.get(event.candidate, event.occurred_at))
        elif isinstance(event, JobOrder) and event.kind is JobOrderKind.CANCEL:
            self._cancelled.setdefault((event.job_id, event.attempt), event)
        elif isinstance(event, JobOrder) and event.kind is JobOrderKind.RETRY:
            self._attempts[event.job_id] = max(event.attempt, self.attempt(event.job_id))
