"""Streams between a hijacked connection and a program: both ways at once until one side ends."""

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
        InvalidRequest: the text has something that is no key.
    """
    try:
        return DetachKeys(parse_keys(text or DEFAULT_KEYS))
    except ValueError as error:
        raise InvalidRequest(f"invalid detach keys: {error}") from None


class Peer(Protocol):
    """A client that bytes are carried to and from. ``lost``: it is gone; ``read_all``: ``read`` has found the end."""

    lost: asyncio.Event
    read_all: asyncio.Event

    async def read(self) -> bytes:
        """The next bytes from the client; empty at the end."""

    async def write(self, fd: int, data: bytes) -> None:
        """``data`` of stream ``fd`` is on its way to the client. Raises: ConnectionError."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The streams that a client takes part in."""

    stdin: bool
    stdout: bool
    stderr: bool

    def takes(self, piece: Output) -> bool:
        """Whether the client wants ``piece``."""
        return self.stdout if piece.fd == 1 else self.stderr


@dataclass(frozen=True, slots=True)
class Input:
    """The destination of the client's input. ``close_at_end``: the client's end of input is the program's, too."""

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
    """A wait until the client is gone and its last bytes are read, if the program reads."""
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
    """The client's input, carried until the client detaches. Its end of input alone does not end the attachment."""
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
