"""A sandbox: one machine and the talk with its agent, started together and ended together.

Acquired in order (machine, stream, agent's hello, set-up, program), released in reverse.
Neither the machine nor the program needs this process: ``detach`` lets go, ``reattach`` finds them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hyper.errors import HyperError, MachineError
from hyper.guest.process import GuestProcess
from hyper.guest.session import Session, checked
from hyper.machine.driver import Driver, Machine, MachineExit, MachineRecord
from hyper.machine.spec import MachineSpec
from hyper.proto.message import ContainerCreate, GuestHello, ProcessStart, SandboxSetup, Shutdown

logger = logging.getLogger(__name__)

#: The number of a container's own program in its guest; execs count from the next.
MAIN_PROCESS: Final = 1
BOOT_TIMEOUT_S: Final = 60.0
REATTACH_TIMEOUT_S: Final = 30.0
#: How long programs have after SIGTERM, and the machine after the file systems are unmounted.
SHUTDOWN_GRACE_MS: Final = 500
SHUTDOWN_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a start needs, decided before anything is acquired."""

    spec: MachineSpec
    setup: SandboxSetup
    container: ContainerCreate
    program: ProcessStart


class Sandbox:
    """A running machine whose agent answers. Made by ``launch`` or ``reattach``."""

    def __init__(self, machine: Machine, session: Session, hello: GuestHello) -> None:
        self.machine = machine
        self.session = session
        self.hello = hello

    @classmethod
    async def launch(
        cls, driver: Driver, plan: Plan, *, made: Callable[[MachineRecord], None]
    ) -> tuple[Sandbox, GuestProcess, int]:
        """The sandbox, its program's handle and pid. ``made`` is called as soon as the machine exists.

        Raises:
            MachineError: it did not boot, or the agent does not answer; with the console's tail.
            GuestError: the agent refused the set-up or the program.
            In all cases nothing is left running.
        """
        machine = await driver.launch(plan.spec)
        try:
            made(machine.record)
            session = await Session.open(machine.agent_socket(), resync=False)
            program = session.process(plan.program.process, tty=bool(plan.program.flags & 1))
            requests = (plan.setup, plan.container, plan.program)
            replies = [session.post(request) for request in requests]
            hello = await _meet(machine, session, timeout_s=BOOT_TIMEOUT_S)
            async with asyncio.timeout(BOOT_TIMEOUT_S):
                answers = [checked(await reply) for reply in replies]
            return cls(machine, session, hello), program, answers[-1].pid()
        except TimeoutError:
            await _discard(machine)
            raise MachineError(
                f"the agent did not start the program in {BOOT_TIMEOUT_S:g} s",
                console=machine.console_tail(),
            ) from None
        except BaseException:
            await _discard(machine)
            raise

    @classmethod
    async def reattach(cls, driver: Driver, record: MachineRecord) -> Sandbox | None:
        """The sandbox of a machine that an earlier daemon started; None when it is gone.

        Raises:
            MachineError: the machine runs and its agent does not answer.
            ProtocolError: it answers nonsense.
        """
        machine = await driver.attach(record)
        if machine is None:
            return None
        try:
            session = await Session.open(machine.agent_socket(), resync=True)
            hello = await _meet(machine, session, timeout_s=REATTACH_TIMEOUT_S)
        except BaseException:
            await machine.close()
            raise
        return cls(machine, session, hello)

    @property
    def boot_ms(self) -> float | None:
        """Milliseconds from the hypervisor's spawn to the agent's hello; None after a reattach."""
        spawned = self.machine.record.spawned_ns
        return (self.session.hello_ns - spawned) / 1e6 if spawned else None

    async def shut_down(self) -> None:
        """Every program was ended, file systems are unmounted, the machine is gone."""
        # A guest that cannot end cleanly is ended.
        with contextlib.suppress(HyperError, TimeoutError):
            await self.session.call(Shutdown(SHUTDOWN_GRACE_MS), timeout_s=SHUTDOWN_TIMEOUT_S)
            async with asyncio.timeout(SHUTDOWN_TIMEOUT_S):
                await self.machine.wait()
        await self.destroy()

    async def destroy(self) -> None:
        """The machine is gone; what it had not written to its disks is lost."""
        self.session.abort(MachineError("the machine was ended"))
        await _discard(self.machine)

    async def detach(self) -> None:
        """Let go of a machine that goes on running."""
        self.session.abort(MachineError("the daemon lets go of the machine"))
        await self.machine.close()

    async def autopsy(self) -> MachineExit:
        """How the machine ended, once its connection was lost; a machine that still runs is ended."""
        try:
            async with asyncio.timeout(2):
                exit = await self.machine.wait()
        except TimeoutError:
            await self.machine.kill()
            exit = await self.machine.wait()
        await self.machine.close()
        return exit


async def _meet(machine: Machine, session: Session, *, timeout_s: float) -> GuestHello:
    """The agent's hello, or why there is none: the console's tail says most."""
    try:
        return await session.meet(timeout_s=timeout_s)
    except MachineError as error:
        raise await _explain(machine, error) from error


async def _explain(machine: Machine, error: MachineError) -> MachineError:
    try:
        async with asyncio.timeout(1):
            exit = await machine.wait()
    except TimeoutError:
        return MachineError(error.message, console=machine.console_tail())
    what = "the machine ended before its agent answered"
    cause = exit.stderr.strip().rpartition("\n")[2]
    return MachineError(f"{what}: {cause}" if cause else what, console=exit.console)


async def _discard(machine: Machine) -> None:
    await machine.kill()
    await machine.close()
