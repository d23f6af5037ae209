"""A sandbox: one machine and the session with its agent, started together and ended together.

Acquired in order (machine, stream, agent's hello, set-up, program), released in reverse.
Neither the machine nor the program needs this process: ``detach`` lets go, ``reattach`` finds them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from hyper.errors import Conflict, GuestError, HyperError, MachineError, ProtocolError, Unreachable
from hyper.guest.process import GuestProcess
from hyper.guest.session import Session, checked
from hyper.machine.abilities import HotplugDisks, SharingMachine
from hyper.machine.driver import Driver, Machine, MachineExit, MachineRecord
from hyper.machine.drivers import Drivers
from hyper.machine.spec import Disk, MachineSpec
from hyper.proto.message import (
    ContainerCreate,
    ContainerRemove,
    ContainerUpdate,
    GuestHello,
    ProcessStart,
    Reply,
    ReplyCode,
    SandboxSetup,
    Shutdown,
)
from hyper.sandbox.carriage import Carriage
from hyper.sandbox.connection import end_machine, greet, program_of
from hyper.sandbox.power import Power
from hyper.sandbox.share_loss import ShareLoss
from hyper.system.uninterrupted import uninterrupted

logger = logging.getLogger(__name__)

#: The numbers of the first container of a machine, and of its program; others count from there.
MAIN_CONTAINER: Final = 1
MAIN_PROCESS: Final = 1
REATTACH_TIMEOUT_S: Final = 30.0
#: How long programs have after SIGTERM, and the machine after the file systems are unmounted.
SHUTDOWN_GRACE_MS: Final = 500
SHUTDOWN_TIMEOUT_S: Final = 15.0
#: How long the agent may take to unmount what only one of several containers had.
PART_TIMEOUT_S: Final = 15.0
#: Answers of an agent to requests of a later version.
_NOT_UNDERSTOOD: Final = frozenset({ReplyCode.MALFORMED, ReplyCode.UNKNOWN_OP})


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a start: everything it needs, decided before anything is acquired."""

    driver: Driver
    spec: MachineSpec
    setup: SandboxSetup
    container: ContainerCreate
    program: ProcessStart
    limits: tuple[ContainerUpdate, ...] = ()
    #: Awaited before the program is asked for: the host's side of the network; raises if there is none to be had.
    connected: Awaitable[None] | None = None


