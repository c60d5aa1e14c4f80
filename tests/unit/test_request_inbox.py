"""The inbox of requests with a consumer in its place: what is committed when, and what becomes of requests that move to another worker."""

from typing import Any

import pytest
from trueloop.trainers import request_inbox
from trueloop.trainers.request_inbox import RequestInbox

from trueloop.config import KafkaSettings


class Record:
    def __init__(self, offset: int, partition: int = 0) -> None:
        self.place = partition, offset

    def topic(self) -> str:
        return "training-requests"

    def partition(self) -> int:
        return self.place[0]

    def offset(self) -> int:
        return self.place[1]

    def error(self) -> None:
        return None


class FakeConsumer:
    """What librdkafka does as far as the inbox asks for it."""

    def __init__(self, _: Any) -> None:
        self.records = [Record(offset) for offset in range(5)]
        self.committed: list[int] = []
        self.is_paused = False

    def subscribe(self, _: Any, on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self.on_assign, self.on_revoke = on_assign, on_revoke

    def poll(self, _: float) -> Record | None:
        return self.records.pop(0) if self.records and not self.is_paused else None

    def pause(self, _: Any) -> None:
        self.is_paused = True

    def resume(self, _: Any) -> None:
        self.is_paused = False

    def commit(self, message: Record, asynchronous: bool) -> None:
        self.committed.append(message.offset())

    def incremental_assign(self, _: Any) -> None:
        pass

    def incremental_unassign(self, _: Any) -> None:
        pass


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(request_inbox, "Consumer", FakeConsumer)
    made: Any = RequestInbox(KafkaSettings(), lambda: None)
    made._consumer.on_assign(made._consumer, [request_inbox.TopicPartition("training-requests", 0)])
    return made


def test_an_offset_is_committed_when_those_before_it_are_done(inbox: Any) -> None:
    first, second, third = (inbox.next(0.0) for _ in range(3))
    inbox.done(second)
    assert inbox._consumer.committed == [], "the first is still in hand"
    inbox.done(first)
    assert inbox._consumer.committed == [1]
    inbox.done(third)
    assert inbox._consumer.committed == [1, 2]


def test_what_is_put_back_is_the_next_and_not_committed_past(inbox: Any) -> None:
    first = inbox.next(0.0)
    second = inbox.next(0.0)
    inbox.put_back(second)
    inbox.done(first)
    assert inbox._consumer.committed == [0]
    assert inbox.next(0.0) is second
    inbox.done(second)
    assert inbox._consumer.committed == [0, 1]


def test_nothing_is_taken_while_no_device_is_free(inbox: Any) -> None:
    inbox.keep_membership()
    assert inbox._consumer.is_paused
    assert inbox.next(0.0).offset() == 0


def test_a_request_that_moved_to_another_worker_is_not_committed_here(inbox: Any) -> None:
    first, second = inbox.next(0.0), inbox.next(0.0)
    inbox.put_back(second)
    inbox._consumer.on_revoke(inbox._consumer, [request_inbox.TopicPartition("training-requests", 0)])
    assert not inbox.holds(first)
    inbox.done(first)
    inbox.put_back(first)
    assert inbox._consumer.committed == []
    inbox._consumer.records = []
    assert inbox.next(0.0) is None, "what it had put back has gone with the partition"
