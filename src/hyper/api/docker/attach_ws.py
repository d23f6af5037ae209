"""GET /containers/{id}/attach/ws: attach through a WebSocket.

Output comes as binary messages (text before API 1.28), both streams in one; what the client sends is standard input. A
WebSocket has no half-close: the client's close ends its input, and the attachment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import WSMsgType, web

from hyper.api.http import asked_version
from hyper.errors import InvalidRequest

#: The largest message taken; messages waiting for a program that does not read.
_MAX_MESSAGE: Final = 1024 * 1024
_BACKLOG: Final = 16
_BINARY_SINCE: Final = (1, 28)


class WebSocketPeer:
    """A client at the other end of a WebSocket: what ``streams.join`` carries bytes to and from."""

    def __init__(self, socket: web.WebSocketResponse, *, binary: bool, listens: bool) -> None:
        self._socket = socket
        self._binary = binary
        self._listens = listens
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue(_BACKLOG)
        self.lost = asyncio.Event()
        self.read_all = asyncio.Event()

    async def read(self) -> bytes:
        """The next bytes from the client; empty once it has closed."""
        data = await self._arrived.get()
        if not data:
            self.read_all.set()
        return data

    async def write(self, fd: int, data: bytes) -> None:
        """``data`` is on its way to the client. Raises: ConnectionError when the client is gone."""
        if self._binary:
            await self._socket.send_bytes(data)
        else:
            await self._socket.send_str(data.decode(errors="replace"))

    async def receive_all(self) -> None:
        """Receive the client's messages until it closes."""
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._take(message.data.encode(errors="surrogatepass"))
                elif message.type is WSMsgType.BINARY:
                    await self._take(bytes(message.data))
        finally:
            self.lost.set()
        await self._arrived.put(b"")

    async def _take(self, data: bytes) -> None:
        if data and self._listens:
            await self._arrived.put(data)


def _protocols(request: web.Request) -> tuple[str, ...]:
    """The subprotocols that the client offers; the first is agreed to whatever its name, as in dockerd."""
    asked = request.headers.get("Sec-WebSocket-Protocol", "")
    return tuple(word for part in asked.split(",") if (word := part.strip()))


@asynccontextmanager
async def accept(
    request: web.Request, *, listens: bool
) -> AsyncIterator[tuple[web.WebSocketResponse, WebSocketPeer]]:
    """The answer and the client behind it; closed at the end. ``listens``: the client's messages are wanted.

    Raises:
        InvalidRequest: the request is no WebSocket's.
    """
    socket = web.WebSocketResponse(max_msg_size=_MAX_MESSAGE, protocols=_protocols(request))
    if not socket.can_prepare(request).ok:
        raise InvalidRequest("not websocket protocol")
    try:
        await socket.prepare(request)
    except web.HTTPBadRequest as error:
        raise InvalidRequest(f"not websocket protocol: {error.text}") from None
    peer = WebSocketPeer(socket, binary=asked_version(request) >= _BINARY_SINCE, listens=listens)
    receiver = asyncio.create_task(peer.receive_all())
    try:
        yield socket, peer
    finally:
        receiver.cancel()
        await asyncio.gather(receiver, return_exceptions=True)
        with contextlib.suppress(ConnectionError):
            await socket.close()
