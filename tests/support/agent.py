"""The guest's agent as a stand-in at the other end of a session's stream."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from hyper.errors import HyperError, MachineError
from hyper.guest.process import GuestProcess
from hyper.guest.session import Connect, P, Session
from hyper.proto.frame import Frame, FrameDecoder, encode_data
from hyper.proto.message import GuestHello, HostHello, encode_hello, stream_id

DEADLINE_S = 20.0
#: The number of the main process.
MAIN = 1


class Guest:
    """The other end of the stream. What it says is up to the test."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []
        self.nonce = b""

    async def next(self) -> Frame:
        """The next frame the host sent."""
        while not self._frames:
            data = await asyncio.get_running_loop().sock_recv(self._sock, 65536)
            assert data, "the host hung up"
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    async def say(self, data: bytes) -> None:
        """``data`` is written; a host that hung up meanwhile is none of our business."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._sock, data)
        except ConnectionError:
            return

    async def hear_hello(self) -> None:
        """The host's HELLO was read."""
        self.nonce = HostHello.decode((await self.next()).body).nonce

    def hello(self, **changes: object) -> bytes:
        """Our HELLO as it should be, but for ``changes``."""
        fields = {"nonce": self.nonce, "boot_ns": 1, "agent": "stand-in", **changes}
        return encode_hello(GuestHello(**fields))  # type: ignore[arg-type]

    async def hung_up(self) -> None:
        """The host has closed the connection."""
        while await asyncio.get_running_loop().sock_recv(self._sock, 65536):
            pass

    def hang_up(self) -> None:
        """Our end is closed."""
        self._sock.close()


def over(sock: socket.socket) -> Connect:
    """The way to an agent that is at the other end of ``sock``, once."""

    async def connect(make: Callable[[], P], /) -> P:
        _, protocol = await asyncio.get_running_loop().create_connection(make, sock=sock)
        return protocol

    return connect


@asynccontextmanager
async def talk(*, resync: bool = False) -> AsyncIterator[tuple[Session, Guest]]:
    """A session and its guest before HELLO."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    async with asyncio.timeout(DEADLINE_S):
        session = await Session.open(over(ours), resync=resync)
        guest = Guest(theirs)
        try:
            yield session, guest
        finally:
            session.abort(MachineError("the test is over"))
            theirs.close()
            await asyncio.sleep(0)  # the transport closes its socket in the next round


@asynccontextmanager
async def met() -> AsyncIterator[tuple[Session, Guest, GuestProcess]]:
    """The same after HELLO, with a process."""
    async with talk() as (session, guest):
        await guest.hear_hello()
        await guest.say(guest.hello())
        await session.meet(timeout_s=DEADLINE_S)
        yield session, guest, session.process(MAIN, tty=False)


async def failure(session: Session) -> HyperError:
    """Why the session ended."""
    return await asyncio.shield(session.closed)


def data(
    offset: int, payload: bytes, *, fd: int = 1, process: int = MAIN, fin: bool = False
) -> bytes:
    """A DATA frame of a process's stream."""
    return encode_data(stream_id(process, fd), offset, payload, fin=fin)
