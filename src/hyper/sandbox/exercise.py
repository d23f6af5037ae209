"""A whole small container run in a machine that waits for its first one, and taken away again.

What the kernel does for the first time takes longer: it allocates, and under emulation each of its instructions is
translated when it is first met. Afterwards the machine is as empty as before, and quick.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyper.errors import MachineError
from hyper.guest.session import Session
from hyper.machine.driver import Machine
from hyper.machine.spec import Disk
from hyper.proto.message import (
    ContainerCreate,
    ContainerRemove,
    File,
    ProcessFlag,
    ProcessStart,
)
from hyper.sandbox.scratch import ScratchDisks
from hyper.sandbox.shape import SCRATCH_DISK, layer_disk

#: Numbers that no container or process of a user gets: theirs count from one.
_CONTAINER: Final = 2**31 - 1
_PROCESS: Final = 2**30 - 1
_TIMEOUT_S: Final = 30.0
_PROGRAM: Final = "/exercise"


@dataclass(frozen=True, slots=True)
class Exercise:
    """``layer``: a squashfs with the program /exercise (guest/hyperstart/exercise)."""

    layer: Path
    scratch: ScratchDisks

    async def run(self, machine: Machine, session: Session, folder: Path) -> None:
        """The container was run in ``machine``; ``folder`` is where its disk is meanwhile.

        Raises:
            HyperError: something of it failed: the machine is not to be used.
        """
        scratch = folder / "exercise.ext4"
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self.scratch.create(scratch)
                await machine.add_disk(Disk(layer_disk(0), self.layer, read_only=True))
                await machine.add_disk(Disk(SCRATCH_DISK, scratch, read_only=False))
                await _run(session)
                for name in (layer_disk(0), SCRATCH_DISK):
                    await machine.remove_disk(name)
        except TimeoutError:
            raise MachineError(f"the machine was not exercised within {_TIMEOUT_S:g} s") from None
        finally:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)


async def _run(session: Session) -> None:
    create = ContainerCreate(
        container=_CONTAINER,
        layers=(layer_disk(0),),
        scratch=SCRATCH_DISK,
        files=tuple(File(path, b"\n") for path in ("/etc/hosts", "/etc/resolv.conf")),
    )
    await session.call(create, timeout_s=_TIMEOUT_S)
    await _program(session, ProcessFlag.INIT)
    await session.call(ContainerRemove(_CONTAINER), timeout_s=_TIMEOUT_S)


async def _program(session: Session, flags: ProcessFlag) -> None:
    process = session.process(_PROCESS, tty=False)
    start = ProcessStart(
        process=_PROCESS, container=_CONTAINER, args=(_PROGRAM,), env=("PATH=/",), flags=flags
    )
    await session.call(start, timeout_s=_TIMEOUT_S)
    async for piece in process.outputs():
        process.taken(piece.fd, len(piece.data))
    exit = await process.exited
    session.forget(_PROCESS)
    if exit.status != 0:
        raise MachineError(f"the exercise ended with {exit.status}")
