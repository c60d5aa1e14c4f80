"""A connection whose answers are received where they are needed, and not gathered piece by piece."""

import asyncio
import weakref
from typing import Any

from aiokafka import conn

_SIZE_BYTES = 4
KEPT_BYTES = 24 * 1024 * 1024
"""A buffer that is larger is not kept for the next answer: more than four partitions are asked for at once, and each connection of each app has one."""


class Responses(asyncio.BufferedProtocol):
    """Receives answers of a known size straight into one buffer, which the next answer uses again.

    aiokafka's own stream reader takes 128 KiB, stops the socket, wakes a task that finds too little, starts the socket again, and copies each piece
    twice: a sixth of what reading a trace costs. Whatever is not data goes to the protocol that was there before, so connections end as they did.
    """

    def __init__(self, connection: conn.AIOKafkaConnection, before: asyncio.StreamReaderProtocol, reader: asyncio.StreamReader) -> None:
        # aiokafka closes connections that nobody refers to any more.
        self._connection = weakref.ref(connection)
        self._before = before
        self._reader = reader
        self._buffer = bytearray(_SIZE_BYTES)
        self._wanted, self._have, self._knows_size = _SIZE_BYTES, 0, False

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes belong."""
        return memoryview(self._buffer)[self._have : self._wanted]

    def buffer_updated(self, nbytes: int) -> None:
        """Take note of bytes, and hand on the answer when it is complete."""
        self._have += nbytes
        if self._have < self._wanted:
            return
        try:
            if self._knows_size:
                self._hand_on()
            else:
                self._expect(int.from_bytes(self._buffer[:_SIZE_BYTES], "big", signed=True))
        except Exception as error:
            # Whoever waits for the reader closes the connection, as for any other error of it.
            self._reader.set_exception(error)

    def _expect(self, size: int) -> None:
        if size <= 0:
            raise ValueError(f"the broker announces an answer of {size} bytes; expected at least 1")
        if len(self._buffer) < size or len(self._buffer) > KEPT_BYTES:
            self._buffer = bytearray(max(size, _SIZE_BYTES))
        self._wanted, self._have, self._knows_size = size, 0, True

    def _hand_on(self) -> None:
        size = self._wanted
        self._wanted, self._have, self._knows_size = _SIZE_BYTES, 0, False
        connection = self._connection()
        if connection is not None:
            connection._handle_frame(bytes(memoryview(self._buffer)[:size]))

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._before.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._before.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._before.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._before.resume_writing()


class DirectConnection(conn.AIOKafkaConnection):  # type: ignore[misc]
    """aiokafka's connection, with answers received directly."""

    def _create_reader_task(self) -> Any:
        # Nothing was asked yet, so nothing was answered that the reader could hold.
        self._writer.transport.set_protocol(Responses(self, self._protocol, self._reader))
        return super()._create_reader_task()


def receive_directly() -> None:
    """Have the clients of this process receive answers directly. aiokafka has no setting for it: `create_conn` names the class."""
    conn.AIOKafkaConnection = DirectConnection
