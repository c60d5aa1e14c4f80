"""The client: never waits, never raises unless asked, and every event is accounted for."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from trueloop import Client
from trueloop.errors import ConfigurationError, UnavailableError
from trueloop.events import Appeal, Consent, Event, Label, Role, Trace
from trueloop.outbox import Done, Drop, TooLargeError

PROMPT = [{"role": "user", "content": "how much do I owe"}]


class FakeTransport:
    """Keeps what it is sent. `hold` keeps deliveries open, `away` plays an absent registry, `room` a full queue."""

    def __init__(self) -> None:
        self.sent: list[Event] = []
        self.hold = False
        self.away = False
        self.room = True
        self.failing: Drop | None = None
        self.too_large = 10**9
        self.threads: set[str] = set()
        self.abandoned = False
        self.trouble: str | None = None
        self._open: list[Done] = []

    def send(self, event: Event, done: Done) -> bool:
        self.threads.add(threading.current_thread().name)
        if self.away:
            raise UnavailableError("the registry is away")
        if not self.room:
            return False
        if isinstance(event, Trace) and len(event.completion) > self.too_large:
            raise TooLargeError(len(event.completion), self.too_large)
        self.sent.append(event)
        self._open.append(done)
        return True

    def poll(self, timeout_s: float) -> None:
        while self._open and not self.hold:
            self._open.pop()(self.failing)

    def abandon(self) -> None:
        self.abandoned = True


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def client(transport: FakeTransport) -> Iterator[Client]:
    made = Client("billing", "training", connect=lambda: transport, max_events=5, exit_timeout_s=0.0)
    yield made
    transport.hold = transport.away = False
    transport.room = True
    made.close()


def eventually(condition: Callable[[], bool], deadline_s: float = 5.0) -> None:
    ends = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < ends, "did not come true in time"
        time.sleep(0.01)


def sent(transport: FakeTransport, index: int = 0) -> Event:
    return transport.sent[index]


def test_a_trace_arrives_with_the_defaults_of_the_client(client: Client, transport: FakeTransport) -> None:
    trace_id = client.trace(PROMPT, "$47.71", "m1", slices={"mood": "rude"}, alternatives=[{"completion": "$1", "model": "m2"}])
    assert client.flush(5) == 0
    event = sent(transport)
    assert isinstance(event, Trace)
    assert (event.trace_id, event.application, event.consent) == (trace_id, "billing", Consent.TRAINING)
    assert event.messages[0].role is Role.USER
    assert event.alternatives[0].model == "m2"


def test_the_callers_thread_never_touches_the_network(client: Client, transport: FakeTransport) -> None:
    client.trace(PROMPT, "a", "m1")
    client.flush(5)
    assert transport.threads == {"trueloop-client"}


def test_the_same_appeal_is_one_event_and_another_text_is_not(client: Client) -> None:
    assert client.appeal("t1", "wrong") == client.appeal("t1", "wrong") != client.appeal("t1", "very wrong")


def test_an_appeal_brings_what_is_to_be_re_reviewed(client: Client, transport: FakeTransport) -> None:
    client.appeal("t1", "wrong", messages=PROMPT, completion="an answer", slices={"locale": "de"}, consent="review")
    client.flush(5)
    appeal = sent(transport)
    assert isinstance(appeal, Appeal)
    assert (appeal.completion, appeal.slices, appeal.consent) == ("an answer", {"locale": "de"}, Consent.REVIEW)
    assert [message.role for message in appeal.messages] == [Role.USER]


def test_an_appeal_has_the_consent_of_its_client(transport: FakeTransport) -> None:
    with Client("billing", "training", connect=lambda: transport) as client:
        client.appeal("t1", "wrong")
    assert sent(transport).consent is Consent.TRAINING


def test_a_label_in_short_form(client: Client, transport: FakeTransport) -> None:
    label_id = client.label("task-1", "r1", rubric="billing@2", ratings={"c1": {"tone": 1}}, preferences={"overall": None, "tone": "c1"}, rewrite=("c1", "b"))
    client.flush(5)
    label = sent(transport)
    assert isinstance(label, Label)
    assert (label.event_id, label.rubric_id, label.rubric_version) == (label_id, "billing", 2)
    assert (label.ratings[0].candidate_id, label.ratings[0].dimension, label.ratings[0].value) == ("c1", "tone", 1)
    assert [(preference.dimension, preference.preferred) for preference in label.preferences] == [(None, None), ("tone", "c1")]
    assert label.rewrite is not None
    assert label.rewrite.completion == "b"


def test_a_label_without_rubric_says_what_to_pass(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.label("task-1", "r1", ratings={"c1": {"tone": 1}})
    assert client.stats.dropped == {"invalid": 1}
    assert "rubric='ID@VERSION'" in caplog.text


WRONG: dict[str, Callable[[Client], object]] = {
    "messages.0.content": lambda client: client.trace([{"role": "user"}], "a", "m1"),
    "completion": lambda client: client.trace(PROMPT, None, "m1"),  # type: ignore[arg-type]
    "messages": lambda client: client.trace([], "a", "m1"),
    "latency_ms": lambda client: client.trace(PROMPT, "a", "m1", latency_ms=-1.0),
    "scores.judge": lambda client: client.trace(PROMPT, "a", "m1", scores={"judge": float("nan")}),
    "embedding": lambda client: client.trace(PROMPT, "a", "m1", embedding=b"short"),
    "UnicodeEncodeError": lambda client: client.appeal("t1", "secret \ud800"),
}


@pytest.mark.parametrize("field", WRONG)
def test_wrong_arguments_are_counted_and_named_but_never_raised_or_quoted(client: Client, caplog: pytest.LogCaptureFixture, field: str) -> None:
    WRONG[field](client)
    assert client.stats.dropped == {"invalid": 1}
    assert field in caplog.text
    assert "how much do I owe" not in caplog.text
    assert "secret" not in caplog.text


def test_wrong_arguments_are_raised_when_asked_for(transport: FakeTransport) -> None:
    client = Client("billing", raise_errors=True, connect=lambda: transport)
    with pytest.raises(ValueError, match=r"messages\.0\.content \(missing\)"):
        client.trace([{"role": "user"}], "a", "m1")
    client.close()


def test_ten_megabytes_are_dropped_with_their_size(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.trace(PROMPT, "x" * 10_000_000, "m1")
    assert client.stats.dropped == {"too_large": 1}
    assert "10,000," in caplog.text
    assert "expected at most 2,097,152" in caplog.text


def test_what_is_too_large_once_encoded_is_counted_too(client: Client, transport: FakeTransport) -> None:
    transport.too_large = 10
    client.trace(PROMPT, "x" * 11, "m1")
    client.trace(PROMPT, "x" * 10, "m1")
    assert client.flush(5) == 0
    assert (client.stats.delivered, client.stats.dropped) == (1, {"too_large": 1})


def test_a_full_buffer_drops_the_newest_and_counts_them(client: Client, transport: FakeTransport, caplog: pytest.LogCaptureFixture) -> None:
    transport.away = True
    client.trace(PROMPT, "first", "m1")
    for _ in range(20):
        client.trace(PROMPT, "more", "m1")
    eventually(lambda: "events wait: the registry is away" in caplog.text)
    stats = client.stats
    assert stats.pending + stats.dropped["buffer_full"] == 21
    assert 5 <= stats.pending <= 10  # at most 5 wait, and up to 5 that the thread has taken
    transport.away = False
    assert client.flush(5) == 0
    assert client.stats.delivered == stats.pending
    assert caplog.text.count("events wait: the registry is away") == 1


def test_a_full_buffer_raises_when_asked_for(transport: FakeTransport) -> None:
    transport.away = True
    client = Client("billing", raise_errors=True, connect=lambda: transport, max_events=1, exit_timeout_s=0.0)

    def fill() -> None:
        for _ in range(5):
            client.trace(PROMPT, "a", "m1")

    with pytest.raises(BufferError, match="is the broker up"):
        fill()
    client.close()


def test_a_full_queue_of_the_transport_is_waited_for(client: Client, transport: FakeTransport) -> None:
    transport.room = False
    client.trace(PROMPT, "a", "m1")
    assert client.flush(0.2) == 1
    transport.room = True
    assert client.flush(5) == 0
    assert len(transport.sent) == 1


def test_a_failed_delivery_is_counted(client: Client, transport: FakeTransport) -> None:
    transport.failing = Drop.DELIVERY_FAILED
    client.trace(PROMPT, "a", "m1")
    assert client.flush(5) == 0
    assert client.stats.dropped == {"delivery_failed": 1}


def test_flush_tells_what_is_left(client: Client, transport: FakeTransport) -> None:
    transport.hold = True
    client.trace(PROMPT, "a", "m1")
    assert client.flush(0.1) == 1
    transport.hold = False
    assert client.flush(5) == 0


def test_leaving_the_context_flushes(transport: FakeTransport) -> None:
    with Client("billing", connect=lambda: transport) as client:
        client.trace(PROMPT, "a", "m1")
    assert [type(event) for event in transport.sent] == [Trace]
    client.trace(PROMPT, "late", "m1")
    assert client.stats.dropped == {"buffer_full": 1}


def test_closing_with_events_left_says_so(transport: FakeTransport, caplog: pytest.LogCaptureFixture) -> None:
    transport.away = True
    client = Client("billing", connect=lambda: transport)
    client.trace(PROMPT, "a", "m1")
    assert client.close(0.3) == 1
    assert "1 events were not delivered" in caplog.text
    assert "the registry is away" in caplog.text


def test_many_threads_lose_nothing(transport: FakeTransport) -> None:
    client = Client("billing", connect=lambda: transport)
    threads = [threading.Thread(target=lambda: [client.appeal(f"t{i}") for i in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.close(10) == 0
    assert len(transport.sent) == client.stats.delivered == 1600
    assert {type(event) for event in transport.sent} == {Appeal}


def test_a_forked_child_starts_empty_and_on_its_own(transport: FakeTransport) -> None:
    transport.hold = True
    made = [FakeTransport(), transport]
    client = Client("billing", connect=made.pop, exit_timeout_s=0.0)
    client.trace(PROMPT, "of the parent", "m1")
    assert client.flush(0.1) == 1
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        before = client.stats
        client.trace(PROMPT, "of the child", "m1")
        left = client.flush(5)
        told = f"{before.accepted} {transport.abandoned} {left} {client.stats.delivered}"
        os.write(write, told.encode())
        os._exit(0)
    os.close(write)
    told = os.read(read, 100).decode()
    os.waitpid(child, 0)
    assert told == "0 True 0 1"
    transport.hold = False
    assert client.close(5) == 0
    assert len(transport.sent) == 1


@pytest.mark.parametrize(("application", "consent", "said"), [("", "training", "application is ''"), ("a", "yes", "expected 'none', 'review' or 'training'")])
def test_a_wrong_client_is_refused(application: str, consent: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Client(application, consent)


def test_warnings_come_once_per_interval(transport: FakeTransport, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    transport.trouble = "no broker answers"
    transport.hold = True
    client = Client("billing", connect=lambda: transport, exit_timeout_s=0.0)
    for _ in range(3):
        client.trace(PROMPT, "a", "m1")
        client.flush(0.2)
    eventually(lambda: "no broker answers" in caplog.text)
    assert client.flush(0.2) == 3
    assert caplog.text.count("no broker answers") == 1
    assert "waiting 1" in caplog.text
    transport.hold, transport.trouble = False, None
    client.close(5)
