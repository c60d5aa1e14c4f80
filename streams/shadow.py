"""The shadow namespace: topics that a rebuild writes, which no worker, trainer or service reads."""

import secrets
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from trueloop.adapters.kafka import TIMEOUT_S, client_config, physical_name
from trueloop.adapters.kafka_admin import ensure_topics
from trueloop.config import Settings
from trueloop.errors import ConfigurationError, UnavailableError
from trueloop.topics import PhysicalTopic

MARK = "shadow-"
RETRY_S = 0.1


class Shadow:
    """A prefix of its own for the topics of one rebuild; a context manager that removes them, unless they are to be kept."""

    def __init__(self, settings: Settings, now: datetime, *, keep: bool = False) -> None:
        """Choose a name; nothing is created yet."""
        self.name = f"{MARK}{now:%Y%m%dt%H%M%S}-{secrets.token_hex(3)}-"
        kafka = settings.kafka.model_copy(update={"topic_prefix": settings.kafka.topic_prefix + self.name})
        self.settings = settings.model_copy(update={"kafka": kafka})
        self._keep = keep
        self._asked: set[str] = set()

    def create(self, topics: Iterable[PhysicalTopic]) -> None:
        """Create topics. Raises UnavailableError when the broker does not.

        In a thread that is waited for, also by an interrupt: what the broker was asked to create would else appear after the others were removed.
        """
        with ThreadPoolExecutor(1) as creating:
            creating.submit(ensure_topics, self.settings.kafka, list(topics)).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if not self._keep:
            _delete(self.settings.kafka.topic_prefix, self.settings, self._asked)


def drop(settings: Settings, name: str) -> int:
    """Remove the topics of a shadow that was kept; return their number.

    Raises ConfigurationError when `name` is not that of a shadow, UnavailableError when the broker does not answer.
    """
    if not name.startswith(MARK) or not name.endswith("-"):
        raise ConfigurationError(f"given {name!r}; expected the name of a shadow as `trueloop replay-log --keep` told it: {MARK}...-")
    deleted = _delete(settings.kafka.topic_prefix + name, settings)
    if not deleted:
        raise ConfigurationError(f"given {name!r}; expected a shadow that is there, but no topic is named {settings.kafka.topic_prefix + name}*")
    return deleted


def _delete(prefix: str, settings: Settings, asked: Iterable[str] = ()) -> int:
    """Delete the topics with a prefix, and those that the broker was asked to create and may not show yet; return their number."""
    admin = AdminClient(client_config(settings.kafka))
    deadline, deleted = time.monotonic() + TIMEOUT_S, set(asked)
    try:
        left = deleted | _named(admin, prefix)
        while left and time.monotonic() < deadline:
            deleted |= left
            for answer in admin.delete_topics(sorted(left), operation_timeout=TIMEOUT_S).values():
                error = answer.exception(TIMEOUT_S)
                # Not there: never made, or removed already.
                if error is not None and not (isinstance(error, KafkaException) and error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART):
                    raise error
            left = _named(admin, prefix)
            time.sleep(RETRY_S if left else 0.0)
    except KafkaException as error:
        raise UnavailableError(f"topics {prefix}* were not removed: {error.args[0].str()}; run `trueloop replay-log --drop` with their name") from None
    return len(deleted)


def _named(admin: AdminClient, prefix: str) -> set[str]:
    return {name for name in admin.list_topics(timeout=TIMEOUT_S).topics if name.startswith(prefix)}
