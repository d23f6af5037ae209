"""The recovery of containers whose machines an earlier daemon started: all at once, none at another's expense.

A machine that answers is watched over again. One that has ended is told as gone. One that runs and does not answer
(its host has no time for it, its guest took the agent's port away) is *silent*: no time-out ends it. Its container is
shown as running and not answering, keeps its volumes, addresses and identity, and is asked again until it answers,
ends, or a client ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from hyper.engine.lifecycle import sharing
from hyper.engine.lifecycle.container import CODE_KILLED, Container
from hyper.engine.lifecycle.host import Host
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.state import Event, Status
from hyper.errors import HyperError, ProtocolError, Unreachable
from hyper.machine.driver import MachineRecord
from hyper.proto.message import ProcessInfo
from hyper.sandbox.sandbox import Sandbox

logger = logging.getLogger(__name__)

#: How long a starting daemon waits for the answers of all machines together before it serves.
PATIENCE_S: Final = 2.0
#: Between two questions to a silent machine: the first time, and the longest.
_FIRST_DELAY_S: Final = 1.0
_MAX_DELAY_S: Final = 30.0
#: How long a machine in which no program of the container's runs is waited for: it is only to end.
_VISIT_TIMEOUT_S: Final = 5.0
SILENT_END: Final = "the machine had not answered since the daemon started, and was ended"


class Recovery:
    """The recovery of all containers of a daemon that starts. ``run`` once, when all are in the table."""

    def __init__(self, host: Host, find: Callable[[str], Container | None]) -> None:
        self._host = host
        self._find = find
        #: Containers whose machines ran when this daemon came and did not answer, with the error for their end.
        self._silent: dict[str, str] = {}

    async def run(self, containers: list[Container]) -> None:
        """The machine of each container has answered, is gone, or is asked again in the background until it is either.

        All machines that are gone are known to be: only silent ones are not waited for.
        """
        inside: dict[str, list[Container]] = {}
        for container in containers:
            inside.setdefault(container.record.seat.owner, []).append(container)
        work: list[asyncio.Task[None]] = []
        silent: list[asyncio.Task[None]] = []
        for first in inside.pop("", []):
            guests = inside.pop(first.record.id, [])
            for container in (first, *guests):
                container.await_machine(first.record.machine)
            name = f"recovery of {first.record.id[:12]}"
            machine = first.record.machine
            runs = machine is not None and self._host.driver.runs(machine)
            task = self._host.tasks.spawn(self._recover_all(first, guests), name=name)
            (silent if runs else work).append(task)
        for strays in inside.values():  # whose machine's own container is no more
            for stray in strays:
                name = f"recovery of {stray.record.id[:12]}"
                work.append(
                    self._host.tasks.spawn(self._guarded(stray, self._recover_guest), name=name)
                )
        if silent:
            await asyncio.wait(silent, timeout=PATIENCE_S)
        if work:
            await asyncio.wait(work)

    async def _recover_all(self, first: Container, guests: list[Container]) -> None:
        """A machine's own container is recovered, then the others in it; none is served before all are known."""
        try:
            await self._guarded(first, self._recover)
            for guest in guests:
                await self._guarded(guest, self._recover_guest)
            if first.sandbox is not None:
                with contextlib.suppress(HyperError):  # it has just ended
                    await first.sandbox.power.settle()
        finally:
            for container in (first, *guests):
                container.found.set()

    async def _guarded(
        self, container: Container, recover: Callable[[Container], Awaitable[None]]
    ) -> None:
        try:
            await recover(container)
        except HyperError as error:
            name = container.record.id[:12]
            logger.error("container %s: cannot be taken up again: %s", name, error)
            container.lost_in_absence()

    async def _recover(self, container: Container) -> None:
        record, sandbox = container.record, None
        if record.machine is None:
            # Killed between a launch and keeping its record, the last daemon left a machine nobody knows.
            await self._host.driver.clear(self._host.run_dir(record.id))
        elif record.status is Status.REMOVING:
            await Sandbox.end(self._host.driver, record.machine)
        elif not container.live:
            await self._end_visits(record.machine)
        else:
            sandbox = await self._until_answered(container, record.machine)
        if sandbox is None:
            await self._is_lost(container)
        elif (info := _main_of(record, sandbox)) is None:
            await sandbox.shut_down()
            await self._is_lost(container)
        else:
            self._go_on(container, sandbox, info)

    async def _recover_guest(self, container: Container) -> None:
        """The container, which ran in another's machine, is watched over again, or is known to have exited."""
        found = await sharing.recover(container, self._find(container.record.seat.owner))
        if found is None or container.record.status is Status.REMOVING:
            await self._is_lost(container)
        else:
            self._go_on(container, *found)

    async def _end_visits(self, machine: MachineRecord) -> None:
        """The helper machine, in which only builtins ran, is gone, cleanly if its agent answers soon."""
        try:
            sandbox = await Sandbox.reattach(self._host.driver, machine, timeout_s=_VISIT_TIMEOUT_S)
        except HyperError as error:
            logger.warning("machine %s is ended: %s", machine.name, error.message)
            await Sandbox.end(self._host.driver, machine)
        else:
            if sandbox is not None:
                await sandbox.shut_down()

    async def _until_answered(self, container: Container, machine: MachineRecord) -> Sandbox | None:
        """The sandbox of a container, once its agent answers; None: its machine has ended or is out of reach."""
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                return await Sandbox.reattach(self._host.driver, machine)
            except (ProtocolError, Unreachable) as error:
                logger.warning("container %s: %s", container.record.id[:12], error.message)
                self._silent[container.record.id] = f"the machine was ended: {error.message}"
                await Sandbox.end(self._host.driver, machine)
                return None
            except HyperError as error:
                self._note_silence(container, error)
            await self._pause(machine, delay_s)
            delay_s = min(2 * delay_s, _MAX_DELAY_S)

    def _note_silence(self, container: Container, error: HyperError) -> None:
        if container.record.id not in self._silent:
            self._silent[container.record.id] = SILENT_END
            name, text = container.record.id[:12], error.message
            logger.warning("container %s: its machine runs and is silent: %s", name, text)

    async def _pause(self, machine: MachineRecord, delay_s: float) -> None:
        """The delay ``delay_s`` has passed, or the machine has ended."""
        found = await self._host.driver.attach(machine)
        if found is None:
            return
        try:
            async with asyncio.timeout(delay_s):
                await found.wait()
        except TimeoutError:
            pass
        finally:
            await found.close()

    async def _is_lost(self, container: Container) -> None:
        """The container's machine is known to have ended; a removal that had begun or was to follow is done."""
        record = container.record
        why = self._silent.get(record.seat.owner or record.id)
        if why is not None:
            container.lost_in_absence(CODE_KILLED, why)
        else:
            container.lost_in_absence()
        container.found.set()
        if record.status is Status.REMOVING:
            await container.remove(force=True, volumes=record.remove_volumes)
        elif record.spec.remove_at_end:
            await container.remove(force=True, volumes=True)

    def _go_on(self, container: Container, sandbox: Sandbox, info: ProcessInfo) -> None:
        if container.record.id in self._silent:
            logger.warning("container %s: its machine answers", container.record.id[:12])
        log = container.hub.log
        assert log is not None
        # Where the guest has forgotten more than the log has, the log had no room for it.
        log.skip(1, max(0, info.stdout - log.stdout))
        log.skip(2, max(0, info.stderr - log.stderr))
        start = {0: info.stdin, 1: log.stdout, 2: log.stderr}
        main = sandbox.session.process(
            info.process, tty=container.record.spec.program.tty, start=start
        )
        container.adopt(sandbox, main)
        main.resume()
        paused = sandbox.power.found(container.record.seat.container, paused=container.paused)
        if paused and not container.paused:
            container.note_pause(Event.PAUSE)


def _main_of(record: ContainerRecord, sandbox: Sandbox) -> ProcessInfo | None:
    """The container's own program, as the agent of a machine found again tells of it; None: it does not."""
    found = (info for info in sandbox.hello.processes if info.process == record.seat.process)
    return next(found, None)
