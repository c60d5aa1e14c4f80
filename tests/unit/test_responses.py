"""Answers of a broker arrive whole, in their order, however the network cuts them."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaProtocol
from hypothesis import given
from hypothesis import strategies as st

from trueloop.adapters.faust_batch import responses
from trueloop.adapters.faust_batch.responses import DirectConnection, Responses


class Connection:
    """Keeps the answers that it is handed."""

    def __init__(self, refuse: Exception | None = None) -> None:
        self.answers: list[bytes] = []
        self._refuse = refuse

    def _handle_frame(self, answer: bytes) -> None:
        if self._refuse is not None:
            raise self._refuse
        self.answers.append(answer)


class Reader:
    """Keeps the error that it is told of."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def set_exception(self, error: Exception) -> None:
        self.error = error


def receiving(connection: Any, reader: Any = None) -> Responses:
    return Responses(connection, None, reader or Reader())  # type: ignore[arg-type]


def framed(answers: Sequence[bytes]) -> bytes:
    return b"".join(len(answer).to_bytes(4, "big") + answer for answer in answers)


def feed(into: Responses, data: bytes, sizes: Iterator[int]) -> None:
    """Do what an event loop does: write into the buffer that is offered, as much as came."""
    place = 0
    while place < len(data):
        room = into.get_buffer(-1)
        assert len(room) > 0
        some = data[place : place + min(len(room), next(sizes))]
        room[: len(some)] = some
        into.buffer_updated(len(some))
        place += len(some)


def endless(sizes: Sequence[int]) -> Iterator[int]:
    while True:
        yield from sizes


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=8), st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_answers_are_the_same_however_they_are_cut(answers: list[bytes], sizes: list[int]) -> None:
    connection = Connection()
    feed(receiving(connection), framed(answers), endless(sizes))
    assert connection.answers == answers


@pytest.mark.parametrize("size", [0, -1, -(2**31)])
def test_an_answer_of_no_size_ends_the_connection(size: int) -> None:
    reader = Reader()
    feed(receiving(Connection(), reader), size.to_bytes(4, "big", signed=True), endless([4]))
    assert isinstance(reader.error, ValueError)
    assert str(size) in str(reader.error)


def test_what_cannot_be_handled_ends_the_connection() -> None:
    reader, refused = Reader(), RuntimeError("no such request")
    connection = Connection(refused)
    feed(receiving(connection, reader), framed([b"answer"]), endless([100]))
    assert reader.error is refused


def test_a_buffer_beyond_bounds_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "KEPT_BYTES", 100)
    connection = Connection()
    into = receiving(connection)
    feed(into, framed([b"a" * 1000, b"b" * 10]), endless([64]))
    assert connection.answers == [b"a" * 1000, b"b" * 10]
    assert len(into._buffer) < 100


def test_a_connection_that_nobody_has_is_not_held() -> None:
    connection = Connection()
    into, gone = receiving(connection), weakref.ref(connection)
    del connection
    gc.collect()
    assert gone() is None
    feed(into, framed([b"too late"]), endless([5]))


@asynccontextmanager
async def connected(serve: Callable[[asyncio.StreamWriter], None]) -> AsyncIterator[tuple[Connection, asyncio.StreamReader]]:
    """A connection of aiokafka's protocol to a server, its answers received directly; aiokafka hears of its end."""
    loop = asyncio.get_running_loop()

    def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serve(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    closed: asyncio.Future[None] = loop.create_future()
    reader = asyncio.StreamReader(loop=loop)
    before = AIOKafkaProtocol(closed, reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: before, *server.sockets[0].getsockname())
    connection = Connection()
    transport.set_protocol(Responses(connection, before, reader))  # type: ignore[arg-type]
    try:
        yield connection, reader
    finally:
        transport.close()
        server.close()
        await asyncio.wait_for(closed, 10)


def test_a_socket_that_ends_is_noticed_by_who_waits_for_the_reader() -> None:
    answers = [b"first", b"x" * 3_000_000, b"last"]

    def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(framed(answers) + b"\0\0")
        writer.close()

    async def scenario() -> tuple[list[bytes], bool]:
        async with connected(serve) as (connection, reader):
            with pytest.raises(asyncio.IncompleteReadError):
                await asyncio.wait_for(reader.readexactly(4), 10)
            return connection.answers, reader.at_eof()

    assert asyncio.run(scenario()) == (answers, True)


def test_aiokafka_makes_connections_that_receive_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen while a connection waits for the answer to its first request."""
    monkeypatch.setattr(responses.conn, "AIOKafkaConnection", responses.conn.AIOKafkaConnection)
    responses.receive_directly()

    async def scenario() -> type[asyncio.BaseProtocol]:
        asked = asyncio.Event()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(4)
            asked.set()
            await reader.read()
            writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        connection = responses.conn.AIOKafkaConnection(host, port)
        connecting = asyncio.ensure_future(connection.connect())
        await asyncio.wait_for(asked.wait(), 10)
        found = type(connection._writer.transport.get_protocol())
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        server.close()
        assert isinstance(connection, DirectConnection)
        return found

    assert asyncio.run(scenario()) is Responses
