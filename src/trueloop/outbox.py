"""The client's outbox: a bounded buffer between a caller that must not wait and a thread that may."""

import logging
import os
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from trueloop.errors import ConfigurationError, UnavailableError
from trueloop.events import Event

logger = logging.getLogger("trueloop.client")

RETRY_S = 1.0
WARNING_INTERVAL_S = 30.0
_BATCH = 500
_IDLE_POLL_S = 0.05


class Drop(StrEnum):
    """Why an event was not delivered."""

    BUFFER_FULL = "buffer_full"
    TOO_LARGE = "too_large"
    INVALID = "invalid"
    DELIVERY_FAILED = "delivery_failed"


class TooLargeError(ValueError):
    """An encoded event that no broker of ours takes. `size` and `limit` are bytes."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.size:,} bytes; expected at most {self.limit:,}: shorten the text before you send it"


Done = Callable[[Drop | None], None]
"""Told once per sent event, on the thread that polls: None when the brokers have it."""


class Transport(Protocol):
    """What the outbox asks of a Kafka client. All calls come from the outbox's own thread."""

    def send(self, event: Event, done: Done) -> bool:
        """Take an event for delivery; False when there is no room just now (poll, then try again).

        Raises UnavailableError (try again later), TooLargeError, ConfigurationError, TypeError or ValueError (give up on the event).
        """
        ...

    def poll(self, timeout_s: float) -> None:
        """Run the callbacks of what was delivered; wait at most `timeout_s` for the first."""
        ...

    def abandon(self) -> None:
        """Forget the connections without closing them: this process was forked, they belong to the parent."""
        ...

    @property
    def trouble(self) -> str | None:
        """What keeps events from being delivered just now, in words; None when nothing is known."""
        ...


_OUTBOXES: "weakref.WeakSet[Outbox]" = weakref.WeakSet()


def _after_fork() -> None:
    for outbox in _OUTBOXES:
        outbox.forked()


os.register_at_fork(after_in_child=_after_fork)


@dataclass(frozen=True, slots=True)
class ClientStats:
    """What became of the events of one client: accepted = delivered + pending + dropped after acceptance."""

    accepted: int
    delivered: int
    pending: int
    dropped: dict[str, int] = field(default_factory=dict)


