"""Offsets when brokers are lost: an answer that is none is asked for again, of a new client."""

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from trueloop.adapters import log_positions
from trueloop.adapters.log_positions import LogPositions
from trueloop.config import KafkaSettings
from trueloop.errors import UnavailableError

Answer = Callable[[TopicPartition], "Future[Any]"]


def told(offset: int) -> Answer:
    return lambda _: _done(lambda future: future.set_result(SimpleNamespace(offset=offset)))


def refused(code: int) -> Answer:
    return lambda _: _done(lambda future: future.set_exception(KafkaException(KafkaError(code))))


def hung(_: TopicPartition) -> "Future[Any]":
    return Future()


def _done(how: Callable[["Future[Any]"], None]) -> "Future[Any]":
    future: Future[Any] = Future()
    how(future)
    return future


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """What each new client answers, in their order; the last one goes on answering."""
    answers: list[Answer] = []

    class Client:
        def __init__(self, _config: Any) -> None:
            self._answer = answers.pop(0) if len(answers) > 1 else answers[0]

        def list_offsets(self, asked: Any, **_: Any) -> dict[TopicPartition, "Future[Any]"]:
            return {place: self._answer(place) for place in asked}

    monkeypatch.setattr(log_positions, "AdminClient", Client)
    monkeypatch.setattr(log_positions, "REQUEST_S", 0.01)
    monkeypatch.setattr(log_positions, "RETRY_S", 0.001)
    return answers


ASKED = [("traces", 0), ("traces", 1)]


@pytest.mark.parametrize("first", [told(OFFSET_INVALID), hung, refused(KafkaError.FENCED_LEADER_EPOCH), refused(KafkaError._TIMED_OUT)])
def test_what_a_lost_leader_did_not_answer_is_asked_of_a_new_client(clients: list[Answer], first: Answer) -> None:
    clients += [first, told(7)]
    assert LogPositions(KafkaSettings()).ends(ASKED) == {("traces", 0): 7, ("traces", 1): 7}
    assert len(clients) == 1


@pytest.mark.parametrize(("answer", "said"), [(told(OFFSET_INVALID), "its leader does not answer"), (hung, "no answer within")])
def test_it_gives_up_and_says_so(clients: list[Answer], monkeypatch: pytest.MonkeyPatch, answer: Answer, said: str) -> None:
    monkeypatch.setattr(log_positions, "TIMEOUT_S", 0.05)
    clients.append(answer)
    with pytest.raises(UnavailableError, match=rf"tells no offsets of 'traces': {said}.*doctor"):
        LogPositions(KafkaSettings()).ends(ASKED)


def test_a_refusal_that_does_not_pass_is_told_at_once(clients: list[Answer]) -> None:
    clients += [refused(KafkaError.TOPIC_AUTHORIZATION_FAILED), told(7)]
    with pytest.raises(UnavailableError, match="tells no offsets of 'traces'"):
        LogPositions(KafkaSettings()).ends(ASKED)
