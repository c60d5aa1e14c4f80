"""The Python SDK: `trueloop.Client` sends traces, appeals and labels without ever making the caller wait.

client = Client(application="billing-support", consent="training")
trace_id = client.trace(messages=[{"role": "user", "content": question}], completion=answer, model="support-1")
client.appeal(trace_id, text="That is not what I paid.", messages=[{"role": "user", "content": question}], completion=answer)
"""

import atexit
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeVar

from pydantic import ValidationError

from trueloop.config import Settings, load_settings
from trueloop.errors import ConfigurationError
from trueloop.events import (
    Alternative,
    Appeal,
    Consent,
    Critique,
    Event,
    Label,
    Message,
    Preference,
    Rating,
    ReviewTask,
    Rewrite,
    Role,
    SpanMark,
    Trace,
    derive_id,
)  # fmt: skip
from trueloop.outbox import ClientStats, Drop, Outbox, TooLargeError, Transport
from trueloop.topics import MAX_MESSAGE_BYTES

logger = logging.getLogger(__name__)

E = TypeVar("E", bound=Event)


class Client:
    """Sends the events of one application. Thread-safe; make one per process and keep it.

    A call checks its arguments, puts the event into a bounded buffer and returns; a daemon thread connects, encodes and delivers. When
    the brokers are away events wait in the buffer, and one warning per 30 seconds says how many. What cannot be sent is dropped and
    counted in `stats`; nothing is raised into the caller unless `raise_errors` is set. Python flushes the client when it exits
    (`exit_timeout_s`). A forked child starts with an empty buffer and a connection of its own; what was waiting stays with the parent.

    Args:
        application: The application that the events belong to.
        consent: What subjects allowed unless a trace says otherwise: 'none', 'review' (people may read) or 'training'.
        settings: Where Kafka and the registry are; by default as `trueloop.config.load_settings` finds them.
        raise_errors: Raise ValueError for wrong arguments and too large events, BufferError when the buffer is full. For development.
        max_events: Events that may wait in memory.
        max_chars: Characters of text that may wait in memory.
        delivery_timeout_s: How long an event is tried before it counts as `delivery_failed`.
        exit_timeout_s: How long Python's exit waits for what is left.
        connect: Makes the transport; for tests.

    Raises:
        ConfigurationError: When the application, the consent or the settings are wrong.
    """

    def __init__(
        self,
        application: str,
        consent: Consent | str = Consent.NONE,
        *,
        settings: Settings | None = None,
        raise_errors: bool = False,
        max_events: int = 10_000,
        max_chars: int = 64_000_000,
        delivery_timeout_s: float = 300.0,
        exit_timeout_s: float = 5.0,
        connect: Callable[[], Transport] | None = None,
    ) -> None:
        if not application or len(application) > 256:
            raise ConfigurationError(f"application is {application!r}; expected a name of 1 to 256 characters")
        self.application = application
        self.consent = _consent(consent)
        self._raise_errors = raise_errors
        self._exit_timeout_s = exit_timeout_s
        if connect is None:
            found = settings if settings is not None else load_settings()

            def connect() -> Transport:
                from trueloop.adapters.emitter import Emitter  # a Kafka client costs 50 ms of import: paid on the outbox's thread

                return Emitter(found, delivery_timeout_s=delivery_timeout_s)

        self._outbox = Outbox(connect, max_events=max_events, max_chars=max_chars)
        # The outbox and not the client: a client that nobody holds any more may still have events to deliver.
        atexit.register(self._outbox.close, exit_timeout_s)

    def trace(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        completion: str,
        model: str,
        *,
        trace_id: str | None = None,
        checkpoint: str | None = None,
        slices: Mapping[str, str] | None = None,
        scores: Mapping[str, float] | None = None,
        latency_ms: float | None = None,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
        error: str | None = None,
        subject_id: str | None = None,
        consent: Consent | str | None = None,
        alternatives: Sequence[Alternative | Mapping[str, Any]] = (),
        embedding: bytes | None = None,
        embedding_model: str | None = None,
        occurred_at: datetime | None = None,
    ) -> str:
        """Send a request and its answer; return the trace id. `messages` are the prompt in chat form: role ('user', ...) and content."""
        found_id = trace_id if trace_id is not None else uuid.uuid4().hex
        self._emit(Trace, lambda: {
            "event_id": derive_id("trace", self.application, found_id), "occurred_at": occurred_at or datetime.now(UTC), "trace_id": found_id,
            "messages": [_message(message) for message in messages], "completion": completion, "alternatives": list(alternatives),
            "model": model, "checkpoint": checkpoint, "slices": dict(slices or {}), "scores": dict(scores or {}), "latency_ms": latency_ms,
            "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "error": error, "subject_id": subject_id,
            "consent": self.consent if consent is None else _consent(consent), "embedding": embedding, "embedding_model": embedding_model,
        })  # fmt: skip
        return found_id

    def appeal(
        self,
        trace_id: str,
        text: str = "",
        *,
        messages: Sequence[Message | Mapping[str, Any]] = (),
        completion: str | None = None,
        slices: Mapping[str, str] | None = None,
        consent: Consent | str | None = None,
        dimension: str | None = None,
        subject_id: str | None = None,
    ) -> str:
        """Send a user's objection to an answer; return its event id. The same objection sent twice is one.

        Give prompt and answer as they were in the trace, for these are re-reviewed. Without them, or without consent, the appeal is counted only.
        """
        event_id = ""

        def fields() -> dict[str, Any]:
            nonlocal event_id
            event_id = derive_id("appeal", self.application, str(trace_id), str(subject_id), str(dimension), str(text))
            found = {
                "trace_id": trace_id, "text": text, "dimension": dimension, "subject_id": subject_id, "slices": dict(slices or {}),
                "messages": [_message(message) for message in messages], "completion": completion,
                "consent": self.consent if consent is None else _consent(consent),
            }  # fmt: skip
            return found | {"event_id": event_id, "occurred_at": datetime.now(UTC)}

        self._emit(Appeal, fields)
        return event_id

    def label(
        self,
        task: ReviewTask | str,
        reviewer_id: str,
        *,
        rubric: str | None = None,
        ratings: Mapping[str, Mapping[str, int]] | Sequence[Rating] = (),
        preferences: Mapping[str, str | None] | Sequence[Preference] = (),
        spans: Sequence[SpanMark | Mapping[str, Any]] = (),
        rewrite: Rewrite | tuple[str, str] | None = None,
        critiques: Sequence[Critique | Mapping[str, Any]] = (),
        seconds_spent: float | None = None,
        supersedes: str | None = None,
        retracts: str | None = None,
    ) -> str:
        """Send a reviewer's verdict on a task; return the label id, a hash of the verdict: sent twice it counts once.

        Give the task from `review-queue`, or its id and the rubric that was applied as 'ID@VERSION'. Ratings are
        `{candidate_id: {dimension: value}}`, preferences `{dimension: better candidate_id, None for a tie}` with 'overall' for all
        dimensions together, a rewrite is `(candidate_id, better text)`; the records of `trueloop.events` do as well. `supersedes` and
        `retracts` are ids of earlier labels of the same reviewer.
        """
        label_id = ""

        def fields() -> dict[str, Any]:
            nonlocal label_id
            rubric_id, version = _rubric(task, rubric)
            found = {
                "task_id": task.task_id if isinstance(task, ReviewTask) else task, "reviewer_id": reviewer_id,
                "rubric_id": rubric_id, "rubric_version": version, "ratings": _ratings(ratings), "preferences": _preferences(preferences),
                "spans": list(spans), "rewrite": Rewrite(candidate_id=rewrite[0], completion=rewrite[1]) if isinstance(rewrite, tuple) else rewrite,
                "critiques": list(critiques), "seconds_spent": seconds_spent, "supersedes": supersedes, "retracts": retracts,
            }  # fmt: skip
            label_id = derive_id("label", self.application, *(str(value) for value in found.values()))
            return found | {"event_id": label_id, "occurred_at": datetime.now(UTC)}

        self._emit(Label, fields)
        return label_id

    def send(self, event: Event) -> bool:
        """Send a ready-made event; return whether it was accepted."""
        chars = _chars(event)
        if chars > MAX_MESSAGE_BYTES:
            size = len(event.model_dump_json())
            return self._fail(Drop.TOO_LARGE, type(event).__name__, TooLargeError(size, MAX_MESSAGE_BYTES))
        if self._outbox.offer(event, chars):
            return True
        if self._raise_errors:
            raise BufferError(f"the client's buffer is full: {self.stats}; is the broker up? see `trueloop doctor`")
        return False

    @property
    def stats(self) -> ClientStats:
        """What became of the events so far."""
        return self._outbox.stats

    def flush(self, timeout_s: float = 10.0) -> int:
        """Wait until everything accepted is delivered or given up; return how many events are left after `timeout_s` seconds."""
        return self._outbox.flush(timeout_s)

    def close(self, timeout_s: float | None = None) -> int:
        """Flush and stop; return how many events were left behind. A closed client drops what it is given."""
        atexit.unregister(self._outbox.close)
        return self._outbox.close(self._exit_timeout_s if timeout_s is None else timeout_s)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _emit(self, kind: type[E], fields: Callable[[], dict[str, Any]]) -> None:
        try:
            event = kind(application=self.application, **fields())
        except ValidationError as error:
            faults = [".".join(str(part) for part in fault["loc"]) + " (" + fault["type"] + ")" for fault in error.errors(include_input=False)[:5]]
            self._fail(Drop.INVALID, kind.__name__, ValueError(f"wrong arguments: {', '.join(faults)}"))
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            # Our own messages name what is wrong; those of others may quote the caller's text.
            self._fail(Drop.INVALID, kind.__name__, error if isinstance(error, ConfigurationError) else ValueError(f"wrong arguments: {type(error).__name__}"))
        else:
            self.send(event)

    def _fail(self, drop: Drop, kind: str, error: ValueError) -> bool:
        self._outbox.refuse(drop)
        if self._raise_errors:
            raise error
        logger.warning("dropped %s (%s): %s", kind, drop.value, error)
        return False


