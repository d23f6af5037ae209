"""The recovery of sandboxes that an earlier daemon launched: all at once, none at another's expense.

A machine that answers is watched over again. One that has ended is told as gone. One that runs and does not answer
(its host has no time for it, its guest took the agent's port away) is *silent*: no time-out ends it. Its container is
shown as running and not answering, keeps its volumes, addresses and identity, and is asked again until it answers,
ends, or a client ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from hyper.engine.lifecycle import removal
from hyper.engine.lifecycle.container import CODE_KILLED, Container
from hyper.engine.lifecycle.host import Host
from hyper.engine.lifecycle.pod import Pod
from hyper.engine.lifecycle.sandboxes import KeptSandbox, Run
from hyper.engine.record.sandbox import Kind, Placement
from hyper.engine.record.state import Event, Status
from hyper.errors import HyperError, MachineError, ProtocolError, Unreachable
from hyper.machine.driver import MachineRecord
from hyper.proto.message import ProcessInfo, ProcessSignal
from hyper.sandbox.sandbox import MAIN_PROCESS, Sandbox

logger = logging.getLogger(__name__)

#: How long a starting daemon waits for the answers of all machines together before it serves.
PATIENCE_S: Final = 2.0
#: Between two questions to a silent machine: the first time, and the longest.
_FIRST_DELAY_S: Final = 1.0
_MAX_DELAY_S: Final = 30.0
#: How long a machine in which no program of the container's runs is waited for: it is only to end.
_HELPER_TIMEOUT_S: Final = 5.0
#: How long a program may take to die that a killed daemon had only just started.
_END_TIMEOUT_S: Final = 10.0
SILENT_END: Final = "the machine had not answered since the daemon started, and was ended"


class Recovery:
    """The recovery of all containers and pods of a daemon that starts. ``run`` once, when all are in the table."""

    def __init__(self, host: Host) -> None:
        self._host = host
        #: Sandboxes whose machines ran when this daemon came and did not answer, with the error for their end.
        self._silent: dict[str, str] = {}

    async def run(self, containers: list[Container], pods: list[Pod]) -> None:
        """The machine of each has answered, is gone, or is asked again in the background until it is either.

        All machines that are gone are known to be: only silent ones are not waited for.
        """
        inside: dict[str, list[Container]] = {}
        outside: list[Container] = []
        by_id = {pod.record.id: pod for pod in pods}
        sandbox_of = {id: kept for kept in self._host.sandboxes for id in kept.record.members}
        for pod in pods:
            pod.await_machine(self._host.sandboxes.of_id(pod.record.id))
        for container in containers:
            kept = sandbox_of.get(container.record.id)
            container.await_machine(kept)
            if kept is None:
                outside.append(container)
            else:
                inside.setdefault(kept.record.id, []).append(container)
        work = [self._spawn(item.record.id, self._guarded(item, self._recover)) for item in outside]
        for pod in pods:
            if pod.kept is None:
                self._pod_is_lost(pod)
        silent: list[asyncio.Task[None]] = []
        for kept in self._host.sandboxes:
            machine = kept.record.machine
            runs = machine is not None and self._host.drivers.runs(machine)
            members = sorted(
                inside.get(kept.record.id, []),
                key=lambda item: kept.placement(item.record.id).container,
            )
            leader = by_id.get(kept.record.id)
            task = self._spawn(kept.record.id, self._recover_all(kept, members, leader))
            (silent if runs else work).append(task)
        if silent:
            await asyncio.wait(silent, timeout=PATIENCE_S)
        if work:
            await asyncio.wait(work)

    def _spawn(self, id: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._host.tasks.spawn(work, name=f"recovery of {id[:12]}")

    async def _recover_all(
        self, kept: KeptSandbox, members: list[Container], pod: Pod | None
    ) -> None:
        """A sandbox is found again, then what is in it; none is served before all are known."""
        try:
            await self._find_again(kept, _lead(kept, members, pod))
            if pod is not None:
                await self._recover_pod(pod, kept)
            for container in members:
                await self._guarded(container, self._recover)
            if kept.sandbox is not None:
                with contextlib.suppress(HyperError):  # it has just ended
                    await kept.sandbox.power.settle()
            else:
                kept.forget()  # also that of a container that is no more
        finally:
            for container in members:
                container.found.set()
            if pod is not None:
                pod.found.set()

    async def _find_again(self, kept: KeptSandbox, lead: Container | Pod | None) -> None:
        """The machine of ``kept`` has answered, or is gone: also one that is of no use to any container."""
        wanted = lead is not None and lead.live
        if kept.record.machine is None or kept.record.kind is Kind.HELPER or not wanted:
            await self._end_cleanly(kept)
            return
        kept.lead = None if lead is None else lead.record
        try:
            kept.sandbox = await self._until_answered(kept)
        except HyperError as error:
            logger.error("sandbox %s: cannot be found again: %s", kept.record.id[:12], error)
        if kept.sandbox is not None:
            for placement in kept.record.members.values():
                kept.sandbox.found(placement.container, placement.disks)

    async def _recover_pod(self, pod: Pod, kept: KeptSandbox) -> None:
        """The pod's anchor is watched over again, or the pod is known to have exited, and its machine is gone."""
        info = _program(kept.sandbox, MAIN_PROCESS)
        if kept.sandbox is None or info is None:
            if kept.sandbox is not None:
                await kept.sandbox.shut_down()
                kept.sandbox = None
            self._pod_is_lost(pod)
            return
        start = {0: info.stdin, 1: info.stdout, 2: info.stderr}
        anchor = kept.sandbox.session.process(info.process, tty=False, start=start)
        pod.adopt(Run(kept, kept.sandbox, Placement(), anchor))
        anchor.resume()

    def _pod_is_lost(self, pod: Pod) -> None:
        why = self._silent.get(pod.record.id)
        if why is None:
            pod.lost_in_absence()
        else:
            pod.lost_in_absence(why)
        pod.found.set()

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
        """The container is watched over again, or is known to have exited; nothing of it is left where it was."""
        record, kept = container.record, container.kept
        sandbox = None if kept is None else kept.sandbox
        info = _main_of(container, sandbox)
        if kept is None or sandbox is None:
            await self._is_lost(container)
        elif info is not None and container.live:
            self._go_on(container, kept, sandbox, info)
        elif not container.placement.joined:
            await sandbox.shut_down()
            kept.sandbox = None
            await self._is_lost(container)
        else:
            if info is not None:
                await _end(sandbox, info)
            await kept.part(record.id)
            await self._is_lost(container)

    async def _end_cleanly(self, kept: KeptSandbox) -> None:
        """The machine, in which no program of a container's is wanted, is gone, cleanly if its agent answers soon."""
        machine = kept.record.machine
        if machine is None:
            return
        try:
            sandbox = await Sandbox.reattach(
                self._host.drivers, machine, timeout_s=_HELPER_TIMEOUT_S
            )
        except HyperError as error:
            logger.warning("machine %s is ended: %s", machine.name, error.message)
            await kept.kill()
        else:
            if sandbox is not None:
                await sandbox.shut_down()

    async def _until_answered(self, kept: KeptSandbox) -> Sandbox | None:
        """The sandbox, once its agent answers; None: its machine has ended or is out of reach."""
        machine = kept.record.machine
        assert machine is not None
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                return await Sandbox.reattach(self._host.drivers, machine)
            except (ProtocolError, Unreachable) as error:
                logger.warning("sandbox %s: %s", kept.record.id[:12], error.message)
                self._silent[kept.record.id] = f"the machine was ended: {error.message}"
                await kept.kill()
                return None
            except HyperError as error:
                self._note_silence(kept, error)
            await self._pause(machine, delay_s)
            delay_s = min(2 * delay_s, _MAX_DELAY_S)

    def _note_silence(self, kept: KeptSandbox, error: HyperError) -> None:
        if kept.record.id not in self._silent:
            self._silent[kept.record.id] = SILENT_END
            name, text = kept.record.id[:12], error.message
            logger.warning("sandbox %s: its machine runs and is silent: %s", name, text)

    async def _pause(self, machine: MachineRecord, delay_s: float) -> None:
        """The delay ``delay_s`` has passed, or the machine has ended."""
        try:
            found = await self._host.drivers.attach(machine)
        except MachineError:  # another host does not say, or nobody here can ask it
            await asyncio.sleep(delay_s)
            return
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
        why = None if container.kept is None else self._silent.get(container.kept.record.id)
        if why is not None:
            container.lost_in_absence(CODE_KILLED, why)
        else:
            container.lost_in_absence()
        container.found.set()
        if record.status is Status.REMOVING:
            await removal.remove(container, force=True, volumes=record.remove_volumes)
        elif record.spec.remove_at_end:
            await removal.remove(container, force=True, volumes=True)

    def _go_on(
        self, container: Container, kept: KeptSandbox, sandbox: Sandbox, info: ProcessInfo
    ) -> None:
        if kept.record.id in self._silent:
            logger.warning("container %s: its machine answers", container.record.id[:12])
        log = container.hub.log
        assert log is not None
        # One more than was written is the stream's end.
        told = ((1, info.stdout, log.stdout), (2, info.stderr, log.stderr))
        ended = frozenset(fd for fd, acknowledged, kept in told if acknowledged == kept + 1)
        # Where the guest has forgotten more than the log has, the log had no room for it.
        log.skip(1, max(0, info.stdout - log.stdout))
        log.skip(2, max(0, info.stderr - log.stderr))
        start = {0: info.stdin, 1: log.stdout, 2: log.stderr}
        main = sandbox.session.process(
            info.process, tty=container.record.spec.program.tty, start=start, ended=ended
        )
        placement = kept.placement(container.record.id)
        container.adopt(Run(kept, sandbox, placement, main))
        main.resume()
        paused = sandbox.power.found(placement.container, paused=container.paused)
        if paused and not container.paused:
            container.note_pause(Event.PAUSE)


def _lead(kept: KeptSandbox, members: list[Container], pod: Pod | None) -> Container | Pod | None:
    """The container or pod whose sandbox it is; None: that is no more."""
    own = (item for item in members if item.record.id == kept.record.id)
    return pod or next(own, None)


def _main_of(container: Container, sandbox: Sandbox | None) -> ProcessInfo | None:
    """The container's own program, as the agent of a machine found again tells of it; None: it does not."""
    return _program(sandbox, container.placement.process)


def _program(sandbox: Sandbox | None, number: int) -> ProcessInfo | None:
    processes = () if sandbox is None else sandbox.hello.processes
    return next((info for info in processes if info.process == number), None)


async def _end(sandbox: Sandbox, info: ProcessInfo) -> None:
    """The program, whose start an earlier daemon did not live to keep, has ended, unless the agent does not answer."""
    process = sandbox.session.process(
        info.process, tty=False, start={0: info.stdin, 1: info.stdout, 2: info.stderr}
    )
    process.resume()
    sandbox.session.post(ProcessSignal(info.process, signal.SIGKILL))
    with contextlib.suppress(TimeoutError, HyperError):
        async with asyncio.timeout(_END_TIMEOUT_S):
            await process.exited
