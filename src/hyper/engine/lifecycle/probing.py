"""Health checks of running containers: one probe at a time each, run as a program beside the container's own.

A pod's container may have a second check, of its liveness; a container that fails it is killed.

Probes are not kept as execs are: those that a killed daemon had under way are ended by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from enum import StrEnum
from typing import Final

from hyper.engine.events import EngineEvent
from hyper.engine.lifecycle.agent_commands import Builtin
from hyper.engine.lifecycle.container import REQUEST_TIMEOUT_S, Container
from hyper.engine.lifecycle.containers import Containers
from hyper.engine.lifecycle.execs import Execs
from hyper.engine.lifecycle.host import Host
from hyper.engine.record.container import ContainerRecord, ExecRecord, Health, ProbeResult
from hyper.engine.record.container_spec import HealthCheck
from hyper.engine.record.state import Status
from hyper.engine.spec import agent_requests, health
from hyper.engine.spec.program_error import program_error
from hyper.errors import Conflict, GuestError, HyperError, NotFound
from hyper.guest.process import GuestProcess
from hyper.guest.session import Session
from hyper.ids import new_id
from hyper.proto.message import ProcessExit, ProcessSignal, Reply
from hyper.proto.record import Failure, RecordDecoder
from hyper.sandbox.sandbox import MAIN_PROCESS, Sandbox

logger = logging.getLogger(__name__)


#: A pod's container that is not ready is probed at least so often: a client may wait for it.
_UNREADY_INTERVAL_S: Final = 1.0


class _Kind(StrEnum):
    """The kind of a check: the member of ContainerRecord that has its results."""

    HEALTH = "health"
    LIVENESS = "liveness"


class HealthChecks:
    """The health checks of all containers, begun and ended with each container's run."""

    def __init__(self, host: Host, containers: Containers, execs: Execs) -> None:
        self._host = host
        self._containers = containers
        self._execs = execs
        self._running: dict[tuple[str, _Kind], asyncio.Task[None]] = {}

    def open(self) -> None:
        """The containers that run are checked, and from now on all that will; an earlier daemon's probes are ended."""
        live = [item for item in self._containers.all() if item.sandbox is not None and item.live]
        for sandbox in {item.sandbox for item in live if item.sandbox is not None}:
            self._end_strays(sandbox, [item for item in live if item.sandbox is sandbox])
        for container in live:
            self._go_on(container)
        self._host.events.listen(self._on_event)

    def take_up(self, container: Container) -> None:
        """The container, whose machine answers only now, is checked; an earlier daemon's probes in it are ended."""
        sandbox = container.sandbox
        if sandbox is not None and container.live:
            beside = [item for item in self._containers.all() if item.sandbox is sandbox]
            if not container.placement.joined:
                self._end_strays(sandbox, beside)
            self._go_on(container)

    def _go_on(self, container: Container) -> None:
        if not container.paused:
            self._begin(container, fresh=container.record.health is None)

    def _on_event(self, event: EngineEvent) -> None:
        if event.type != "container":
            return
        try:
            container = self._containers.get(event.actor)
        except NotFound:
            return
        match event.action:
            case "start":
                self._begin(container, fresh=True)
            case "unpause":
                self._begin(container, fresh=False)
            case "pause" | "die":
                self._stop(container)

    def _begin(self, container: Container, *, fresh: bool) -> None:
        record, sandbox = container.record, container.sandbox
        for kind, check in _checks(record):
            if sandbox is None or (record.id, kind) in self._running:
                continue
            known = getattr(record, kind)
            if fresh or known is None:
                setattr(record, kind, Health(log=known.log if known else []))
                self._save(container)
            self._running[record.id, kind] = self._host.tasks.spawn(
                self._watch(container, sandbox, kind, check),
                name=f"{kind} of {record.id[:12]}",
            )

    def _stop(self, container: Container) -> None:
        """The container is not probed any more, and counts as unhealthy, as old and new clients expect it."""
        for kind in _Kind:
            task = self._running.pop((container.record.id, kind), None)
            if task is not None:
                task.cancel()
        if container.record.health is not None:
            container.record.health.status = health.UNHEALTHY
            self._save(container)

    def _save(self, container: Container) -> None:
        try:
            self._host.store.save_container(container.record)
        except HyperError as error:
            logger.error("container %s: its health was not kept: %s", container.record.id, error)

    async def _watch(
        self,
        container: Container,
        sandbox: Sandbox,
        kind: _Kind,
        check: HealthCheck,
    ) -> None:
        record = container.record
        while True:
            state = getattr(record, kind)
            await asyncio.sleep(_interval_s(record, kind, check, state))
            result = await _Probe(container, sandbox, check).run(health.timeout_s(check))
            if container.record.status is not Status.RUNNING:
                return
            changed = health.note_result(check, state, result, started_ns=record.started_ns)
            self._save(container)
            if not changed:
                continue
            if kind is _Kind.HEALTH:
                container.publish(f"health_status: {state.status}")
            elif state.status == health.UNHEALTHY:
                container.publish("liveness: failed")
                # Nobody wanted it to stay down: its policy says what follows.
                with contextlib.suppress(Conflict):  # it has ended meanwhile
                    await container.ask(ProcessSignal(container.placement.process, signal.SIGKILL))

    def _end_strays(self, sandbox: Sandbox, containers: list[Container]) -> None:
        """Probes of a killed daemon are ended: programs of the machine that are no container's own and no exec's."""
        known = {MAIN_PROCESS, *(container.placement.process for container in containers)}
        known.update(*(self._execs.processes(container) for container in containers))
        for info in sandbox.hello.processes:
            if info.process in known:
                continue
            start = {0: info.stdin, 1: info.stdout, 2: info.stderr}
            process = sandbox.session.process(info.process, tty=False, start=start)
            process.resume()
            _end(sandbox.session, process)
            logger.info("machine %s: a probe is ended", sandbox.machine.record.name)


