"""A process of the guest, seen from the host: its output, its standard input, its end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from hyper.guest.carrier import Carrier
from hyper.proto.frame import encode_ack, encode_carried, encode_data
from hyper.proto.limits import CARRIER_BLOCK, CARRIER_WINDOW, MAX_DATA, WINDOW
from hyper.proto.message import ProcessExit, stream_id
from hyper.proto.stream import Chunk, ReceiveWindow, SendWindow

STDIN, STDOUT, STDERR = 0, 1, 2

#: A piece that is worth a request to a disk.
CARRIED_LEAST: Final = 64 * 1024
#: While so much is in flight it is better to gather a whole block: the guest acknowledges all that the program takes.
GATHER: Final = 96 * 1024


@dataclass(frozen=True, slots=True)
class Output:
    """The output of a program: bytes it wrote to ``fd`` (1 or 2). They stay with the guest until ``taken``."""

    fd: int
    data: bytes


class _Inbox:
    """The inbox of a program's output that is not taken yet, in order of arrival.

    A guest may send a window byte by byte, and each piece has its price: where many wait, what comes joins the last
    piece of its own stream.
    """

    _MANY = 256
    _JOINED = 32 * 1024

    def __init__(self) -> None:
        self._pieces: deque[tuple[int, bytes | bytearray]] = deque()
        #: The last piece of a stream, while it may grow.
        self._last: dict[int, bytearray] = {}
        self._stirred = asyncio.Event()

    def __len__(self) -> int:
        return len(self._pieces)

    def put(self, fd: int, data: bytes) -> None:
        """The bytes ``data`` of stream ``fd`` have come."""
        last = self._last.pop(fd, None)
        if len(self._pieces) < self._MANY or len(data) >= self._JOINED:
            self._pieces.append((fd, data))
        elif last is not None and len(last) < self._JOINED:
            last += data
            self._last[fd] = last
        else:
            self._last[fd] = joined = bytearray(data)
            self._pieces.append((fd, joined))
        self._stirred.set()

    def take(self) -> Output:
        """The oldest piece in the inbox, which must not be empty."""
        fd, data = self._pieces.popleft()
        if self._last.get(fd) is data:
            del self._last[fd]
        return Output(fd, bytes(data))

    def stir(self) -> None:
        """The waiting task looks again."""
        self._stirred.set()

    async def wait(self) -> None:
        """Return when a piece has come, or the inbox was stirred, since the last time."""
        await self._stirred.wait()
        self._stirred.clear()


class Link(Protocol):
    """The link to the guest. ``carrier``: what takes large pieces, if there is one now."""

    carrier: Carrier | None

    def send(self, data: bytes) -> None:
        """The bytes ``data`` are on their way."""

    def moved(self, count: int) -> None:
        """The number of bytes of a stream that came or went is counted."""


class GuestProcess:
    """A process of the guest. Made by ``Session.process``; several tasks may hold it.

    ``outputs`` has one consumer; everything else may be called by any task. ``exited`` resolves to how it ended, or
    fails with the session's error.
    """

    def __init__(
        self,
        number: int,
        *,
        tty: bool,
        link: Link,
        start: dict[int, int],
        ended: frozenset[int] = frozenset(),
    ) -> None:
        self.number = number
        self.tty = tty
        self.exited: asyncio.Future[ProcessExit] = asyncio.get_running_loop().create_future()
        self._link = link
        self._stdin = SendWindow(start.get(STDIN, 0))
        fds = (STDOUT,) if tty else (STDOUT, STDERR)
        self._windows = {fd: ReceiveWindow(start.get(fd, 0)) for fd in fds}
        #: Outputs whose end an earlier daemon has acknowledged: it does not come again.
        self._ended_before = ended
        self._inbox = _Inbox()
        self._room = asyncio.Event()
        self._failure: Exception | None = None
        #: Called when the OOM killer has killed a process of the container whose first one this is.
        self.oom_kill: Callable[[], None] = _nothing

    async def outputs(self) -> AsyncIterator[Output]:
        """The program's outputs, in order of arrival, until all its streams have ended.

        Raises:
            HyperError: the connection to the guest was lost before the end; what had come by then was given first.
        """
        while True:
            if len(self._inbox):
                yield self._inbox.take()
            elif self._ended:
                return
            elif self._failure is not None:
                raise self._failure  # after all that came before it
            else:
                await self._inbox.wait()

    @property
    def _ended(self) -> bool:
        windows = self._windows.items()
        return all(window.finished or fd in self._ended_before for fd, window in windows)

    def taken(self, fd: int, count: int, *, at_once: bool = False) -> None:
        """The next ``count`` bytes of ``fd`` are safe with us; the guest may forget them (``at_once``: told now)."""
        window = self._windows[fd]
        window.take(count)
        offset = window.ack(after=1) if at_once else window.ack()
        if offset is not None:
            self._link.send(encode_ack(stream_id(self.number, fd), offset))

    def resume(self) -> None:
        """The guest is told, after a reconnect, where each stream goes on."""
        for fd, window in self._windows.items():
            self._link.send(encode_ack(stream_id(self.number, fd), window.rewind()))

    async def write(self, data: bytes) -> None:
        """The bytes ``data`` are on their way to the program's standard input; waits while the program does not read.

        Raises:
            HyperError: the connection to the guest was lost.
        """
        view = memoryview(data)
        self._link.moved(len(view))
        while view:
            if self._failure is not None:
                raise self._failure
            self._stdin.window = WINDOW if self._link.carrier is None else CARRIER_WINDOW
            count = self._stdin.append(view)
            view = view[count:]
            self._flush_stdin()
            if view and not self._stdin.room:
                self._room.clear()
                await self._room.wait()

    def close_stdin(self) -> None:
        """The program finds the end of its standard input after what was written. Repeatable."""
        self._stdin.finish()
        self._flush_stdin()

    def _flush_stdin(self) -> None:
        stdin, stream = self._stdin, stream_id(self.number, STDIN)
        while not self._gathers():
            carrier = self._link.carrier
            if carrier is not None and carrier.has_room and stdin.unsent >= CARRIED_LEAST:
                chunk = stdin.pop(CARRIER_BLOCK)
                if chunk is not None:
                    self._carry(carrier, stream, chunk)
            elif (chunk := stdin.pop()) is not None:
                self._link.send(encode_data(stream, chunk.offset, chunk.payload, fin=chunk.fin))
            else:
                break

    def _gathers(self) -> bool:
        """Whether the bytes that wait for the guest had better become a whole block first."""
        stdin, carrier = self._stdin, self._link.carrier
        if carrier is None or not carrier.has_room or stdin.finished:
            return False
        return stdin.unsent < CARRIER_BLOCK and stdin.in_flight >= GATHER

    def _carry(self, carrier: Carrier, stream: int, chunk: Chunk) -> None:
        try:
            carried = carrier.put(stream, chunk.offset, chunk.payload)
        except OSError:  # no memory: by the port as ever
            for at in range(0, len(chunk.payload), MAX_DATA):
                part = chunk.payload[at : at + MAX_DATA]
                fin = chunk.fin and at + len(part) == len(chunk.payload)
                self._link.send(encode_data(stream, chunk.offset + at, part, fin=fin))
        else:
            self._link.send(encode_carried(stream, carried, fin=chunk.fin))

    # What the session tells it.

    def on_data(self, fd: int, offset: int, payload: bytes, *, fin: bool) -> None:
        """The process has got a DATA frame. Raises: ProtocolError if it is not what must come next."""
        data = self._windows[fd].on_data(offset, payload, fin=fin)
        self._link.moved(len(data))
        if data:
            self._inbox.put(fd, data)
        if fin:
            if not data:
                self.taken(fd, 0)
            self._inbox.stir()

    def has_stream(self, fd: int) -> bool:
        """Whether the program has an output ``fd``."""
        return fd in self._windows

    def on_ack(self, offset: int) -> None:
        """The guest has taken over standard input up to ``offset``. Raises: ProtocolError."""
        self._stdin.on_ack(offset)
        if self._link.carrier is not None:
            self._link.carrier.acknowledged(stream_id(self.number, STDIN), offset)
        self._flush_stdin()
        self._room.set()

    def on_exit(self, exit: ProcessExit) -> None:
        """The process has ended. (Said again after a reconnect: nothing changes.)"""
        if not self.exited.done():
            self.exited.set_result(exit)
        self._room.set()

    def fail(self, error: Exception) -> None:
        """The session is lost: waiting tasks get ``error``."""
        self._failure = error
        self._inbox.stir()
        self._room.set()
        if not self.exited.done():
            self.exited.set_exception(error)
            self.exited.exception()  # nobody may be waiting; that is no unheard failure


def _nothing() -> None:
    """The callback where no caller wants to know."""
