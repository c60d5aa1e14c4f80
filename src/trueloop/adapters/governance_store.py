"""The published rubrics and policies, and what sampling is told (review quotas, disagreement of reviewers), read from their compacted topics and kept up
to date without a restart."""

import logging
import threading
import time
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from pydantic import ValidationError

from trueloop.adapters.kafka import TIMEOUT_S, client_config, physical_name
from trueloop.adapters.log_positions import LogPositions
from trueloop.codec import Codec
from trueloop.config import KafkaSettings
from trueloop.errors import ConfigurationError, DecodeError, UnavailableError
from trueloop.events import PolicyPublished, ReviewQuota, RubricPublished, SliceDisagreement
from trueloop.rubrics import Governance
from trueloop.topics import POLICIES, REVIEW_QUOTAS, RUBRICS, SLICE_DISAGREEMENTS, Topic

logger = logging.getLogger(__name__)


class GovernanceStore:
    """A reader of `rubrics`, `policies`, `review-quotas` and `slice-disagreements` that joins no group. May be shared by threads.

    `fresh()` asks the brokers where these topics end and reads up to there, so an event that was produced after a policy's publication
    was acknowledged is never judged without that policy. That costs two round trips, about a millisecond; call it once per batch.
    """

    def __init__(self, kafka: KafkaSettings, codec: Codec) -> None:
        self._kafka = kafka
        self._codec = codec
        self._topics: dict[str, Topic] = {physical_name(kafka, topic.name): topic for topic in (RUBRICS, POLICIES, REVIEW_QUOTAS, SLICE_DISAGREEMENTS)}
        self._next: dict[str, int] = dict.fromkeys(self._topics, 0)
        self._documents: dict[str, dict[Any, Any]] = {name: {} for name in self._topics}
        self._connected: Consumer | None = None
        # A client of its own: on the consumer's connection a question waits behind a fetch that waits for records.
        self._positions = LogPositions(kafka)
        self._lock = threading.Lock()
        self._checked_since = 0.0
        self._changed = False
        self._governance = Governance()

    def known(self, since: float) -> Governance | None:
        """Return what was published when it was looked at last, if that look began after `since` (`time.monotonic()`); never waits."""
        return self._governance if self._checked_since >= since else None

    def fresh(self, since: float) -> Governance:
        """Return what was published at `since` (`time.monotonic()`), or later.

        Raises UnavailableError when the brokers do not answer or the topics do not exist.
        """
        with self._lock:
            # Who waited for the lock may use a look that began after `since`.
            if self._checked_since < since:
                started = time.monotonic()
                try:
                    self._read_to_end()
                    if self._changed:
                        self._governance, self._changed = self._build(), False
                except UnavailableError:
                    self._leave()  # so that the next attempt starts where this one got to
                    raise
                self._checked_since = started
            return self._governance

    def close(self) -> None:
        """Leave the brokers."""
        with self._lock:
            self._leave()

    def _leave(self) -> None:
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    def _consumer(self) -> Consumer:
        if self._connected is None:
            config = {"group.id": "trueloop-governance", "enable.auto.commit": False, "auto.offset.reset": "earliest", "enable.partition.eof": True}
            consumer = Consumer(client_config(self._kafka) | config)
            # One partition each: a document's rubric is published before the document, and their order is kept.
            consumer.assign([TopicPartition(name, 0, self._next[name] or OFFSET_BEGINNING) for name in self._topics])
            self._connected = consumer
        return self._connected

    def _read_to_end(self) -> None:
        """Read up to where the topics end now. What was read counts also when the rest cannot be read."""
        ends = self._positions.ends([(topic.name, 0) for topic in self._topics.values()])
        deadline = time.monotonic() + TIMEOUT_S
        while any(self._next[physical_name(self._kafka, name)] < end for (name, _), end in ends.items()):
            if time.monotonic() > deadline:
                raise UnavailableError(f"{' and '.join(self._topics)} could not be read within {TIMEOUT_S:g} s; is the broker up?")
            for message in self._consumer().consume(500, 0.05):
                self._changed |= self._take(message)

    def _take(self, message: Message) -> bool:
        error, name, offset = message.error(), message.topic(), message.offset()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF and name is not None and offset is not None:
                self._next[name] = max(self._next[name], offset)
                return False
            raise UnavailableError(f"reading {name!r}: {error.str()}")
        if name is None or offset is None:
            raise UnavailableError("the broker sent a record without topic or offset")
        if message.value() is None:
            self._documents[name].pop(message.key(), None)
        else:
            try:
                self._documents[name][message.key()] = self._codec.decode(self._topics[name], message.value())
            except DecodeError as problem:
                logger.warning("record %d of %s is passed over: %s", offset, name, problem)
        self._next[name] = offset + 1
        return True

    def _build(self) -> Governance:
        rubrics: list[RubricPublished] = []
        for rubric in self._documents[physical_name(self._kafka, RUBRICS.name)].values():
            if _stands([rubric], []):
                rubrics.append(rubric)
        policies: list[PolicyPublished] = []
        for policy in self._documents[physical_name(self._kafka, POLICIES.name)].values():
            if _stands(rubrics, [policy]):
                policies.append(policy)
        quotas: list[ReviewQuota] = list(self._documents[physical_name(self._kafka, REVIEW_QUOTAS.name)].values())
        disagreements: list[SliceDisagreement] = list(self._documents[physical_name(self._kafka, SLICE_DISAGREEMENTS.name)].values())
        return Governance(rubrics, policies, quotas, disagreements)


def _stands(rubrics: list[RubricPublished], policies: list[PolicyPublished]) -> bool:
    """Return whether these documents can be in force. One that cannot (written by a newer version, say) must not stop the others."""
    try:
        Governance(rubrics, policies)
    except (ConfigurationError, ValidationError) as error:
        document = (policies or rubrics)[-1]
        logger.warning("document %s is not in force: %s", document.event_id, error if isinstance(error, ConfigurationError) else "it is not valid")
        return False
    return True