class _Probe:
    """A probe: one run of a check's program."""

    def __init__(self, container: Container, sandbox: Sandbox, check: HealthCheck) -> None:
        self._container = container
        self._sandbox = sandbox
        self._builtin = check.builtin
        self._exec = ExecRecord(
            id=new_id(),
            container_id=container.record.id,
            args=list(check.args),
            env=[],
            cwd="",
            user="",
            tty=False,
            privileged=False,
            attach_stdin=False,
            attach_stdout=True,
            attach_stderr=True,
        )
        self._output = health.OutputHead()
        self._told = False

    async def run(self, timeout_s: float) -> ProbeResult:
        """The probe's result. When the caller is cancelled, or after ``timeout_s``, the program is ended."""
        start_ns = time.time_ns()
        try:
            code = await self._run(timeout_s)
        except TimeoutError:
            code, text = health.NO_CODE, f"Health check exceeded timeout ({_go(timeout_s)})"
            said = self._output.text()
            return ProbeResult(start_ns, time.time_ns(), code, f"{text}: {said}" if said else text)
        except HyperError as error:
            return ProbeResult(start_ns, time.time_ns(), health.NO_CODE, error.message)
        return ProbeResult(start_ns, time.time_ns(), code, self._output.text())

    async def _run(self, timeout_s: float) -> int:
        """The exit code of the probe's program.

        Raises:
            TimeoutError: it did not end in time; it has by now, if the machine is well.
            HyperError: it could not be run.
        """
        session = self._sandbox.session
        process = await self._start(session)
        try:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._collect(process)
                    return self._tell(await process.exited)
            except TimeoutError:
                if process.exited.done():  # a child of it holds its output
                    return self._tell(process.exited.result())
                _kill(session, process)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REQUEST_TIMEOUT_S):
                        await asyncio.wait([process.exited])
                raise
        finally:
            _end(session, process)

    async def _start(self, session: Session) -> GuestProcess:
        container, record = self._container, self._exec
        words = " ".join(record.args)
        container.publish(f"exec_create: {words}", execID=record.id)
        process = session.process(self._sandbox.new_process(), tty=False)
        request = agent_requests.exec_program(
            container.record,
            record,
            process.number,
            (0, 0),
            container=container.placement.container,
        )
        if self._builtin:
            asked = Builtin(tuple(record.args), outside=True)
            request = asked.start(container.placement, process.number, running=True)
        container.publish(f"exec_start: {words}", execID=record.id)
        try:
            await session.call(request, timeout_s=REQUEST_TIMEOUT_S)
        except GuestError as error:
            session.drop(process.number)
            raise program_error(error, record.args[0], what="exec") from error
        except BaseException:
            _end(session, process)  # it may run all the same
            raise
        process.exited.add_done_callback(self._on_exit)
        return process

    def _on_exit(self, exited: asyncio.Future[ProcessExit]) -> None:
        if not exited.cancelled() and exited.exception() is None:
            self._tell(exited.result())

    def _tell(self, end: ProcessExit) -> int:
        """The exit code. An event tells the probe's end, once and before what follows: all callers come here."""
        if not self._told:
            self._told = True
            self._container.publish("exec_die", execID=self._exec.id, exitCode=str(end.status))
        return end.status

    async def _collect(self, process: GuestProcess) -> None:
        records = RecordDecoder()
        async for piece in process.outputs():
            if self._builtin:
                for record in records.feed(piece.data):
                    self._output.feed(record.text.encode() if isinstance(record, Failure) else b"")
            else:
                self._output.feed(piece.data)
            process.taken(piece.fd, len(piece.data))


def _checks(record: ContainerRecord) -> list[tuple[_Kind, HealthCheck]]:
    """The checks of a container, with their kinds."""
    asked = ((_Kind.HEALTH, record.spec.health), (_Kind.LIVENESS, record.spec.liveness))
    return [(kind, check) for kind, check in asked if check is not None]


def _interval_s(record: ContainerRecord, kind: _Kind, check: HealthCheck, state: Health) -> float:
    usual = health.interval_s(check, state, started_ns=record.started_ns, now_ns=time.time_ns())
    if record.member is None or kind is _Kind.LIVENESS or state.status == health.HEALTHY:
        return usual
    return min(usual, _UNREADY_INTERVAL_S)


def _go(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


def _kill(session: Session, process: GuestProcess) -> None:
    if not process.exited.done():
        session.post(ProcessSignal(process.number, signal.SIGKILL)).add_done_callback(_hear)


def _end(session: Session, process: GuestProcess) -> None:
    """The process is killed, and forgotten as soon as it has ended."""
    _kill(session, process)
    process.exited.add_done_callback(lambda _: session.forget(process.number))


def _hear(reply: asyncio.Future[Reply]) -> None:
    """The failure of a reply is ignored: the process has ended meanwhile."""
    if not reply.cancelled():
        reply.exception()