@dataclass(frozen=True, slots=True)
class Joining:
    """The plan of one more container of a running machine: everything it needs."""

    disks: tuple[Disk, ...]
    container: ContainerCreate
    program: ProcessStart
    limits: tuple[ContainerUpdate, ...] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """A sandbox in which a container's program was started; ``pid``: the program's in the guest."""

    sandbox: Sandbox
    program: GuestProcess
    pid: int


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A container that comes into a running machine with its disks; ``here`` is done when they are."""

    container: int
    disks: tuple[Disk, ...]
    here: asyncio.Future[None]


class Sandbox:
    """A sandbox: a running machine whose agent answers. Made by ``launch`` or ``reattach``."""

    def __init__(
        self,
        machine: Machine,
        session: Session,
        hello: GuestHello,
        *,
        stopped: bool = False,
        inherited: bool = False,
    ) -> None:
        self.machine = machine
        #: An earlier daemon has started the machine: its agent may know less than ours asks for.
        self.inherited = inherited
        self.session = session
        self.hello = hello
        self.power = Power(machine, session, stopped=stopped)
        plugs = machine if isinstance(machine, HotplugDisks) else None
        self._carriage = None if plugs is None else Carriage(plugs, session, self._name)
        self._last_container = MAIN_CONTAINER
        #: Who uses what was brought into the running machine: {disk: {container}}. One comes or goes at a time.
        self._users: dict[str, set[int]] = {}
        self._arrivals: deque[_Arrival] = deque()
        self._moving = asyncio.Lock()
        self._last_process = max([MAIN_PROCESS, *(info.process for info in hello.processes)])
        if isinstance(machine, SharingMachine):
            ShareLoss(machine, session, self.power, self._name)

    def new_process(self) -> int:
        """The number for a new process: no process of this machine has had it."""
        self._last_process += 1
        return self._last_process

    @classmethod
    async def launch(
        cls,
        plan: Plan,
        *,
        made: Callable[[MachineRecord], None],
        boot_timeout_s: float,
    ) -> Started:
        """The sandbox with its program. ``made`` is called as soon as the machine exists.

        Raises:
            MachineError: it did not boot, or the agent does not answer; with the console's tail.
            GuestError: the agent refused the set-up or the program.
            In all cases nothing is left running.
        """
        machine = await plan.driver.launch(plan.spec)
        session = None
        try:
            made(machine.record)
            if plan.connected is not None:
                await plan.connected
            session = await Session.open(machine.connect, resync=False)
            program = program_of(session, plan.program)
            requests = (plan.setup, plan.container, *plan.limits, plan.program)
            replies = [session.post(request) for request in requests]
            try:
                hello = await session.meet(timeout_s=boot_timeout_s)
                async with asyncio.timeout(boot_timeout_s):
                    answers = [checked(await reply) for reply in replies]
                sandbox = cls(machine, session, hello)
                sandbox.power.enter(plan.container.container)
                return Started(sandbox, program, answers[-1].pid())
            except TimeoutError:
                error = MachineError(f"the agent did not start the program in {boot_timeout_s:g} s")
                raise await _explain(machine, session, error) from None
            except (MachineError, ProtocolError) as error:
                raise await _explain(machine, session, error) from error
        except BaseException:
            await end_machine(machine, session)
            raise

    @classmethod
    async def reattach(
        cls, drivers: Drivers, record: MachineRecord, *, timeout_s: float = REATTACH_TIMEOUT_S
    ) -> Sandbox | None:
        """The sandbox of a machine that an earlier daemon started; None when it is gone.

        Raises:
            Unreachable: the machine runs and its sockets are gone.
            MachineError: the machine runs, and it or its agent does not answer in time, or the agent is too old to
                be spoken to (OutdatedAgent). Nothing has changed then.
            ProtocolError: the agent answers nonsense, or is newer than this daemon.
        """
        machine = await drivers.attach(record)
        if machine is None:
            return None
        try:
            if not machine.reachable():
                raise Unreachable(f"the sockets of machine {record.name} were taken away")
            paused = await machine.paused()
            session, hello = await _greet_again(machine, paused=paused, timeout_s=timeout_s)
        except BaseException:
            await machine.close()
            raise
        return cls(machine, session, hello, stopped=paused, inherited=True)

    @staticmethod
    async def end(drivers: Drivers, record: MachineRecord) -> None:
        """The machine, which an earlier daemon started, is gone, whether it would answer or not."""
        machine = await drivers.attach(record)
        if machine is not None:
            await end_machine(machine)

    # More containers

    def new_container(self) -> int:
        """The number for a new container: no container of this machine has had it."""
        self._last_container += 1
        return self._last_container

    def found(self, container: int, disks: Iterable[str]) -> None:
        """The number ``container`` is in use since an earlier daemon, which brought ``disks`` here for it."""
        self._last_container = max(self._last_container, container)
        for disk in disks:
            self._users.setdefault(disk, set()).add(container)

    async def join(self, todo: Joining, *, timeout_s: float) -> Started:
        """The container runs in the machine, beside those that are here.

        A disk of a name that another container brought here is the same one.

        Raises:
            GuestError: the agent refused it.
            Conflict: the agent is an older one, which does not know this; the hypervisor cannot add disks.
            MachineError: no answer in time, or the machine has ended.
            In all cases nothing of it is left here.
        """
        number = todo.container.container
        self._plugs()  # refused before anything is asked
        program = program_of(self.session, todo.program)
        started: asyncio.Future[Reply] | None = None
        arrival = _Arrival(number, todo.disks, asyncio.get_running_loop().create_future())
        self._arrivals.append(arrival)
        try:
            async with asyncio.timeout(timeout_s):
                async with self._moving:
                    await self._bring_all()
                    await arrival.here
                    # All at once: each round trip is time in which nothing starts.
                    asked = [self.session.post(one) for one in (todo.container, *todo.limits)]
                    started = self.session.post(todo.program)
                    for answer in await asyncio.gather(*asked):
                        checked(answer)
                reply = checked(await started)
        except BaseException as error:
            arrival.here.cancel()
            if started is not None:
                started.cancel()
            try:
                await self.part(number, [disk.name for disk in todo.disks])
            finally:  # until then it may run, and its output come
                self.session.drop(todo.program.process)
            if isinstance(error, TimeoutError):
                raise MachineError("the machine's agent does not answer") from None
            if self.inherited and isinstance(error, GuestError) and error.code in _NOT_UNDERSTOOD:
                raise Conflict(
                    "an earlier hyperd has started the machine, and its agent does not know what this one asks for",
                    hint="stop and start the container, or the pod, whose machine it is: it gets a new one",
                ) from error
            raise
        self.power.enter(number)
        return Started(self, program, reply.pid())

    async def _bring_all(self) -> None:
        """The disks of all arrivals are in the machine: the guest looks for new ones once, which takes it longest."""
        while self._arrivals:
            arrival = self._arrivals.popleft()
            if arrival.here.done():  # it does not want to any more
                continue
            # Whatever becomes of us: another one may wait for it.
            await uninterrupted(self._bring(arrival))

    async def _bring(self, arrival: _Arrival) -> None:
        missing = [disk for disk in arrival.disks if not self._users.get(disk.name)]
        for disk in arrival.disks:
            self._users.setdefault(disk.name, set()).add(arrival.container)
        try:
            if missing:
                await self._plugs().add_disks(*missing)
        except HyperError as error:
            if not arrival.here.done():
                arrival.here.set_exception(error)
        else:
            if not arrival.here.done():
                arrival.here.set_result(None)

    def _take(self, container: int, disks: Iterable[str]) -> list[str]:
        """The disks, of those that ``container`` uses no more, that no other container uses."""
        alone = []
        for disk in disks:
            users = self._users.get(disk, set())
            users.discard(container)
            if not users:
                self._users.pop(disk, None)
                alone.append(disk)
        return alone

    async def part(self, container: int, disks: Iterable[str]) -> None:
        """The container, whose program has ended, has left nothing here: its disks are the host's own again.

        The guest's answer does not matter: the disks are taken from it. A machine that does not let go is ended.
        """
        self.power.leave(container)
        async with self._moving:
            await self._part(container, disks)

    async def _part(self, container: int, disks: Iterable[str]) -> None:
        try:
            await self.session.call(ContainerRemove(container), timeout_s=PART_TIMEOUT_S)
        except HyperError as error:
            logger.info("container %d of machine %s: %s", container, self._name, error.message)
        try:
            for disk in self._take(container, disks):
                await self._plugs().remove_disk(disk)
            await self.power.settle()
        except MachineError as error:
            if not self.session.closed.done():
                logger.warning("machine %s is ended: %s", self._name, error.message)
                await self.machine.kill()
            await self.machine.wait()

    def _plugs(self) -> HotplugDisks:
        """The machine, which can be given disks while it runs.

        Raises:
            Conflict: its hypervisor cannot do that.
        """
        if isinstance(self.machine, HotplugDisks):
            return self.machine
        driver = self.machine.record.driver
        raise Conflict(
            f"hypervisor {driver} cannot add disks to a running machine: no further container runs in it"
        )

    @property
    def _name(self) -> str:
        return self.machine.record.name

    async def shut_down(self) -> None:
        """The sandbox is shut down: every program was ended, file systems are unmounted, the machine is gone."""
        # A guest that cannot end cleanly is ended.
        with contextlib.suppress(HyperError, TimeoutError):
            await self.power.unpause_all()
            await self.session.call(Shutdown(SHUTDOWN_GRACE_MS), timeout_s=SHUTDOWN_TIMEOUT_S)
            async with asyncio.timeout(SHUTDOWN_TIMEOUT_S):
                await self.machine.wait()
        await self.destroy()

    async def destroy(self) -> None:
        """The machine is gone; what it had not written to its disks is lost."""
        self.session.abort(MachineError("the machine was ended"))
        if self._carriage is not None:
            await self._carriage.end()
        await end_machine(self.machine)

    async def detach(self) -> None:
        """Let go of the machine, which goes on running."""
        self.session.abort(MachineError("the daemon lets go of the machine"))
        if self._carriage is not None:
            await self._carriage.end()
        await self.machine.close()

    async def autopsy(self) -> MachineExit:
        """The end of the machine, once its connection was lost; a machine that still runs is ended."""
        try:
            async with asyncio.timeout(2):
                exit = await self.machine.wait()
        except TimeoutError:
            await self.machine.kill()
            exit = await self.machine.wait()
        await self.machine.kill()  # its control group and sockets go too
        return exit


async def _greet_again(
    machine: Machine, *, paused: bool, timeout_s: float
) -> tuple[Session, GuestHello]:
    """A session with the agent of a machine found again, and its HELLO. A ``paused`` machine is paused afterwards."""
    if paused:
        await machine.resume()  # the container in it is frozen
    session = None
    try:
        session, hello = await greet(machine, resync=True, timeout_s=timeout_s)
        if paused:
            await machine.pause()
    except BaseException:
        if session is not None:
            session.abort(MachineError("the machine does not stand still again"))
        if paused:
            with contextlib.suppress(MachineError):
                await machine.pause()
        raise
    return session, hello


async def _explain(
    machine: Machine, session: Session, error: MachineError | ProtocolError
) -> MachineError:
    """The error of a failed start, in full: the console's tail says most."""
    try:
        async with asyncio.timeout(1):
            exit = await machine.wait()
    except TimeoutError:
        return MachineError(error.message, console=machine.console_tail())
    what = "the machine ended before its agent answered"
    if session.hello.done() and session.hello.exception() is None:
        what = "the machine ended before its program was started"
    cause = exit.stderr.strip().rpartition("\n")[2]
    return MachineError(f"{what}: {cause}" if cause else what, console=exit.console)
