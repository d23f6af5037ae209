"""Connections of clients that do not finish requests: each has a deadline, all together have a bound on memory.

A request's head is to come soon after its connection; a JSON body soon after its head. Bodies that are kept whole share
a bound, of which small ones need nothing: a client that sends large ones without end keeps no other client from an
ordinary request.
Streams (archives, attached programs) are not kept, and may take their time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.http import HttpProcessingError

from hyper.errors import InvalidRequest, Unavailable
from hyper.units import MIB

#: How long a connection may be without a whole request's head, from its beginning or after the last answer.
HEAD_TIMEOUT_S: Final = 60.0
IDLE_TIMEOUT_S: Final = 300.0
#: The largest body that is kept whole, and how long it may take.
MAX_BODY: Final = 4 * MIB
BODY_TIMEOUT_S: Final = 60.0
#: Bytes of bodies that are being read, all together; up to the second number a body needs no room of that.
MAX_BODIES: Final = 64 * MIB
SMALL_BODY: Final = 64 * 1024
#: Of what a malformed request is about, in the log.
_MAX_SHOWN: Final = 120


class Connections:
    """The connections whose first request has not come yet, and the memory that unfinished bodies take."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        self._bodies = 0

    def watched(self, server: web.Server) -> Callable[[], asyncio.BaseProtocol]:
        """A factory of protocols for ``server``'s connections, each with the deadline of its first request's head."""

        def make() -> asyncio.BaseProtocol:
            handler = server()
            loop = asyncio.get_running_loop()
            self._waiting[handler] = loop.call_later(HEAD_TIMEOUT_S, self._give_up, handler)
            return handler

        return make

    def _give_up(self, handler: web.RequestHandler) -> None:
        del self._waiting[handler]
        handler.force_close()

    def begun(self, request: web.Request) -> None:
        """A request's head has come: its connection's deadline is over."""
        timer = self._waiting.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()

    async def body(self, request: web.Request) -> bytes:
        """The whole body of a request.

        Raises:
            InvalidRequest: it is too large, or does not come to its end in time.
            Unavailable: too many large bodies are being read.
        """
        held = _Room(self)
        data = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                async for piece in request.content.iter_any():
                    data += piece
                    if len(data) > MAX_BODY:
                        raise InvalidRequest(f"the request's body is larger than {MAX_BODY} bytes")
                    held.grow(len(data))
        except TimeoutError:
            raise InvalidRequest(
                f"the request's body did not come to its end within {BODY_TIMEOUT_S:g} s"
            ) from None
        finally:
            held.free()
        return bytes(data)

    def take(self, count: int) -> None:
        """``count`` more bytes of bodies are kept. Raises: Unavailable: more than the bound."""
        if self._bodies + count > MAX_BODIES:
            raise Unavailable("too many large requests are under way: try again in a moment")
        self._bodies += count

    def give_back(self, count: int) -> None:
        """``count`` bytes of bodies are not kept any more."""
        self._bodies -= count


class _Room:
    """One body's part of the memory for all bodies."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._held = 0

    def grow(self, size: int) -> None:
        """The body has this size now. Raises: Unavailable."""
        wanted = size if size > SMALL_BODY else 0
        self._connections.take(wanted - self._held)
        self._held = wanted

    def free(self) -> None:
        """The body has been read, or given up: it takes no memory."""
        self._connections.give_back(self._held)
        self._held = 0


CONNECTIONS: Final = web.AppKey("connections", Connections)


@web.middleware
async def begun(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Middleware that ends the wait for a connection's first request."""
    request.app[CONNECTIONS].begun(request)
    return await handler(request)


class _OneLine(logging.Filter):
    """A filter of the log: a malformed request is a warning of one line, without the trace of a failure of hyperd."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            what = error.message.partition("\n")[0].strip()[:_MAX_SHOWN]
            record.msg, record.args = "a malformed request was refused: %r", (what,)
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.exc_info = None
        return True


def logger() -> logging.Logger:
    """The logger that the HTTP server writes to."""
    made = logging.getLogger(f"{__name__}.server")
    if not made.filters:
        made.addFilter(_OneLine())
    return made
