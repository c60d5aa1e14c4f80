"""The worker's membership in its consumer group: requests in order, and polls that keep it while jobs run."""

import json
import logging
from collections import deque
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from trueloop.adapters.kafka import client_config, physical_name
from trueloop.config import KafkaSettings
from trueloop.errors import UnavailableError
from trueloop.topics import TRAINING_REQUESTS

GROUP = "trueloop-trainer"

STATISTICS_EVERY_MS = 2000
"""How old the lag may be that metrics tell. The client knows it from its fetches; nobody is asked for it."""

_log = logging.getLogger(__name__)


class RequestInbox:
    """Requests of the partitions that this worker holds. `on_joined` is called at each assignment, an empty one (a standby's) included.

    `lags` are the requests of each partition that are not committed, where known; `divisions` is how often partitions were assigned.
    """

    def __init__(self, kafka: KafkaSettings, on_joined: Callable[[], None]) -> None:
        self._on_joined = on_joined
        self._name = physical_name(kafka, TRAINING_REQUESTS.name)
        self._waiting: deque[Message] = deque()
        self._held: set[tuple[str, int]] = set()
        self._open: dict[tuple[str, int], dict[int, Message]] = {}
        self._done: set[tuple[str, int, int]] = set()
        self._paused = False
        self.lags: dict[int, int] = {}
        self.divisions = 0
        self._consumer = Consumer(
            client_config(kafka)
            | {
                "group.id": physical_name(kafka, GROUP),
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                # A standby that joins must not take the partition from a worker whose job is running.
                "partition.assignment.strategy": "cooperative-sticky",
                # After a kill -9 the group waits this long for the dead member before its job is begun again.
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 2000,
                "statistics.interval.ms": STATISTICS_EVERY_MS,
                "stats_cb": self._measured,
            }
        )
        self._consumer.subscribe([self._name], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    def next(self, timeout_s: float) -> Message | None:
        """Return the next request, or None when none came in time. Raises UnavailableError when the topic cannot be read."""
        if self._paused:
            self._consumer.resume(self._assignment())
            self._paused = False
        message = self._waiting.popleft() if self._waiting else self._poll(timeout_s)
        if message is not None:
            self._open.setdefault(_place(message), {})[int(message.offset() or 0)] = message
        return message

    def put_back(self, message: Message) -> None:
        """Give a request back, to be the next again: it cannot be begun yet."""
        self._open.get(_place(message), {}).pop(int(message.offset() or 0), None)
        if self.holds(message):
            self._waiting.appendleft(message)

    def keep_membership(self) -> None:
        """Poll without taking anything, so that long jobs do not look like a dead worker."""
        if not self._paused:
            self._consumer.pause(self._assignment())
            self._paused = True
        message = self._poll(0.0)
        if message is not None:  # fetched before the pause, or of a partition that was just assigned
            self._waiting.append(message)

    def holds(self, message: Message) -> bool:
        """Return whether the message's partition is still this worker's."""
        return _place(message) in self._held

    def done(self, message: Message) -> None:
        """Mark a request as done. Offsets say 'all before this one', so it is committed when those before it are done as well.

        A failure to commit is logged: the request will come again, and will be found answered.
        """
        place = _place(message)
        if not self.holds(message):
            return
        self._done.add((*place, int(message.offset() or 0)))
        waiting = self._open.get(place, {})
        last = None
        for offset in sorted(waiting):
            if (*place, offset) not in self._done:
                break
            self._done.discard((*place, offset))
            last = waiting.pop(offset)
        if last is None:
            return
        try:
            self._consumer.commit(message=last, asynchronous=False)
        except KafkaException as error:
            _log.warning("offset %s of %r was not committed: %s", last.offset(), last.topic(), error.args[0].str())

    def close(self) -> None:
        """Leave the group without committing anything."""
        self._consumer.close()

    def _poll(self, timeout_s: float) -> Message | None:
        message = self._consumer.poll(timeout_s)
        if message is None:
            return None
        error = message.error()
        if error is None:
            return message
        if error.fatal() or error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED):
            raise UnavailableError(f"topic {TRAINING_REQUESTS.name!r} cannot be read: {error.str()}; see `trueloop doctor`")
        _log.warning("reading %r: %s", TRAINING_REQUESTS.name, error.str())
        return None

    def _assignment(self) -> list[TopicPartition]:
        return [TopicPartition(topic, partition) for topic, partition in sorted(self._held)]

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        self.divisions += 1
        self._held |= {(partition.topic, partition.partition) for partition in partitions}
        if self._paused and partitions:
            consumer.pause(partitions)
        self._on_joined()

    def _measured(self, statistics: str) -> None:
        partitions = json.loads(statistics)["topics"].get(self._name, {}).get("partitions", {})
        found = {int(number): int(told["consumer_lag"]) for number, told in partitions.items()}
        self.lags = {number: lag for number, lag in found.items() if lag >= 0 and (self._name, number) in self._held}

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {(partition.topic, partition.partition) for partition in partitions}
        self._held -= gone
        self._done = {done for done in self._done if done[:2] not in gone}
        self._open = {place: messages for place, messages in self._open.items() if place not in gone}
        self._waiting = deque(message for message in self._waiting if (message.topic(), message.partition()) not in gone)
        consumer.incremental_unassign(partitions)


def _place(message: Message) -> tuple[str, int]:
    return str(message.topic()), int(message.partition() or 0)