class Outbox:
    """Takes events at once and delivers them from a daemon thread, which starts with the first event and after a fork starts anew.

    At most `max_events` events with `max_chars` characters of text wait; what comes on top is dropped and counted. Nothing here raises
    into the caller.
    """

    def __init__(self, connect: Callable[[], Transport], *, max_events: int, max_chars: int, warning_interval_s: float = WARNING_INTERVAL_S) -> None:
        self._connect = connect
        self._max_events = max_events
        self._max_chars = max_chars
        self._warning_interval_s = warning_interval_s
        self._transport: Transport | None = None
        self._start_empty()
        _OUTBOXES.add(self)

    def _start_empty(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[tuple[Event, int]] = deque()
        self._chars = 0
        self._accepted = 0
        self._delivered = 0
        self._dropped: Counter[Drop] = Counter()
        self._refused = 0
        self._thread: threading.Thread | None = None
        self._idle = False
        self._closed = False
        self._warned_at = 0.0
        self._warned = False
        self._overflow_told = 0
        self._last_trouble: str | None = None

    def forked(self) -> None:
        """Start empty in a forked child: what waits belongs to the parent, whose thread delivers it; threads do not survive a fork."""
        if self._transport is not None:
            self._transport.abandon()
            self._transport = None
        self._start_empty()

    def offer(self, event: Event, chars: int) -> bool:
        """Accept an event with `chars` characters of text, or drop and count it when the buffer is full. Never waits for the network."""
        with self._changed:
            room = len(self._waiting) < self._max_events and self._chars + chars <= self._max_chars
            if not room or self._closed:
                self._refuse(Drop.BUFFER_FULL)
                return False
            self._waiting.append((event, chars))
            self._chars += chars
            self._accepted += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="trueloop-client", daemon=True)
                self._thread.start()
            elif self._idle:
                self._changed.notify_all()
            return True

    def refuse(self, reason: Drop) -> None:
        """Count an event that never entered the buffer."""
        with self._changed:
            self._refuse(reason)

    def _refuse(self, reason: Drop) -> None:
        self._dropped[reason] += 1
        self._refused += 1

    @property
    def stats(self) -> ClientStats:
        """Counts since the client was made, or since the fork."""
        with self._changed:
            dropped = {reason.value: count for reason, count in self._dropped.items() if count}
            return ClientStats(self._accepted, self._delivered, self._pending(), dropped)

    def _pending(self) -> int:
        return self._accepted - self._delivered - (self._dropped.total() - self._refused)

    def flush(self, timeout_s: float) -> int:
        """Wait until every accepted event is delivered or given up; return how many are left after `timeout_s` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending() == 0, timeout_s)
            return self._pending()

    def close(self, timeout_s: float) -> int:
        """Flush, then take no more events; return how many were left behind."""
        left = self.flush(timeout_s)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(RETRY_S)
        if left:
            logger.warning("%d events were not delivered within %g s of closing; %s", left, timeout_s, self._trouble())
        return left

    def _run(self) -> None:
        while not self._closed:
            batch = self._take()
            while batch and not self._closed:
                try:
                    self._send_some(batch)
                except UnavailableError as error:
                    self._warn(str(error))
                    self._pause()
            if self._transport is not None:
                self._transport.poll(0.0 if self._waiting else _IDLE_POLL_S)
                self._observe(self._transport)

    def _take(self) -> deque[tuple[Event, int]]:
        with self._changed:
            if not self._waiting and self._pending() == 0:
                self._idle = True
                self._changed.wait_for(lambda: bool(self._waiting) or self._closed)
                self._idle = False
            return deque(self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting))))

    def _send_some(self, batch: deque[tuple[Event, int]]) -> None:
        """Send from the left of `batch` until it is empty or the transport has no room. What was sent has left the batch."""
        if self._transport is None:
            self._transport = self._connect()
        while batch:
            event, chars = batch[0]
            try:
                if not self._transport.send(event, self._settle):
                    self._transport.poll(_IDLE_POLL_S)
                    self._observe(self._transport)
                    return
            except UnavailableError:
                raise
            except (TooLargeError, ConfigurationError, TypeError, ValueError) as error:
                # Of the last two only the class is told: their text may quote the event.
                reason = str(error) if isinstance(error, TooLargeError | ConfigurationError) else type(error).__name__
                logger.warning("dropped %s %s: %s", type(event).__name__, event.event_id, reason)
                self._settle(Drop.TOO_LARGE if isinstance(error, TooLargeError) else Drop.INVALID)
            batch.popleft()
            with self._changed:
                self._chars -= chars

    def _settle(self, drop: Drop | None) -> None:
        with self._changed:
            if drop is None:
                self._delivered += 1
            else:
                self._dropped[drop] += 1
            if self._pending() == 0:
                self._changed.notify_all()

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed, RETRY_S)

    def _observe(self, transport: Transport) -> None:
        trouble = transport.trouble
        overflow = self._dropped[Drop.BUFFER_FULL]
        if trouble is None and overflow > self._overflow_told:
            trouble = "they come faster than they are delivered, so the buffer is full"
        if trouble is not None and self._pending():
            self._overflow_told = overflow
            self._warn(trouble)
        elif trouble is None and self._warned and not self._pending():
            logger.warning("events are delivered again; %s", self._counts())
            self._warned = False

    def _trouble(self) -> str:
        transport = self._transport
        return (transport.trouble if transport else None) or self._last_trouble or "no reason is known"

    def _warn(self, trouble: str) -> None:
        now = time.monotonic()
        self._last_trouble = trouble
        if self._warned and now - self._warned_at < self._warning_interval_s:
            return
        self._warned, self._warned_at = True, now
        logger.warning("events wait: %s; %s", trouble, self._counts())

    def _counts(self) -> str:
        stats = self.stats
        drops = ", ".join(f"{reason} {count}" for reason, count in sorted(stats.dropped.items())) or "none"
        return f"delivered {stats.delivered}, waiting {stats.pending}, dropped: {drops}"
