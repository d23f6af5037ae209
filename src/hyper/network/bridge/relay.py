"""Ports published on IPv6 addresses of the host: led to machines' IPv4 addresses by this process.

The packet filter translates addresses of one family only, so what comes by IPv6 is carried on: streams in both
directions with their ends, datagrams by a socket for each client, for as long as the two have something to say. Callers
look to the machine like the host, as with docker-proxy. Clients of one port are bounded, and what waits for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from hyper.errors import HyperError

logger = logging.getLogger(__name__)

#: Clients of one port at a time; more are turned away.
MAX_CLIENTS: Final = 1024
#: A datagrams' client that is silent for so long is forgotten, as by docker-proxy.
UDP_IDLE_S: Final = 90.0
_CONNECT_TIMEOUT_S: Final = 10.0
_PIECE: Final = 65536
#: Answers in a row to one client before others have their turn, and bytes of answers that may wait for all of them.
_ANSWERS: Final = 16
_MAX_WAITING: Final = 1 << 20

#: Where a port leads now, address and port; None: nowhere.
Target = Callable[[], tuple[str, int] | None]
Address = tuple[Any, ...]


class Relay6:
    """The relay of one socket: what comes to it is led on. ``open`` it, and ``close`` it, which ends what it leads."""

    def __init__(self, sock: socket.socket, target: Target) -> None:
        self._sock = sock
        self._target = target
        self._server: asyncio.Server | None = None
        self._datagrams: _Datagrams | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """The relay leads on what comes. The socket is its own from now on."""
        self._sock.setblocking(False)
        if self._sock.type == socket.SOCK_STREAM:
            self._server = await asyncio.start_server(self._serve, sock=self._sock, limit=_PIECE)
            return
        self._datagrams = _Datagrams(self._target)
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(
            lambda: cast(_Datagrams, self._datagrams), sock=self._sock
        )

    def close(self) -> None:
        """The relay has ended: nothing comes any more, nor is anything led on. Repeatable."""
        if self._server is not None:
            self._server.close()
        if self._datagrams is not None:
            self._datagrams.close()
        for task in self._tasks:
            task.cancel()
        self._sock.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        target = self._target()
        if target is None or len(self._tasks) >= MAX_CLIENTS:
            writer.transport.abort()
            return
        self._tasks.add(task)
        try:
            await _lead(reader, writer, target)
        except (OSError, TimeoutError, HyperError) as error:
            logger.debug("a client by IPv6 was not led to %s: %s", target, error)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


async def _lead(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: tuple[str, int]
) -> None:
    """The connection is over: both sides have sent all and closed. Raises: OSError, TimeoutError."""
    async with asyncio.timeout(_CONNECT_TIMEOUT_S):
        inner_reader, inner_writer = await asyncio.open_connection(*target, limit=_PIECE)
    try:
        for side in (writer, inner_writer):
            # A side that is gone without a word is found out about.
            sock = side.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await _together(_carry(reader, inner_writer), _carry(inner_reader, writer))
        for side in (writer, inner_writer):
            side.close()
            await side.wait_closed()
    finally:
        inner_writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The stream's bytes up to its end, and the end, are carried from ``reader`` to ``writer``."""
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
    writer.write_eof()


async def _together(*works: Coroutine[Any, Any, None]) -> None:
    """The works are all done; if one fails the others are ended. Raises what it raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Datagrams(asyncio.DatagramProtocol):
    """The clients of a port for datagrams."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._transport: asyncio.DatagramTransport | None = None
        self._talks: dict[Address, _Talk] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own class is no subclass of what it implements.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        talk = self._talks.get(addr) or self._begin(addr)
        if talk is not None:
            talk.say(data)

    def error_received(self, exc: Exception) -> None:
        """An error of a client that is gone: nothing to do."""

    def _begin(self, addr: Address) -> _Talk | None:
        target = self._target()
        if target is None or self._transport is None or len(self._talks) >= MAX_CLIENTS:
            return None
        try:
            talk = _Talk(self._transport, addr, target, lambda: self._talks.pop(addr, None))
        except OSError as error:
            logger.debug("a client by IPv6 was not led to %s: %s", target, error)
            return None
        self._talks[addr] = talk
        return talk

    def close(self) -> None:
        for talk in list(self._talks.values()):
            talk.end()
        if self._transport is not None:
            self._transport.close()


class _Talk:
    """The socket between one client and the machine, of its own so that answers find back. Raises: OSError."""

    def __init__(
        self,
        outer: asyncio.DatagramTransport,
        client: Address,
        target: tuple[str, int],
        ended: Callable[[], object],
    ) -> None:
        self._outer, self._client, self._ended = outer, client, ended
        self._loop = asyncio.get_running_loop()
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._sock.setblocking(False)
            self._sock.connect(target)
        except BaseException:
            self._sock.close()
            raise
        self._last = self._loop.time()
        self._timer = self._loop.call_later(UDP_IDLE_S, self._look)
        self._loop.add_reader(self._sock, self._heard)

    def say(self, data: bytes) -> None:
        """The machine is sent ``data``; it may be lost, as datagrams may."""
        self._last = self._loop.time()
        with contextlib.suppress(OSError):
            self._sock.send(data)

    def _heard(self) -> None:
        with contextlib.suppress(
            OSError
        ):  # nothing more, or a refusal: the client finds out by silence
            for _ in range(_ANSWERS):
                data = self._sock.recv(_PIECE)
                self._last = self._loop.time()
                # (typeshed forgets that this transport has it, too.)
                if self._outer.get_write_buffer_size() < _MAX_WAITING:  # type: ignore[attr-defined]
                    self._outer.sendto(data, self._client)

    def _look(self) -> None:
        left_s = self._last + UDP_IDLE_S - self._loop.time()
        if left_s <= 0:
            self.end()
        else:
            self._timer = self._loop.call_later(left_s, self._look)

    def end(self) -> None:
        """The talk has ended: nothing is led to or fro any more."""
        self._timer.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        self._ended()
