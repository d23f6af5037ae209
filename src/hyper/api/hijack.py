"""Attach and exec: the HTTP connection becomes a raw, duplex, half-closable stream.

aiohttp ends a connection when the client half-closes it, so the transport is given to a
protocol of our own once the head is written. The old protocol is told when the
connection is lost: the server counts on that.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from aiohttp import web

from hyper.api.http import Unanswered, asked_version
from hyper.proto.docker_stream import encode_piece
from hyper.system import socket as sockets

RAW: Final = "application/vnd.docker.raw-stream"
_MULTIPLEXED: Final = "application/vnd.docker.multiplexed-stream"
#: Before, clients had to know it from the container.
_TOLD_SINCE: Final = (1, 42)
_READ_SIZE: Final = 64 * 1024
#: How long what follows the head waits for the client to have read that, however busy the machine is. Only one that
#: writes all it has before it reads anything waits in vain.
_HEAD_TIMEOUT_S: Final = 5.0
#: How often it looks: most have read at once, and one that takes its time shall not cost any.
_HEAD_POLLS_S: Final = (0.0005, 0.02)


class _Tail:
    """Collector of bytes that the client sent right after its request's head (aiohttp keeps them for a parser)."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """The end of input, part of the parser interface; nothing is done, for the tail has no end of its own."""


class _Protocol(asyncio.StreamReaderProtocol):
    """A protocol with streams for the handler, that tells the HTTP server of the connection's end."""

    def __init__(self, reader: asyncio.StreamReader, old: asyncio.BaseProtocol) -> None:
        super().__init__(reader)
        self._old = old
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._old.connection_lost(exc)
        self.lost.set()


class Hijacked(Unanswered):
    """The response that a handler returns after it has used the connection itself."""


class Connection:
    """A hijacked connection. ``multiplexed``: pieces are written with Docker's 8-byte headers."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event
    ) -> None:
        self._reader = reader
        self._writer = writer
        self.lost = lost
        self.multiplexed = False
        #: Set once ``read`` has found the end.
        self.read_all = asyncio.Event()
        self._head_is_read = False

    async def read(self) -> bytes:
        """The next bytes from the client; empty once it has closed its half (or all)."""
        try:
            data = await self._reader.read(_READ_SIZE)
        except ConnectionError:
            data = b""
        if not data:
            self.read_all.set()
        return data

    async def write(self, fd: int, data: bytes) -> None:
        """``data`` of stream ``fd`` is on its way to the client; waits while the client does not read.

        Raises:
            ConnectionError: the client is gone.
        """
        if not self._head_is_read:
            await self._let_head_be_read()
        self._writer.write(encode_piece(fd, data) if self.multiplexed else data)
        await self._writer.drain()

    async def _let_head_be_read(self) -> None:
        """The head has been read by the client where that can be seen (unix sockets), or enough time has passed.

        Nothing is sent before: docker-py reads the head through a buffer, which it discards with what came along.
        """
        self._head_is_read = True
        plain = self._writer.get_extra_info("socket")
        loop = asyncio.get_running_loop()
        until = loop.time() + _HEAD_TIMEOUT_S

        def has_to_wait() -> bool:
            return not self.lost.is_set() and sockets.unread(plain) and loop.time() < until

        pause, longest = _HEAD_POLLS_S
        while has_to_wait():  # nothing tells
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)


@asynccontextmanager
async def hijack(request: web.Request, *, tty: bool) -> AsyncIterator[Connection]:
    """The request's connection, with the head of the answer written; closed at the end.

    Clients that ask for an upgrade get 101, the others 200 and raw bytes.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    tail = _Tail()
    request.protocol.set_parser(tail)  # type: ignore[arg-type]  # typed for its websockets only
    transport.write(_head(request, media_type(request, tty=tty)))
    reader = asyncio.StreamReader(limit=2 * _READ_SIZE)
    protocol = _Protocol(reader, request.protocol)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    if tail.data:
        reader.feed_data(tail.data)
    if not transport.is_reading():
        transport.resume_reading()
    loop = asyncio.get_running_loop()
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    connection = Connection(reader, writer, protocol.lost)
    connection.multiplexed = not tty
    try:
        with _hang_up(transport, protocol.lost):
            yield connection
    finally:
        writer.close()


@contextmanager
def _hang_up(transport: asyncio.Transport, lost: asyncio.Event) -> Iterator[None]:
    """A watch that sets ``lost`` once the client has closed both halves, also while nothing is read or written.

    asyncio does not look at a connection whose reading half is closed or paused until there is something to write. Most
    clients close their half at once, and would never be missed if they died while the program is silent. An epoll
    set is itself a descriptor that can be waited for, and always tells of a hang-up.
    """
    loop = asyncio.get_running_loop()
    watch = select.epoll()
    try:
        watch.register(transport.get_extra_info("socket").fileno(), 0)
        loop.add_reader(watch.fileno(), _hung_up, loop, watch, lost)
        yield
    finally:
        if not watch.closed:
            loop.remove_reader(watch.fileno())
            watch.close()


def _hung_up(loop: asyncio.AbstractEventLoop, watch: select.epoll, lost: asyncio.Event) -> None:
    lost.set()
    loop.remove_reader(watch.fileno())
    watch.close()


def media_type(request: web.Request, *, tty: bool) -> str:
    """The media type by which the client has to read a stream, among those that its version knows."""
    return RAW if tty or asked_version(request) < _TOLD_SINCE else _MULTIPLEXED


def _head(request: web.Request, content_type: str) -> bytes:
    upgrade = request.headers.get("Upgrade")
    lines = [f"Content-Type: {content_type}"]
    if upgrade:
        to = "h2c" if upgrade.lower() == "h2c" else "tcp"
        lines = ["HTTP/1.1 101 UPGRADED", *lines, "Connection: Upgrade", f"Upgrade: {to}"]
    else:
        lines = ["HTTP/1.1 200 OK", *lines]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
