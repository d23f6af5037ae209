"""What a program writes, on its way to the log and to whoever is attached.

Order of things for each piece: attached clients get it, the log gets whole lines, and only then is it
acknowledged to the guest. A client that does not read holds the program up, as a terminal does; bytes are never dropped
and memory is bounded by the guest's window.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Final

from hyper.engine.log_file import LogFile
from hyper.guest.process import GuestProcess, Output

logger = logging.getLogger(__name__)

#: A line longer than this is logged in pieces, as in Docker.
MAX_PARTIAL: Final = 16 * 1024
#: Pieces a client may lag behind before the program waits for it.
CLIENT_BACKLOG: Final = 32


class Subscription:
    """One client's view of a program's output, from the moment it was made until the program's end."""

    def __init__(self, hub: OutputHub) -> None:
        self._hub = hub
        self._queue: asyncio.Queue[Output | None] = asyncio.Queue(CLIENT_BACKLOG)
        self._closed = False

    def __aiter__(self) -> AsyncIterator[Output]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[Output]:
        while (piece := await self._queue.get()) is not None:
            yield piece

    async def put(self, piece: Output | None) -> None:
        """The client will get ``piece``; waits while it lags too far behind."""
        if not self._closed:
            await self._queue.put(piece)

    def close(self) -> None:
        """The client is gone; whoever waits for it goes on."""
        self._closed = True
        self._hub.unsubscribe(self)
        while not self._queue.empty():
            self._queue.get_nowait()


class OutputHub:
    """The output of one program, run after run. Without a ``log`` what nobody listens to is dropped."""

    def __init__(self, log: LogFile | None) -> None:
        self.log = log
        self._subscriptions: list[Subscription] = []
        self._pending: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
        self._grown = asyncio.Event()
        self._log_broken = False

    def subscribe(self) -> Subscription:
        """A subscription to everything from now on."""
        subscription = Subscription(self)
        self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """``subscription`` gets nothing more."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def unlogged(self) -> list[Output]:
        """What came and waits for the end of its line before it is logged."""
        return [Output(fd, bytes(data)) for fd, data in self._pending.items() if data]

    def begin_run(self) -> None:
        """A new machine runs the program: its streams count from 0 again."""
        if self.log is not None:
            self.log.begin_run(time.time_ns())

    async def pump(self, process: GuestProcess) -> None:
        """Everything ``process`` writes was delivered and logged; its streams have ended.

        Raises:
            HyperError: the connection to the guest was lost before.
        """
        try:
            async for piece in process.outputs():
                await self._deliver(piece)
                self._record(process, piece)
        finally:
            self._flush(process)

    async def _deliver(self, piece: Output) -> None:
        for subscription in list(self._subscriptions):
            await subscription.put(piece)

    async def finish(self) -> None:
        """The run is over: every subscription ends."""
        for subscription in list(self._subscriptions):
            self.unsubscribe(subscription)
            await subscription.put(None)
        self.notify()

    def _record(self, process: GuestProcess, piece: Output) -> None:
        if self.log is None:
            process.taken(piece.fd, len(piece.data))
            return
        pending = self._pending[piece.fd]
        pending += piece.data
        whole = pending.rfind(b"\n") + 1
        if whole:
            self._append(process, piece.fd, whole, partial=False)
        if len(pending) > MAX_PARTIAL:
            self._append(process, piece.fd, len(pending), partial=True)

    def _flush(self, process: GuestProcess) -> None:
        for fd, pending in self._pending.items():
            if pending:
                self._append(process, fd, len(pending), partial=True)

    def _append(self, process: GuestProcess, fd: int, count: int, *, partial: bool) -> None:
        assert self.log is not None
        pending = self._pending[fd]
        data = bytes(pending[:count])
        del pending[:count]
        try:
            self.log.append(fd, data, time_ns=time.time_ns(), partial=partial)
        except OSError as error:
            # As Docker: a full disk costs log lines, it does not stop the program.
            self.log.skip(fd, count)
            if not self._log_broken:
                logger.error("log lines are lost: %s: %s", self.log.path, error)
            self._log_broken = True
        process.taken(fd, count)
        self.notify()

    def notify(self) -> None:
        """Whoever waits in ``grown`` looks again."""
        self._grown.set()
        self._grown = asyncio.Event()

    def grown(self) -> asyncio.Event:
        """Set when the log has grown or the run has ended. Take it before looking, then wait."""
        return self._grown

    def close(self) -> None:
        """The log file is released."""
        if self.log is not None:
            self.log.close()
