"""The shadow namespace: topics that a rebuild writes, which no worker, trainer or service reads."""

import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from trueloop.adapters.kafka import TIMEOUT_S, client_config
from trueloop.adapters.kafka_admin import ensure_topics
from trueloop.config import Settings
from trueloop.errors import ConfigurationError, UnavailableError
from trueloop.topics import PhysicalTopic

MARK = "shadow-"


class Shadow:
    """A prefix of its own for the topics of one rebuild; a context manager that removes them, unless they are to be kept."""

    def __init__(self, settings: Settings, now: datetime, *, keep: bool = False) -> None:
        """Choose a name; nothing is created yet."""
        self.name = f"{MARK}{now:%Y%m%dt%H%M%S}-{secrets.token_hex(3)}-"
        kafka = settings.kafka.model_copy(update={"topic_prefix": settings.kafka.topic_prefix + self.name})
        self.settings = settings.model_copy(update={"kafka": kafka})
        self._keep = keep

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
            _delete(self.settings.kafka.topic_prefix, self.settings)


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


def _delete(prefix: str, settings: Settings) -> int:
    admin = AdminClient(client_config(settings.kafka))
    try:
        names = [name for name in admin.list_topics(timeout=TIMEOUT_S).topics if name.startswith(prefix)]
        for deleted in admin.delete_topics(names, operation_timeout=TIMEOUT_S).values() if names else ():
            deleted.result(TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:  # somebody else removed it just now
            raise UnavailableError(f"topics {prefix}* were not removed: {error.args[0].str()}; run `trueloop replay-log --drop` with their name") from None
    return len(names)
