"""Connections that do not come to a request, and bodies that do not come to their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from hyper.api import connections
from hyper.api.connections import CONNECTIONS, Connections, begun
from hyper.api.http import errors

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Path]:
    """The socket of a server that answers with the length of each body."""

    async def measure(request: web.Request) -> web.StreamResponse:
        body = await request.app[CONNECTIONS].body(request)
        return web.Response(text=str(len(body)))

    app = web.Application(middlewares=[begun, errors])
    app[CONNECTIONS] = Connections()
    app.router.add_post("/", measure)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    made = app[CONNECTIONS].watched(runner.server)
    server = await asyncio.get_running_loop().create_unix_server(made, folder / "s")
    try:
        yield folder / "s"
    finally:
        server.close()
        await runner.cleanup()


@pytest.mark.parametrize("said", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_first_request_has_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Who has not sent a whole head by then is let go, without a word."""
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 0.05)
    async with serving(tmp_path) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(said)
        assert await reader.read() == b""
        writer.close()


async def test_a_request_that_came_in_time_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long its body takes after that: the first deadline is the head's alone."""
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 1.0)
    async with serving(tmp_path) as path:
        late, other = [await asyncio.open_unix_connection(path) for _ in range(2)]
        late[1].write(HEAD % 2 + b"a")
        assert await other[0].read() == b""  # by now its time is over
        late[1].write(b"b")
        assert (await late[0].readline()).startswith(b"HTTP/1.1 200 ")
        for _, writer in (late, other):
            writer.close()


async def test_a_body_has_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused in words, and what it had of the room for all is free again."""
    monkeypatch.setattr(connections, "BODY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(connections, "SMALL_BODY", 10)
    monkeypatch.setattr(connections, "MAX_BODIES", 30)
    async with serving(tmp_path) as path:
        for _ in range(3):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(HEAD % 100 + b"x" * 20)
            assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
            assert b"did not come to its end within" in await reader.readuntil(b"}")
            writer.close()


async def test_large_bodies_share_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes too late is told so; small ones need no room."""
    monkeypatch.setattr(connections, "SMALL_BODY", 10)
    monkeypatch.setattr(connections, "MAX_BODIES", 30)
    async with serving(tmp_path) as path:
        streams = [await asyncio.open_unix_connection(path) for _ in range(3)]
        small = streams.pop()
        answers = {}
        for reader, writer in streams:
            writer.write(HEAD % 26 + b"x" * 25)
            answers[asyncio.ensure_future(reader.readline())] = writer
        done, [kept] = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert (await done.pop()).startswith(b"HTTP/1.1 503 ")
        small[1].write(HEAD % 10 + b"x" * 10)
        assert (await small[0].readline()).startswith(b"HTTP/1.1 200 ")
        answers[kept].write(b"y")
        assert (await kept).startswith(b"HTTP/1.1 200 ")
        for _, writer in (*streams, small):
            writer.close()