def _consent(value: Consent | str) -> Consent:
    if isinstance(value, Consent):
        return value
    try:
        return Consent(str(value).upper())
    except ValueError:
        raise ConfigurationError("consent is none of its values; expected 'none', 'review' or 'training'") from None


def _message(message: Message | Mapping[str, Any]) -> Message | dict[str, Any]:
    if isinstance(message, Message):
        return message
    role = message["role"]
    return {**message, "role": role if isinstance(role, Role) else str(role).upper()}


def _rubric(task: ReviewTask | str, rubric: str | None) -> tuple[str, int]:
    if rubric is None:
        if isinstance(task, ReviewTask):
            return task.rubric_id, task.rubric_version
        raise ConfigurationError("label needs the rubric that was applied; pass rubric='ID@VERSION', or the ReviewTask instead of its id")
    name, _, version = rubric.partition("@")
    if not name or not version.isdecimal():
        raise ConfigurationError(f"rubric is {rubric!r}; expected 'ID@VERSION', such as 'billing-support@1'")
    return name, int(version)


def _ratings(given: Mapping[str, Mapping[str, int]] | Sequence[Rating]) -> list[Any]:
    if isinstance(given, Mapping):
        return [Rating(candidate_id=candidate, dimension=dimension, value=value) for candidate, values in given.items() for dimension, value in values.items()]
    return list(given)


def _preferences(given: Mapping[str, str | None] | Sequence[Preference]) -> list[Any]:
    if isinstance(given, Mapping):
        return [Preference(dimension=None if dimension == "overall" else dimension, preferred=preferred) for dimension, preferred in given.items()]
    return list(given)


def _chars(event: Event) -> int:
    """Return the characters of text in an event: at most its size in bytes, and cheap to know."""
    if isinstance(event, Trace):
        return len(event.completion) + sum(len(m.content) for m in event.messages) + sum(len(a.completion) for a in event.alternatives)
    if isinstance(event, Appeal):
        return len(event.text) + sum(len(m.content) for m in event.messages) + len(event.completion or "")
    if isinstance(event, Label):
        texts = [critique.text for critique in event.critiques] + [span.replacement or "" for span in event.spans]
        return sum(map(len, texts)) + (len(event.rewrite.completion) if event.rewrite else 0)
    return 0
