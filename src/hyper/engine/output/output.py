"""Output of a program, on its way to the log and to attached clients.

Order of things for each piece: attached clients get it, the log gets whole lines, and only then is it
acknowledged to the guest. A client that does not read holds the program up, as a terminal does; bytes are never dropped
and memory is bounded by the guest's window. Once the program has ended clients hold nothing up any more: what is left
is no more than that window, and waits for the client in memory.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from hyper.engine.output.log_file import LogFile
from hyper.guest.process import GuestProcess, Output

logger = logging.getLogger(__name__)

#: A line longer than this is logged in pieces, as in Docker.
MAX_PARTIAL: Final = 16 * 1024
#: Pieces, and bytes in them, that a client may lag behind before the program waits for it.
CLIENT_BACKLOG: Final = 32
CLIENT_BYTES: Final = 1024 * 1024


class Subscription:
    """One client's view of a program's output, from the moment it was made until the program's end."""

    def __init__(self, hub: OutputHub) -> None:
        self._hub = hub
        self._pieces: deque[Output | None] = deque()
        self._arrived = asyncio.Event()
        self._moved = asyncio.Event()
        self._closed = False
        self._held = 0

    def __aiter__(self) -> AsyncIterator[Output]:
        return self._read()

    async def _read(self) -> AsyncIterator[Output]:
        while True:
            while not self._pieces:
                self._arrived.clear()
                await self._arrived.wait()
            piece = self._pieces.popleft()
            self._moved.set()
            if piece is None:
                return
            self._held -= len(piece.data)
            yield piece

    async def put(self, piece: Output) -> None:
        """The client will get ``piece``. Waits while the client lags too far behind and the program goes on."""
        while self._lags and self._hub.waits and not self._closed:
            self._moved.clear()
            await self._moved.wait()
        self._append(piece)

    @property
    def _lags(self) -> bool:
        return len(self._pieces) >= CLIENT_BACKLOG or self._held >= CLIENT_BYTES

    def end(self) -> None:
        """The client finds the end after what it has not read yet."""
        self._append(None)

    def _append(self, piece: Output | None) -> None:
        if not self._closed:
            self._held += 0 if piece is None else len(piece.data)
            self._pieces.append(piece)
            self._arrived.set()

    def look_again(self) -> None:
        """Tasks that wait for the client in ``put`` check again whether they have to."""
        self._moved.set()

    def close(self) -> None:
        """The client is gone; tasks that wait for it in ``put`` go on."""
        self._closed = True
        self._hub.unsubscribe(self)
        self._pieces.clear()
        self._moved.set()


class OutputHub:
    """The output of one program, run after run. Without a ``log`` output is dropped while there is no subscription."""

    def __init__(self, log: LogFile | None) -> None:
        self.log = log
        self._subscriptions: list[Subscription] = []
        self._pending: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
        self._grown = asyncio.Event()
        self._log_broken = False
        #: Whether the program has to wait for slow clients.
        self.waits = True

    def subscribe(self) -> Subscription:
        """A subscription to all output from now on."""
        subscription = Subscription(self)
        self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """The subscription gets nothing more."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def unlogged(self) -> list[Output]:
        """Output that waits for the end of its line before it is logged."""
        return [Output(fd, bytes(data)) for fd, data in self._pending.items() if data]

    def begin_run(self) -> None:
        """A new machine runs the program: its streams count from 0 again.

        Raises:
            OSError: the log cannot be written.
        """
        self.waits = True
        if self.log is not None:
            self.log.begin_run(time.time_ns())

    async def pump(self, process: GuestProcess) -> None:
        """The output of ``process`` was all delivered and logged; its streams have ended.

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

    def release(self) -> None:
        """The program has ended: its last output waits for slow clients, and nothing else waits for them."""
        self.waits = False
        for subscription in self._subscriptions:
            subscription.look_again()

    def finish(self) -> None:
        """The run is over: every subscription ends."""
        for subscription in list(self._subscriptions):
            self.unsubscribe(subscription)
            subscription.end()
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
        """Tasks that wait for ``grown`` look again."""
        self._grown.set()
        self._grown = asyncio.Event()

    def grown(self) -> asyncio.Event:
        """The event that is set when the log has grown or the run has ended. Take it before looking, then wait."""
        return self._grown

    def close(self) -> None:
        """The log file is released and every subscription ends."""
        self.finish()
        if self.log is not None:
            self.log.close()
