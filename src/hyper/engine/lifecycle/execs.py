"""Execs: programs run beside a container's own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from typing import Final

from hyper.engine.events import EngineEvent
from hyper.engine.lifecycle.container import CODE_KILLED, REQUEST_TIMEOUT_S, Container
from hyper.engine.lifecycle.containers import Containers
from hyper.engine.lifecycle.host import Host
from hyper.engine.output.output import OutputHub
from hyper.engine.record.container import ExecRecord
from hyper.engine.spec import agent_requests
from hyper.engine.spec.from_docker import console_size
from hyper.engine.spec.program_error import program_error
from hyper.errors import Conflict, GuestError, HyperError, NotFound
from hyper.guest.process import GuestProcess
from hyper.ids import new_id
from hyper.proto.message import ProcessExit, ProcessInfo, ProcessResize, ProcessSignal
from hyper.sandbox.sandbox import Sandbox
from hyper.types.container import ExecBody

logger = logging.getLogger(__name__)

#: Execs of one container that have been made and not started: clients that want more start or end some.
MAX_WAITING: Final = 1024
#: An exec that has ended is known for so long (dockerd forgets it within 5 to 10 minutes), and so many of a container.
KEEP_ENDED_S: Final = 600
MAX_ENDED: Final = 1024


class Exec:
    """One exec. Hundreds that have ended are kept for clients that ask for their exit codes."""

    def __init__(self, record: ExecRecord, container: Container) -> None:
        self.record = record
        self.container = container
        self.hub = OutputHub(None)
        #: While the exec runs.
        self.process: GuestProcess | None = None
        #: Set: no start of the exec is under way.
        self.settled = asyncio.Event()
        self.settled.set()


class Execs:
    """The execs of this daemon, by id."""

    def __init__(self, host: Host, containers: Containers) -> None:
        self._host = host
        self._containers = containers
        self._by_id: dict[str, Exec] = {}

    def get(self, exec_id: str) -> Exec:
        """The exec of that id.

        Raises:
            NotFound: no such exec.
        """
        try:
            return self._by_id[exec_id]
        except KeyError:
            raise NotFound(f"No such exec instance: {exec_id}") from None

    def processes(self, container: Container) -> set[int]:
        """The numbers of a container's execs in its guest."""
        return {self._by_id[item].record.process for item in container.exec_ids}

    def create(self, container: Container, body: ExecBody, *, name: str = "") -> Exec:
        """An exec that is ready to be started. ``name``: what the client called the container.

        Raises:
            Conflict: the container does not run, or has too many execs that were not started.
            InvalidRequest: the request cannot be passed on to the agent.
        """
        container.running()
        container.refuse_paused("exec", name=name)
        self._check_room(container)
        record = ExecRecord(
            id=new_id(),
            container_id=container.record.id,
            args=body.cmd or [],
            env=body.env or [],
            cwd=body.working_dir,
            user=body.user,
            tty=body.tty,
            privileged=body.privileged,
            attach_stdin=body.attach_stdin,
            attach_stdout=body.attach_stdout,
            attach_stderr=body.attach_stderr,
            detach_keys=body.detach_keys,
            console_size=body.console_size,
        )
        agent_requests.check_working_dir(record.cwd)
        agent_requests.check_encodes(
            agent_requests.exec_program(
                container.record, record, 1, console_size(record.console_size), container=1
            )
        )
        self._host.store.save_exec(record)
        self._add(Exec(record, container))
        container.publish(f"exec_create: {' '.join(record.args)}", execID=record.id)
        return self._by_id[record.id]

    def _check_room(self, container: Container) -> None:
        waiting = sum(self._by_id[item].record.waits for item in container.exec_ids)
        if waiting >= MAX_WAITING:
            raise Conflict(
                f"container {container.record.id[:12]} has {waiting} execs that were created and not started",
                hint="start them; they are forgotten when the container ends",
            )

    def _add(self, item: Exec) -> None:
        record = item.record
        self._by_id[record.id] = item
        container = item.container
        if not container.exec_ids:
            container.removed.add_done_callback(lambda _: self._forget_all(container))
        container.exec_ids.append(record.id)
        if not record.ended:
            container.open_execs.append(record.id)

    def _forget_all(self, container: Container) -> None:
        for exec_id in container.exec_ids:
            self._by_id.pop(exec_id, None)
        container.exec_ids.clear()
        container.open_execs.clear()

    async def start(self, item: Exec, size: list[int] | None) -> GuestProcess:
        """The exec's program, which runs.

        Raises:
            Conflict: the exec was started before, or the container does not run.
            InvalidRequest: the program cannot be run.
        """
        record, container = item.record, item.container
        await container.answering()
        if record.process:
            raise already_run(record)
        run = container.running()
        sandbox = run.sandbox
        container.refuse_paused("exec")
        record.process = sandbox.new_process()
        self._host.store.save_exec(record)  # first: a daemon killed now must know it again
        item.process = process = sandbox.session.process(record.process, tty=record.tty)
        size = size or record.console_size
        request = agent_requests.exec_program(
            container.record,
            record,
            record.process,
            console_size(size),
            container=run.placement.container,
        )
        try:
            reply = await sandbox.session.call(request, timeout_s=REQUEST_TIMEOUT_S)
            record.pid, record.running = reply.pid(), True
        except GuestError as error:
            sandbox.session.drop(record.process)
            failure = program_error(error, record.args[0], what="exec")
            self._end(item, failure.exit_code)
            raise failure from error
        except HyperError as error:
            self._end(item, error.exit_code)
            raise
        self._try_save(record)
        container.publish(f"exec_start: {' '.join(record.args)}", execID=record.id)
        self._watch(item, sandbox)
        return process

    def _watch(self, item: Exec, sandbox: Sandbox) -> None:
        self._host.tasks.spawn(self._supervise(item, sandbox), name=f"exec {item.record.id[:12]}")

    async def _supervise(self, item: Exec, sandbox: Sandbox) -> None:
        """The exec has ended: its output is delivered and its exit code is kept."""
        process = item.process
        assert process is not None
        process.exited.add_done_callback(lambda exited: _let_go(item.hub, exited))
        try:
            await item.hub.pump(process)
            code = (await process.exited).status
            sandbox.session.forget(process.number)
        except HyperError:
            code = CODE_KILLED  # the machine is gone, and the program with it
        self._end(item, code)
        item.container.publish("exec_die", execID=item.record.id, exitCode=str(code))
        item.hub.finish()

    def _try_save(self, record: ExecRecord) -> None:
        try:
            self._host.store.save_exec(record)
        except HyperError as error:
            logger.error("exec %s: its state was not kept: %s", record.id[:12], error)

    def _end(self, item: Exec, code: int) -> None:
        record = item.record
        record.running, record.exit_code, record.ended_ns = False, code, time.time_ns()
        item.process = None
        if record.id in item.container.open_execs:
            item.container.open_execs.remove(record.id)
        if not item.container.removed.done():
            self._try_save(record)
            self._forget_old(item.container)

    def _forget_old(self, container: Container) -> None:
        """Execs that ended long ago, or before many others, are not known any more."""
        records = [self._by_id[item].record for item in container.exec_ids]
        ended = [record for record in records if record.ended]
        oldest_ns = time.time_ns() - KEEP_ENDED_S * 10**9
        self._forget(container, [item for item in ended if item.ended_ns < oldest_ns])
        self._forget(container, ended[:-MAX_ENDED])

    def _forget_waiting(self, container: Container) -> None:
        """Execs that were not started are forgotten: the container's program has ended (as with dockerd)."""
        records = (self._by_id[item].record for item in container.exec_ids)
        self._forget(container, [record for record in records if record.waits])

    def _forget(self, container: Container, records: Iterable[ExecRecord]) -> None:
        gone = {record.id for record in records if self._by_id.pop(record.id, None) is not None}
        if not gone:
            return
        container.exec_ids[:] = [item for item in container.exec_ids if item not in gone]
        container.open_execs[:] = [item for item in container.open_execs if item not in gone]
        try:
            self._host.store.delete_execs(sorted(gone))
        except HyperError as error:
            logger.error("%d execs were not forgotten on disk: %s", len(gone), error)

    async def resize(self, item: Exec, rows: int, columns: int) -> None:
        """The exec's terminal has this size. A start under way is waited for: clients ask once they are connected.

        Raises:
            Conflict: it does not run.
        """
        await item.settled.wait()
        if not item.record.running:
            raise Conflict(f"exec {item.record.id} is not running")
        await item.container.ask(ProcessResize(item.record.process, rows, columns))

    async def kill(self, item: Exec, number: int) -> None:
        """The signal ``number`` was sent to the exec's program. Raises: Conflict if it does not run."""
        await item.container.ask(ProcessSignal(item.record.process, number))

    def recover(self) -> None:
        """The kept execs are known; those that still run in a machine found again are watched over."""
        for record in self._host.store.execs():
            try:
                container = self._containers.get(record.container_id)
            except NotFound:
                continue
            self._add(Exec(record, container))
        for container in self._containers.all():
            if not container.silent:
                self.take_up(container)
        self._host.events.listen(self._on_event)

    def take_up(self, container: Container) -> None:
        """The execs of a container whose machine has answered, or is gone, are watched over, or have ended."""
        for item in [self._by_id[exec_id] for exec_id in container.exec_ids]:
            record = item.record
            if record.running or (record.process and record.exit_code is None):
                self._take_up(item)
        if not container.up:
            self._forget_waiting(container)

    def _on_event(self, event: EngineEvent) -> None:
        if event.type == "container" and event.action == "die":
            with contextlib.suppress(NotFound):
                self._forget_waiting(self._containers.get(event.actor))

    def _take_up(self, item: Exec) -> None:
        sandbox = item.container.sandbox
        info = _find(sandbox, item.record.process)
        if sandbox is None or info is None:
            self._end(item, CODE_KILLED if item.record.exit_code is None else item.record.exit_code)
            return
        self._resume(item, sandbox, info)

    def _resume(self, item: Exec, sandbox: Sandbox, info: ProcessInfo) -> None:
        start = {0: info.stdin, 1: info.stdout, 2: info.stderr}
        item.process = sandbox.session.process(info.process, tty=item.record.tty, start=start)
        item.process.resume()
        item.record.running = True
        self._watch(item, sandbox)


def already_run(record: ExecRecord) -> Conflict:
    """The error of a second start, in Docker's words."""
    state = "is already running" if record.running else "has already run"
    return Conflict(f"exec command {record.id} {state}")


def _let_go(hub: OutputHub, exited: asyncio.Future[ProcessExit]) -> None:
    """The output waits for clients no more, if the machine is gone. (Children of a program that ended may write on.)"""
    if exited.cancelled() or exited.exception() is not None:
        hub.release()


def _find(sandbox: Sandbox | None, number: int) -> ProcessInfo | None:
    processes = sandbox.hello.processes if sandbox else ()
    return next((info for info in processes if info.process == number), None)
