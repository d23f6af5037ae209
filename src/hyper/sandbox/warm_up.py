"""A warm-up: a small container run in a pooled machine before its first one, and taken away again.

What the kernel does for the first time takes longer: it allocates, and under emulation each of its instructions is
translated when it is first met. Afterwards the machine is as empty as before, and quick.
Installed files keep their older name: exercise.squashfs, made of guest/hyperstart/exercise, and the disk exercise.ext4.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyper.errors import MachineError
from hyper.guest.process import GuestProcess
from hyper.guest.session import Session
from hyper.machine.abilities import HotplugDisks
from hyper.machine.spec import Disk, FileBlocks
from hyper.proto.message import (
    ContainerCreate,
    ContainerRemove,
    Interface,
    InterfaceRemove,
    ProcessSignal,
    ProcessStart,
    SandboxSetup,
)
from hyper.sandbox.scratch import ScratchDisks
from hyper.sandbox.shape import SCRATCH_DISK, layer_disk

#: Numbers that no container or process of a user gets: theirs count from one.
CONTAINER: Final = 2**31 - 1
MAIN, OTHER = 2**30 - 1, 2**30 - 2
#: Its program, which waits for a signal when it is told to "wait".
PROGRAM: Final = "/exercise"
#: Under emulation the first time translates; the second takes what then still changes: a start in a machine that was
#: warmed up twice takes two thirds of one after once, and a third time gives nothing.
TIMES: Final = 2
_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class WarmUp:
    """A warm-up: a network with ``interfaces`` is set up, ``container`` is made, ``main`` runs in it and ``other`` too.

    ``layer``: a squashfs with the program (guest/hyperstart/exercise). ``main`` waits until it is killed.
    """

    layer: Path
    scratch: ScratchDisks
    interfaces: tuple[Interface, ...]
    container: ContainerCreate
    main: ProcessStart
    other: ProcessStart

    async def run(
        self, machine: HotplugDisks, session: Session, folder: Path, *, card: bool
    ) -> None:
        """The warm-up was done in ``machine`` TIMES (``card``: it has one); ``folder`` has its disk meanwhile.

        Raises:
            HyperError: a part of it failed: the machine is not to be used.
        """
        for _ in range(TIMES):
            await self._once(machine, session, folder, card=card)

    async def _once(
        self, machine: HotplugDisks, session: Session, folder: Path, *, card: bool
    ) -> None:
        scratch = folder / "exercise.ext4"
        interfaces = self.interfaces if card else ()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self.scratch.create(scratch)
                await machine.add_disks(
                    Disk(layer_disk(0), FileBlocks(self.layer), read_only=True),
                    Disk(SCRATCH_DISK, FileBlocks(scratch), read_only=False),
                )
                await self._run(session, interfaces)
                for name in (layer_disk(0), SCRATCH_DISK):
                    await machine.remove_disk(name)
        except TimeoutError:
            raise MachineError(f"the machine was not warmed up within {_TIMEOUT_S:g} s") from None
        finally:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)

    async def _run(self, session: Session, interfaces: tuple[Interface, ...]) -> None:
        setup = SandboxSetup(self.container.hostname, interfaces)
        await session.call(setup, timeout_s=_TIMEOUT_S)
        await session.call(self.container, timeout_s=_TIMEOUT_S)
        main = await _start(session, self.main)
        other = await _start(session, self.other)
        status = await _end(session, other)
        if status != 0:
            raise MachineError(f"the warm-up ended with {status}")
        await session.call(ProcessSignal(MAIN, signal.SIGKILL), timeout_s=_TIMEOUT_S)
        await _end(session, main)
        await session.call(ContainerRemove(CONTAINER), timeout_s=_TIMEOUT_S)
        for item in interfaces:
            remove = InterfaceRemove(item.mac, item.addresses)
            await session.call(remove, timeout_s=_TIMEOUT_S)


async def _start(session: Session, start: ProcessStart) -> GuestProcess:
    process = session.process(start.process, tty=False)
    await session.call(start, timeout_s=_TIMEOUT_S)
    return process


async def _end(session: Session, process: GuestProcess) -> int:
    """The status of a process that ends, once the process is forgotten."""
    async for piece in process.outputs():
        process.taken(piece.fd, len(piece.data))
    exit = await process.exited
    session.forget(process.number)
    return exit.status
