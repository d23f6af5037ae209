"""Pause and unpause of the containers of one sandbox: frozen by the guest; with the last one the machine's CPUs stop.

Both: a stopped machine costs nothing and its guest has no say in it; a frozen container executes nothing when the
machine is woken for a word with its agent (a signal, a list of processes, a daemon that comes back), or because
another container of it goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final

from hyper.errors import GuestError, MachineError
from hyper.guest.clock import set_clock
from hyper.guest.session import Session
from hyper.machine.driver import Machine
from hyper.proto.message import ContainerUpdate, Request, UpdateFlag

logger = logging.getLogger(__name__)

#: How long the agent may take to freeze or thaw. It takes a millisecond; a guest that does not answer is stopped too.
_AGENT_TIMEOUT_S: Final = 5.0


class Power:
    """The paused containers of a sandbox, and whether its machine is ``stopped``.

    Several may call at once: one is served after the other. Containers are known by their numbers in the guest.
    """

    def __init__(self, machine: Machine, session: Session, *, stopped: bool = False) -> None:
        self.stopped = stopped
        self._machine = machine
        self._session = session
        self._paused: dict[int, bool] = {}
        self._lock = asyncio.Lock()

    def enter(self, container: int) -> None:
        """The container ``container`` has been made, and runs."""
        self._paused[container] = False

    def found(self, container: int, *, paused: bool) -> bool:
        """Whether the container, which was found again, is paused now; ``paused`` is what was kept of it.

        An earlier daemon may have died between freezing it, stopping the machine, and keeping a record of it.
        """
        self._paused[container] = now = paused or self.stopped
        if not self.stopped:
            flag = UpdateFlag.FREEZE if paused else UpdateFlag.THAW
            self._session.post(ContainerUpdate(container, flag))
        return now

    def leave(self, container: int) -> None:
        """The container is not in the sandbox any more."""
        self._paused.pop(container, None)

    async def settle(self) -> None:
        """The machine is stopped if nothing in it is to execute: after containers were found, or have left.

        Raises:
            MachineError: the machine does not stop.
        """
        async with self._lock:
            await self._settle()

    async def pause(self, container: int) -> None:
        """The container executes nothing any more.

        Raises:
            MachineError: the machine does not stop; the container goes on.
        """
        async with self._lock:
            if self._paused.get(container):
                return
            await self._tell(container, UpdateFlag.FREEZE)
            self._paused[container] = True
            try:
                await self._settle()
            except MachineError:
                self._paused[container] = False
                self._session.post(ContainerUpdate(container, UpdateFlag.THAW))
                raise

    async def unpause(self, container: int, *before: Request) -> None:
        """The container goes on with its clock right; what ``before`` asks for was done first, its answers unread.

        Raises:
            MachineError: the machine does not go on.
        """
        async with self._lock:
            if not self._paused.get(container):
                return
            for request in before:
                self._session.post(request)
            if self.stopped:
                await self._machine.resume()
                self.stopped = False
            self._paused[container] = False
            await self._thaw(container)

    async def unpause_all(self) -> None:
        """The containers all go on. Raises: MachineError."""
        for container in list(self._paused):
            await self.unpause(container)

    @contextlib.asynccontextmanager
    async def awake(self) -> AsyncIterator[None]:
        """The agent answers meanwhile, also a stopped machine's: of that only the agent runs.

        Raises:
            MachineError: the machine does not go on.
        """
        if not self.stopped:
            yield
            return
        async with self._lock:
            if self.stopped:
                await self._machine.resume()
            try:
                yield
            finally:
                if self.stopped:
                    with contextlib.suppress(MachineError):  # it has ended: others notice
                        await self._machine.pause()

    async def _settle(self) -> None:
        """The machine is stopped if no container is to execute. The lock is held."""
        if self._paused and all(self._paused.values()) and not self.stopped:
            await self._machine.pause()
            self.stopped = True

    async def _tell(self, container: int, flag: UpdateFlag) -> None:
        with contextlib.suppress(GuestError, MachineError):
            update = ContainerUpdate(container, flag)
            await self._session.call(update, timeout_s=_AGENT_TIMEOUT_S)

    async def _thaw(self, container: int) -> None:
        """The clock is right before a program can look at it."""
        try:
            await set_clock(self._session, container)
        except GuestError as error:
            logger.info("the clock of a guest is not set: %s", error.message)
        except MachineError:  # once is enough to wait for it
            self._session.post(ContainerUpdate(container, UpdateFlag.THAW))
            return
        await self._tell(container, UpdateFlag.THAW)
