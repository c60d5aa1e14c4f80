"""What the stream apps of one process share."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trueloop.streams.counters import Counters

from trueloop.adapters.delivery import Delivery
from trueloop.adapters.governance_store import GovernanceStore
from trueloop.adapters.registry import connect
from trueloop.codec import Codec
from trueloop.config import Settings


def utc_now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


def stop_process() -> None:
    """End the process at once. Nothing more is acknowledged; whoever supervises it starts it anew, and it reads again what was in progress."""
    logging.shutdown()
    os._exit(1)


@dataclass(frozen=True)
class Resources:
    """Clients, clock and counters, and what to do when a batch fails."""

    settings: Settings
    codec: Codec
    governance: GovernanceStore
    delivery: Delivery
    counters: Counters = field(default_factory=Counters)
    clock: Callable[[], datetime] = utc_now
    on_failure: Callable[[], None] = stop_process

    @classmethod
    def of(cls, settings: Settings) -> "Resources":
        """Return resources for these settings. Opens no connection."""
        codec = connect(settings.registry)
        return cls(settings, codec, GovernanceStore(settings.kafka, codec), Delivery(settings.kafka))
