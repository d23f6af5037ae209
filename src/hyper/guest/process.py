"""One program in the guest, seen from the host: its output, its standard input, its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from hyper.proto.frame import encode_ack, encode_data
from hyper.proto.message import ProcessExit, stream_id
from hyper.proto.stream import ReceiveWindow, SendWindow

STDIN, STDOUT, STDERR = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes a program wrote to ``fd`` (1 or 2). They stay with the guest until ``taken``."""

    fd: int
    data: bytes


class GuestProcess:
    """A program of the guest. Made by ``Session.process``; several tasks may hold it.

    ``outputs`` has one consumer; everything else may be called by anybody. ``exited`` resolves to how it ended, or
    fails with the session's error.
    """

    def __init__(
        self, number: int, *, tty: bool, send: Callable[[bytes], None], start: dict[int, int]
    ) -> None:
        self.number = number
        self.tty = tty
        self.exited: asyncio.Future[ProcessExit] = asyncio.get_running_loop().create_future()
        self._send = send
        self._stdin = SendWindow(start.get(STDIN, 0))
        fds = (STDOUT,) if tty else (STDOUT, STDERR)
        self._windows = {fd: ReceiveWindow(start.get(fd, 0)) for fd in fds}
        self._queue: asyncio.Queue[Output | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._failure: Exception | None = None

    async def outputs(self) -> AsyncIterator[Output]:
        """Everything it writes, in order of arrival, until all its streams have ended.

        Raises:
            HyperError: the connection to the guest was lost before the end; what had come by then was given first.
        """
        while not self._ended or not self._queue.empty():
            item = await self._queue.get()
            if item is not None:
                yield item
            elif self._failure is not None and self._queue.empty() and not self._ended:
                raise self._failure  # after all that came before it

    @property
    def _ended(self) -> bool:
        return all(window.finished for window in self._windows.values())

    def taken(self, fd: int, count: int, *, at_once: bool = False) -> None:
        """``count`` bytes of ``fd`` are safe with us; the guest may forget them (``at_once``: is told now)."""
        window = self._windows[fd]
        window.take(count)
        offset = window.ack(after=1) if at_once else window.ack()
        if offset is not None:
            self._send(encode_ack(stream_id(self.number, fd), offset))

    def resume(self) -> None:
        """Tell the guest, after a reconnect, where each stream goes on."""
        for fd, window in self._windows.items():
            self._send(encode_ack(stream_id(self.number, fd), window.rewind()))

    async def write(self, data: bytes) -> None:
        """All of ``data`` is on its way to its standard input; waits while the program does not read.

        Raises:
            HyperError: the connection to the guest was lost.
        """
        view = memoryview(data)
        while view:
            if self._failure is not None:
                raise self._failure
            count = self._stdin.append(view)
            view = view[count:]
            self._flush_stdin()
            if view and not self._stdin.room:
                self._room.clear()
                await self._room.wait()

    def close_stdin(self) -> None:
        """The program finds the end of its standard input after what was written. Twice is once."""
        self._stdin.finish()
        self._flush_stdin()

    def _flush_stdin(self) -> None:
        stream = stream_id(self.number, STDIN)
        while (chunk := self._stdin.pop()) is not None:
            self._send(encode_data(stream, chunk.offset, chunk.payload, fin=chunk.fin))

    # What the session tells it.

    def on_data(self, fd: int, offset: int, payload: bytes, *, fin: bool) -> None:
        """DATA came. Raises: ProtocolError if it is not what must come next."""
        data = self._windows[fd].on_data(offset, payload, fin=fin)
        if data:
            self._queue.put_nowait(Output(fd, data))
        if fin:
            if not data:
                self.taken(fd, 0)
            self._queue.put_nowait(None)

    def has_stream(self, fd: int) -> bool:
        """Whether the program has an output ``fd``."""
        return fd in self._windows

    def on_ack(self, offset: int) -> None:
        """The guest has taken over standard input up to ``offset``. Raises: ProtocolError."""
        self._stdin.on_ack(offset)
        self._flush_stdin()
        self._room.set()

    def on_exit(self, exit: ProcessExit) -> None:
        """It ended. (Said again after a reconnect: nothing changes.)"""
        if not self.exited.done():
            self.exited.set_result(exit)
        self._room.set()

    def fail(self, error: Exception) -> None:
        """The session is lost: whoever waits gets ``error``."""
        self._failure = error
        self._queue.put_nowait(None)
        self._room.set()
        if not self.exited.done():
            self.exited.set_exception(error)
            self.exited.exception()  # nobody may be waiting; that is no unheard failure
