"""A forward proxy as companies have them: CONNECT and absolute URLs, with a password if wanted."""

from __future__ import annotations

import asyncio
import base64
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.support.registry import request_head

_CHUNK = 1 << 16
_End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ForwardProxy:
    """Serves in-process. ``hosts``: where each host[:port] really is, as (address, port); others: 502.

    It resolves names by itself, so that they need not exist for whoever asks.
    """

    def __init__(
        self,
        hosts: dict[str, str],
        *,
        login: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.hosts = hosts
        self._tls = tls
        self._login = login
        #: What was asked for, in order: ("CONNECT", "host:port") or ("GET", URL).
        self.asked: list[tuple[str, str]] = []
        self._server: asyncio.Server | None = None
        self._busy: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """``127.0.0.1:port``."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> ForwardProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._busy:
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            head = await request_head(reader)
            if head is not None:
                await self._relay(*head, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._busy.discard(task)

    async def _relay(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.asked.append((method, target))
        host = target if method == "CONNECT" else urlsplit(target).netloc
        if self._login is not None and not self._is_known(headers):
            writer.write(
                b"HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
            )
        elif host.removesuffix(":443") not in self.hosts:
            writer.write(b"HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n")
        else:
            address, _, port = self.hosts[host.removesuffix(":443")].rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(address, int(port))
            try:
                await self._join(
                    method, target, headers, (reader, writer), (far_reader, far_writer)
                )
            finally:
                far_writer.close()
        await writer.drain()

    async def _join(
        self, method: str, target: str, headers: dict[str, str], near: _End, far: _End
    ) -> None:
        """What the near end says after its head goes to the far end, and back, until both have ended."""
        if method == "CONNECT":
            near[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            parts = urlsplit(target)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            far[1].write(_plain_head(method, path, parts.netloc, headers))
        await asyncio.gather(_copy(near[0], far[1]), _copy(far[0], near[1]))

    def _is_known(self, headers: dict[str, str]) -> bool:
        assert self._login is not None
        right = "Basic " + base64.b64encode(self._login.encode()).decode()
        return headers.get("proxy-authorization") == right


@contextmanager
def forward_proxy(hosts: dict[str, str]) -> Iterator[ForwardProxy]:
    """One that serves from a thread of its own, for tests that are not asynchronous."""
    ready, over = threading.Event(), asyncio.Event()
    made: list[tuple[ForwardProxy, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with ForwardProxy(hosts) as proxy:
            made.append((proxy, asyncio.get_running_loop()))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        ready.wait()
        yield made[0][0]
    finally:
        made[0][1].call_soon_threadsafe(over.set)
        thread.join()


def _plain_head(method: str, path: str, host: str, headers: dict[str, str]) -> bytes:
    kept = {name: text for name, text in headers.items() if not name.startswith("proxy-")}
    kept |= {"host": host, "connection": "close"}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {text}" for name, text in kept.items())]
    return "\r\n".join([*lines, "", ""]).encode()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the one end closes; then the other's writing end is closed."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()
        else:
            writer.close()
    except OSError:  # the other end is gone
        writer.close()
