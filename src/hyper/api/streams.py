"""Between a hijacked connection and a program: both ways at once until one side has had enough."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from hyper.errors import HyperError, InvalidRequest
from hyper.guest.process import GuestProcess, Output
from hyper.proto.detach import DEFAULT_KEYS, DetachKeys, parse_keys

#: How long a program may take to read what a client sent before it went away.
_LAST_WORDS_S: Final = 10.0


def detach_keys(text: str) -> DetachKeys:
    """A watch for the sequence a client asked for; empty text is Docker's default.

    Raises:
        InvalidRequest: not a key.
    """
    try:
        return DetachKeys(parse_keys(text or DEFAULT_KEYS))
    except ValueError as error:
        raise InvalidRequest(f"invalid detach keys: {error}") from None


class Peer(Protocol):
    """A client bytes are carried to and from. ``lost``: it is gone; ``read_all``: ``read`` has found the end."""

    lost: asyncio.Event
    read_all: asyncio.Event

    async def read(self) -> bytes:
        """The next bytes from it; empty at the end."""

    async def write(self, fd: int, data: bytes) -> None:
        """``data`` of stream ``fd`` is on its way. Raises: ConnectionError."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams a client takes part in."""

    stdin: bool
    stdout: bool
    stderr: bool

    def takes(self, piece: Output) -> bool:
        """Whether the client wants ``piece``."""
        return self.stdout if piece.fd == 1 else self.stderr


@dataclass(frozen=True, slots=True)
class Input:
    """Where what the client sends goes. ``close_at_end``: its end of input is the program's."""

    program: Callable[[], Awaitable[GuestProcess]]
    close_at_end: bool
    escape: DetachKeys | None


async def join(
    connection: Peer, pieces: AsyncIterable[Output], wanted: Wanted, source: Input
) -> None:
    """Carry bytes until the program's output has ended, the client has gone, or it has detached."""
    tasks = [
        asyncio.create_task(_outward(connection, pieces, wanted)),
        asyncio.create_task(_gone(connection, wanted)),
    ]
    if wanted.stdin:
        tasks.append(asyncio.create_task(_inward(connection, source)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _gone(connection: Peer, wanted: Wanted) -> None:
    """Returns when the client is gone and what it had sent is read, if the program reads."""
    await connection.lost.wait()
    if wanted.stdin:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await connection.read_all.wait()


async def _outward(connection: Peer, pieces: AsyncIterable[Output], wanted: Wanted) -> None:
    try:
        async for piece in pieces:
            if wanted.takes(piece):
                await connection.write(piece.fd, piece.data)
    except ConnectionError:
        return


async def _inward(connection: Peer, source: Input) -> None:
    """Returns when the client detaches. Its end of input alone is no reason to stop listening."""
    while data := await connection.read():
        detached = False
        if source.escape is not None:
            data, detached = source.escape.feed(data)
        try:
            program = await source.program()
            await program.write(data)
        except HyperError:
            break  # the program has gone: its output's end says so
        if detached:
            return
    if source.close_at_end:
        (await source.program()).close_stdin()
    await asyncio.Event().wait()
