"""Containers: the record of one, its machine while it runs, and the operations on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Final

from hyper.engine.lifecycle import run_end
from hyper.engine.lifecycle.agent_commands import AgentCommands
from hyper.engine.lifecycle.exit_waiters import ExitWaiters
from hyper.engine.lifecycle.host import Host
from hyper.engine.lifecycle.in_sandbox import InSandbox
from hyper.engine.lifecycle.launch import launch
from hyper.engine.lifecycle.machine_plan import join_plan, machine_plan, room
from hyper.engine.lifecycle.pod import Pod
from hyper.engine.lifecycle.sandboxes import Run
from hyper.engine.network.recorded_leases import MachineNetwork
from hyper.engine.output.log_file import LogFile
from hyper.engine.output.output import OutputHub
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.container_spec import MachineSize
from hyper.engine.record.sandbox import Kind, Placement
from hyper.engine.record.state import Event, Status, next_status
from hyper.engine.spec import nfs, restart, shared_sandbox
from hyper.engine.spec.program_error import program_error
from hyper.engine.volume.attachment import Attachment
from hyper.errors import (
    Conflict,
    GuestError,
    HyperError,
    MachineError,
    NotFound,
)
from hyper.guest.process import GuestProcess
from hyper.machine.driver import Description, MachineRecord
from hyper.proto.message import NfsSource, ProcessExit, ProcessResize, ProcessSignal, ReplyCode
from hyper.sandbox.sandbox import Plan

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_S: Final = 20.0
#: Exit code of a program whose machine went away under it: as if killed; unknown: as Docker after a reboot.
CODE_KILLED: Final = 137
CODE_UNKNOWN: Final = 255


class Container(InSandbox):
    """A container that exists. State changes are synchronous, and kept before an event tells of them."""

    record: ContainerRecord

    def __init__(
        self,
        record: ContainerRecord,
        host: Host,
        *,
        find: Callable[[str], Container | Pod],
        find_pod: Callable[[str], Pod],
    ) -> None:
        super().__init__(host)
        self.record = record
        #: Another container or a pod by its name or id, a pod by its id; both raise NotFound.
        self.find = find
        self.find_pod = find_pod
        #: Number of restarts under way: the container outlives its run although it removes itself.
        self.restarting = 0
        self.hub = OutputHub(
            LogFile(
                host.folder(record.id).log,
                record.spec.log,
            )
        )
        self.removed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.exec_ids: list[str] = []
        #: Those of the execs that have not ended.
        self.open_execs: list[str] = []
        self.exit_waiters = ExitWaiters()
        self._started = asyncio.Event()
        self._start_over = asyncio.Event()
        self._start_over.set()
        self.agent_commands = AgentCommands(self, host.sandboxes, host.tasks, self._helper_plan)

    @property
    def placement(self) -> Placement:
        """The container's placement in the sandbox that it is in."""
        return Placement() if self.kept is None else self.kept.placement(self.record.id)

    @property
    def machine(self) -> MachineRecord | None:
        """The machine that the container is in, its own or another's; None: none."""
        return None if self.kept is None else self.kept.record.machine

    @property
    def hypervisor(self) -> str:
        """The hypervisor of the machine that the container is in; of its next one, which this daemon may not have."""
        if self.machine is not None:
            return self.machine.driver
        return self.record.spec.hypervisor or self.host.drivers.default.name

    @property
    def description(self) -> Description:
        """The description of the machine that the container is in; an empty one where there is none."""
        machine = self.machine
        return Description() if machine is None else self.host.drivers.describe(machine)

    @property
    def size(self) -> MachineSize:
        """The size of the machine that the container runs in; of its next one, where it does not run."""
        if self.live and self.kept is not None:
            return self.kept.record.size
        return self.record.spec.size

    @property
    def paused(self) -> bool:
        """Whether the container is live and none of its processes executes."""
        return self.record.status is Status.PAUSED

    @property
    def goes_at_end(self) -> bool:
        """Whether the container is removed once its program has ended."""
        return self.record.spec.remove_at_end and not self.restarting

    @property
    def _called(self) -> str:
        return f"container {self.record.id[:12]}"

    @property
    def _ended_by(self) -> str:
        return "docker kill or docker rm -f"

    def publish(self, action: str, **attributes: str) -> None:
        """An event says that ``action`` happened to the container."""
        record = self.record
        labels = dict(record.spec.labels)
        names = {"image": record.image_ref, "name": record.name}
        self.host.events.publish("container", action, record.id, {**labels, **names, **attributes})

    def save(self) -> None:
        """The container's record is on disk."""
        self.host.store.save_container(self.record)

    # Start

    async def start(self) -> bool:
        """The container's program runs. Returns False when it already did.

        Raises:
            Conflict: a port is in use, or the container is being removed.
            InvalidRequest: the program cannot be run (Docker's words and codes).
            MachineError: the machine did not start.
        """
        async with self.lock:
            if self.paused:
                raise Conflict("cannot start a paused container, try unpause instead")
            if self.up:
                return False
            record = self.record
            next_status(record.status, Event.START)
            record.restart_count, record.manually_stopped, record.stays_down = 0, False, False
            self._backoff.reset()
            await self._start()
            return True

    async def _start(self) -> None:
        """The container's program runs. The lock is held by the caller."""
        self._start_over.clear()
        try:
            await self.settled()
            await self.agent_commands.end_helper()
            await self._launch_or_fail()
        finally:
            self._start_over.set()

    async def _launch_or_fail(self) -> None:
        try:
            with self._starting():
                await self._launch()
        except HyperError as error:
            await self._start_failed(error)
            raise

    async def start_over(self) -> None:
        """No start of the container is under way: as with dockerd, a request that comes during one finds its result."""
        await self._start_over.wait()

    async def _launch(self) -> None:
        if self.record.spec.network.joins:
            await self._join()
            return
        record, host = self.record, self.host
        kept = host.sandboxes.begin(record.id, Kind.CONTAINER, record)
        timeline = self.timeline = host.start_log.begin(record.id)
        try:
            started = await launch(kept, record, host, timeline, begins=self.hub.begin_run)
        except BaseException:
            kept.forget()
            raise
        record.boot_ms = timeline.ready_ms
        self._running(Run(kept, started.sandbox, Placement(), started.program), started.pid)

    async def _join(self) -> None:
        member = self.record.member
        if member is None:
            await self._join_running(self.find(self.record.spec.network.joins))
            return
        pod = self.find_pod(member.pod)
        with pod.expecting():
            await pod.start()  # unless its machine runs
            if pod.prepare is not None and not member.init:
                await pod.prepare()
            await self._join_running(pod)

    async def _join_running(self, other: Container | Pod) -> None:
        await other.answering()
        run, record = other.joinable(), self.record
        assert run.kept.lead is not None
        placement = run.kept.place()
        shared_sandbox.take_from(record, other.record)
        disks = self.host.attachments.attach(record, placement, room=None)
        async with disks as attached:
            self.hub.begin_run()
            record.boot_ms = None
            todo = await join_plan(record, placement, run.kept.lead, self.host, attached)
            try:
                with nfs.named(todo.container.mounts):
                    started = await run.kept.join(record.id, placement, todo)
            except GuestError as error:
                raise program_error(error, record.command[0]) from error
            placement = run.kept.placement(record.id)
            self._running(Run(run.kept, run.sandbox, placement, started.program), started.pid)

    def joinable(self) -> Run:
        """The container's run, whose sandbox takes one more container.

        Raises:
            Conflict: it does not run, or is paused.
        """
        if not self.live or self.run is None:
            raise Conflict(f"cannot join network of a non running container: {self.record.id}")
        self.refuse_paused("joining its network")
        return self.run

    def _running(self, run: Run, pid: int) -> None:
        record = self.record
        record.status = next_status(record.status, Event.START)
        record.pid = pid
        record.exit_code, record.error, record.oom_killed = 0, "", False
        record.started_ns, record.finished_ns = time.time_ns(), 0
        self.try_save()
        self.adopt(run)
        self.publish("start")

    def adopt(self, run: Run) -> None:
        """The run is watched over: a fresh one, or one found again."""
        self.kept, self.run = run.kept, run
        run.kept.enter(self)
        self._started.set()
        self._machine_gone.clear()
        self.host.attachments.attached(self.record)
        run.program.exited.add_done_callback(lambda _: self.hub.release())
        self.host.tasks.spawn(self._supervise(run), name=f"container {self.record.id[:12]}")

    @contextlib.asynccontextmanager
    async def _helper_plan(self, sandbox_id: str, *, mounted: bool) -> AsyncIterator[Plan]:
        """The plan of a helper on no network, started in the body; ``mounted``: with those mounts the host has."""
        host = self.host
        async with contextlib.AsyncExitStack() as stack:
            attached = Attachment()
            if mounted:
                disks = host.attachments.attach(
                    self.record, Placement(), room=room(host.driver(self.record.spec))
                )
                attached = await stack.enter_async_context(disks)
                here = [item for item in attached.mounts if not isinstance(item.source, NfsSource)]
                attached = replace(attached, mounts=tuple(here))
            yield await machine_plan(sandbox_id, self.record, host, attached, MachineNetwork())

    def helper_gone(self) -> None:
        """The volumes are free that a helper, whose machine is gone, had for this container."""
        self.host.attachments.detach(self.record)

    async def _start_failed(self, error: HyperError) -> None:
        record = self.record
        record.error = str(error)
        record.exit_code = error.exit_code if error.exit_code in (126, 127) else 128
        record.ports = []
        if record.status is Status.RESTARTING:
            record.status = next_status(record.status, Event.GIVE_UP)
        self.try_save()
        self.exit_waiters.resolve(record.exit_code)
        self.hub.finish()
        self.host.start_log.failed(record.id)
        if record.spec.remove_at_end:
            await self.discard(volumes=True)

    # End

    async def _supervise(self, run: Run) -> None:
        """The program's end is known and kept, and its machine is gone."""
        main = run.program
        main.oom_kill = self._oom_killed
        try:
            await self.hub.pump(main)
            exit = await main.exited
        except HyperError as lost:
            await self._lost(run, lost)
        else:
            self._exited(exit.status, exit_event=exit)
            self.hub.finish()
            await self.agent_commands.over()
            await self._release(run)
        if not run.joined:
            await run.kept.others_left(self)
        self._gone()
        if self.record.status is Status.RESTARTING:
            self._restart_later()
        elif self.goes_at_end:
            await self.remove_ended()

    async def remove_ended(self) -> None:
        """The container, which removes itself, is gone, unless a client has already started it again."""
        async with self.lock:
            if not self.live:
                await self.settled()
                await self.discard(volumes=True)

    def _oom_killed(self) -> None:
        """The container counts as OOM-killed, as with dockerd whichever process was, also if the program goes on."""
        self.record.oom_killed = True
        self.try_save()
        self.publish("oom")

    def _exited(self, code: int, *, exit_event: ProcessExit | None = None, error: str = "") -> None:
        record = self.record
        again = not record.stays_down and restart.wants_restart(record, code)
        record.status = next_status(record.status, Event.EXIT_FOR_NOW if again else Event.EXIT)
        record.restart_count += again
        record.exit_code, record.error, record.pid = code, error, 0
        record.finished_ns = time.time_ns()
        untold = exit_event is not None and exit_event.oom and not record.oom_killed
        record.oom_killed = record.oom_killed or untold
        self.host.container_networks.unpublish(record)
        record.ports = []
        self.host.attachments.ending(record)
        self.try_save()
        self._started.clear()
        if untold:
            self.publish("oom")
        ran_s = (record.finished_ns - record.started_ns) // 10**9
        self.publish("die", exitCode=str(code), execDuration=str(ran_s))
        self.timeline.mark("program ended")
        # Also of a run that is followed by another, as dockerd does.
        self.exit_waiters.resolve(code)

    async def start_with_daemon(self) -> None:
        """The container, which its policy wants to run with a new daemon, runs; or the log says why not."""
        if self.record.status is Status.RESTARTING:
            await self._start_again(0)
            return
        try:
            await self.start()
        except HyperError as error:
            logger.error("container %s was not started: %s", self.record.id[:12], error)

    async def _before_restart(self) -> None:
        await self._owner_is_back()

    def _give_up_restart(self) -> None:
        """The container is EXITED. It was RESTARTING and no start was under way; the lock is held by the caller."""
        if self._restart is not None:
            self._restart.cancel()
        self.record.status = next_status(self.record.status, Event.GIVE_UP)
        self.try_save()
        self.exit_waiters.resolve(self.record.exit_code)
        self.hub.notify()

    async def end_restarting(self) -> None:
        """The container is not RESTARTING any more: the restart is given up, unless it was under way."""
        async with self.lock:
            self.give_up_restart()

    async def _release(self, run: Run) -> None:
        if run.joined:
            await run.kept.part(self.record.id)  # the machine goes on
            return
        await run.kept.end_others(self)
        if self.goes_at_end and not self.host.volumes.survive(self.record):
            await run.sandbox.destroy()  # its file systems are thrown away: no need to unmount them
        else:
            await run.sandbox.shut_down()

    async def _lost(self, run: Run, lost: HyperError) -> None:
        """The run has ended: the agent is not heard any more (machine killed, panicked, or talking nonsense)."""
        text = await self._autopsy(run, lost, whose="that it shared " if run.joined else "")
        self._exited(CODE_KILLED, error=text)
        self.hub.finish()

    def _gone(self) -> None:
        """The container is in no sandbox any more; if it was its own, that is gone."""
        kept, own = self.kept, not self.placement.joined
        self.kept = self.run = None
        self.host.container_networks.release(self.record)
        self.try_save()
        if kept is not None:
            kept.leave(self, last=own)
        self.host.attachments.detach(self.record)
        self.timeline.mark("machine gone")
        self._machine_gone.set()

    async def end_with_sandbox(self) -> None:
        """The program has ended, since the machine is about to: it was not stopped by a client."""
        await run_end.end_with_machine(self)

    async def _owner_is_back(self) -> None:
        """The container or pod whose machine this one wants is not about to be started again: it runs, or will not."""
        member, name = self.record.member, self.record.spec.network.joins
        with contextlib.suppress(NotFound):
            if member is not None:
                await self.find_pod(member.pod).restarted()
            elif name and (other := self.find(name)) is not self:
                await other.restarted()

    async def restarted(self) -> None:
        """The container, should it be RESTARTING, runs, or will not."""
        if self.record.status is not Status.RESTARTING:
            return
        either: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self.wait_started()),
            self.exit_waiters.next(),
        ]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in either:
                future.cancel()

    # A machine that an earlier daemon has started

    def lost_in_absence(
        self,
        code: int = CODE_UNKNOWN,
        error: str = "the machine was gone when the daemon came back",
    ) -> None:
        """The run that an earlier daemon left when it was killed has ended: its machine is gone now."""
        if self.live:
            self._exited(code, error=error)
            self.hub.finish()
        self._gone()

    # What may be asked of a running one

    def _not_running(self) -> Conflict:
        if self.record.status is Status.RESTARTING:
            return Conflict(
                f"Container {self.record.id} is restarting, wait until the container is running"
            )
        return Conflict(f"container {self.record.id} is not running")

    def refuse_removed(self) -> None:
        """The container is not being removed.

        Raises:
            Conflict: it is (Docker's words).
        """
        if self.record.status is Status.REMOVING:
            raise Conflict(
                f'Container is marked for removal and cannot be "update": {self.record.id}'
            )

    def refuse_paused(self, what: str, *, name: str = "") -> None:
        """The container is not paused. ``name``: as the client called it.

        Raises:
            Conflict: it is; ``what`` is impossible then (Docker's words).
        """
        if self.paused:
            raise Conflict(
                f"Container {name or self.record.id} is paused, unpause the container before {what}"
            )

    async def pause(self) -> None:
        """The container's processes do not execute, and its machine costs no time, until it is unpaused or ended.

        Raises:
            Conflict: it does not run, or is paused already.
            MachineError: the machine does not stop.
        """
        await self.start_over()
        await self.answering()
        run = self.running()
        if self.paused:
            raise Conflict(f"Container {self.record.id} is already paused")
        await run.sandbox.power.pause(run.placement.container)
        self.note_pause(Event.PAUSE)

    async def unpause(self, *before: ProcessSignal) -> None:
        """The container's processes go on; the signals ``before`` were sent first.

        Raises:
            Conflict: it is not paused.
            MachineError: the machine does not go on.
        """
        await self.answering()
        if not self.paused or self.run is None:
            raise Conflict(f"Container {self.record.id} is not paused")
        await self.run.sandbox.power.unpause(self.run.placement.container, *before)
        if self.paused:  # else it ended at once
            self.note_pause(Event.UNPAUSE)

    def note_pause(self, event: Event) -> None:
        """The container's record says that its machine was paused or unpaused; then an event does."""
        self.record.status = next_status(self.record.status, event)
        self.try_save()
        self.publish(event.value)

    async def ask(self, request: ProcessSignal | ProcessResize) -> None:
        """The agent has done ``request``.

        Raises:
            Conflict: the container, or the process the request is about, does not run (any more).
            GuestError, MachineError: the request failed for another reason.
        """
        await self.answering()
        sandbox = self.running().sandbox
        try:
            async with sandbox.power.awake():
                await sandbox.session.call(request, timeout_s=REQUEST_TIMEOUT_S)
        except GuestError as error:
            if error.code in (ReplyCode.NO_SUCH, ReplyCode.STATE):
                raise Conflict(f"container {self.record.id}: {error.message}") from error
            raise
        except MachineError as error:
            if sandbox.session.closed.done():
                raise self._not_running() from error
            raise

    async def wait_started(self) -> GuestProcess:
        """The container's program, as soon as it runs."""
        await self._started.wait()
        assert self.run is not None
        return self.run.program

    def note_stop(self, number: int) -> None:
        """The client's wish for an end is on disk first: a daemon killed now must not start the container again."""
        record = self.record
        record.manually_stopped = True
        record.stays_down |= restart.ends_the_policy(record.spec.program, number)
        self.try_save()

    async def resize(self, rows: int, columns: int) -> None:
        """The container's terminal has this size.

        Raises:
            Conflict: it does not run.
        """
        await self.ask(ProcessResize(self.placement.process, rows, columns))
        self.publish("resize", height=str(rows), width=str(columns))

    # Removal

    def give_up_restart(self) -> None:
        """The container, should it be RESTARTING, is EXITED: no start is under way, and the caller holds the lock."""
        if self.record.status is Status.RESTARTING:
            self._give_up_restart()

    async def discard(self, *, volumes: bool) -> None:
        """The container is gone; ``volumes``: its anonymous ones, too. The caller holds the lock; no machine runs."""
        record = self.record
        if self.removed.done():
            return
        await self.agent_commands.end_helper()
        record.status = next_status(record.status, Event.REMOVE)
        record.remove_volumes = volumes
        self.try_save()
        self.exit_waiters.resolve(record.exit_code)
        self.hub.close()
        await self.host.remove_folder(record.id)
        await self.host.images.release(record.id)
        await self.host.volumes.release(record, anonymous=volumes)
        self.host.store.delete_container(record.id)
        self.removed.set_result(record.exit_code)
        self.publish("destroy")

    async def let_go(self) -> None:
        """The container is let go of: the daemon ends, the machine does not."""
        await self.agent_commands.end_helper()
        await super().let_go()
        self.hub.close()
