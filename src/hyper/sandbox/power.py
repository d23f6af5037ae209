"""Pause and unpause of one sandbox: its container frozen by the guest, then the machine's CPUs stopped.

Both: a stopped machine costs nothing and its guest has no say in it; a frozen container executes nothing when the
machine is woken for a word with its agent (a signal, a list of processes, a daemon that comes back).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Final

from hyper.errors import GuestError, MachineError
from hyper.guest.session import Session
from hyper.machine.driver import Machine
from hyper.proto.message import ContainerUpdate, Request, UpdateFlag

#: The number of the one container in its guest.
MAIN_CONTAINER: Final = 1
#: How long the agent may take to freeze or thaw. It takes a millisecond; a guest that does not answer is stopped too.
_AGENT_TIMEOUT_S: Final = 5.0


class Power:
    """Whether a sandbox is ``paused``. Several may call at once: one is served after the other."""

    def __init__(self, machine: Machine, session: Session) -> None:
        self.paused = False
        self._machine = machine
        self._session = session
        self._lock = asyncio.Lock()

    def found(self, *, paused: bool) -> None:
        """What the machine said when it was found again. A daemon may have died between freezing and stopping it."""
        self.paused = paused
        if not paused:
            self._session.post(_update(UpdateFlag.THAW))

    async def pause(self) -> None:
        """Nothing of it executes any more.

        Raises:
            MachineError: the machine does not stop; the container goes on.
        """
        async with self._lock:
            if self.paused:
                return
            await self._tell(UpdateFlag.FREEZE)
            try:
                await self._machine.pause()
            except MachineError:
                self._session.post(_update(UpdateFlag.THAW))
                raise
            self.paused = True

    async def unpause(self, *before: Request) -> None:
        """It goes on, its clock is right; what ``before`` asks for was done first, its answers nobody's concern.

        Raises:
            MachineError: the machine does not go on.
        """
        async with self._lock:
            if not self.paused:
                return
            for request in before:
                self._session.post(request)
            await self._machine.resume()
            self.paused = False
            await self._tell(UpdateFlag.THAW)

    @contextlib.asynccontextmanager
    async def awake(self) -> AsyncIterator[None]:
        """Meanwhile the agent answers, also of a paused sandbox: of that only the agent runs.

        Raises:
            MachineError: the machine does not go on.
        """
        if not self.paused:
            yield
            return
        async with self._lock:
            if self.paused:
                await self._machine.resume()
            try:
                yield
            finally:
                if self.paused:
                    with contextlib.suppress(MachineError):  # it has ended: others notice
                        await self._machine.pause()

    async def _tell(self, flag: UpdateFlag) -> None:
        with contextlib.suppress(GuestError, MachineError):
            await self._session.call(_update(flag), timeout_s=_AGENT_TIMEOUT_S)


def _update(flag: UpdateFlag) -> ContainerUpdate:
    return ContainerUpdate(MAIN_CONTAINER, flag, realtime_ns=time.time_ns())
