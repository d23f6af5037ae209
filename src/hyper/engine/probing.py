"""Runs the health checks of running containers: one probe at a time each, as a program beside the container's own.

Probes are not kept as execs are: what a killed daemon had under way is ended by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time

from hyper.engine import health, plan
from hyper.engine.container import REQUEST_TIMEOUT_S, Container
from hyper.engine.containers import Containers
from hyper.engine.events import EngineEvent
from hyper.engine.execs import Execs
from hyper.engine.host import Host
from hyper.engine.program_error import program_error
from hyper.engine.record import ExecRecord, Health, ProbeResult
from hyper.engine.state import Status
from hyper.errors import GuestError, HyperError, NotFound
from hyper.guest.process import GuestProcess
from hyper.guest.session import Session
from hyper.ids import new_id
from hyper.proto.message import ProcessExit, ProcessSignal, Reply
from hyper.sandbox.sandbox import Sandbox

logger = logging.getLogger(__name__)


class HealthChecks:
    """The health checks of all containers: they follow what happens to each."""

    def __init__(self, host: Host, containers: Containers, execs: Execs) -> None:
        self._host = host
        self._containers = containers
        self._execs = execs
        self._running: dict[str, asyncio.Task[None]] = {}

    def open(self) -> None:
        """Containers that run are checked, and from now on all that will; no probe of an earlier daemon runs."""
        live = [item for item in self._containers.all() if item.sandbox is not None and item.live]
        for sandbox in {item.sandbox for item in live if item.sandbox is not None}:
            self._end_strays(sandbox, [item for item in live if item.sandbox is sandbox])
        for container in live:
            if not container.paused:
                self._begin(container, fresh=container.record.health is None)
        self._host.events.listen(self._on_event)

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
        args = health.probe_args(record.config)
        if args is None or sandbox is None or record.id in self._running:
            return
        if fresh:
            record.health = Health(log=record.health.log if record.health else [])
            self._save(container)
        self._running[record.id] = self._host.tasks.spawn(
            self._watch(container, sandbox, args), name=f"health of {record.id[:12]}"
        )

    def _stop(self, container: Container) -> None:
        """What is not probed is unhealthy, for clients of all ages."""
        task = self._running.pop(container.record.id, None)
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

    async def _watch(self, container: Container, sandbox: Sandbox, args: list[str]) -> None:
        record = container.record
        while True:
            await asyncio.sleep(health.interval_s(record, now_ns=time.time_ns()))
            result = await _Probe(container, sandbox, args).run(health.timeout_s(record.config))
            if container.record.status is not Status.RUNNING:
                return
            changed = health.note_result(record, result)
            self._save(container)
            if changed and record.health is not None:
                container.publish(f"health_status: {record.health.status}")

    def _end_strays(self, sandbox: Sandbox, containers: list[Container]) -> None:
        """Programs that neither a container of it nor an exec knows are probes of a daemon that was killed."""
        known = {container.record.seat.process for container in containers}
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
    """One run of the program that finds out."""

    def __init__(self, container: Container, sandbox: Sandbox, args: list[str]) -> None:
        self._container = container
        self._sandbox = sandbox
        self._exec = ExecRecord(
            id=new_id(),
            container_id=container.record.id,
            args=args,
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
        """How it went. When the caller is cancelled, or after ``timeout_s``, the program is ended."""
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
        """Raises:
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
        request = plan.exec_program(container.record, record, process.number, None)
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
        """Its end is told once, and before what follows from it: whoever takes the status comes through here."""
        if not self._told:
            self._told = True
            self._container.publish("exec_die", execID=self._exec.id, exitCode=str(end.status))
        return end.status

    async def _collect(self, process: GuestProcess) -> None:
        async for piece in process.outputs():
            self._output.feed(piece.data)
            process.taken(piece.fd, len(piece.data))


def _go(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


def _kill(session: Session, process: GuestProcess) -> None:
    if not process.exited.done():
        session.post(ProcessSignal(process.number, signal.SIGKILL)).add_done_callback(_hear)


def _end(session: Session, process: GuestProcess) -> None:
    """It is killed, and forgotten as soon as it has ended."""
    _kill(session, process)
    process.exited.add_done_callback(lambda _: session.forget(process.number))


def _hear(reply: asyncio.Future[Reply]) -> None:
    """Of a process that ended meanwhile nothing more is wanted."""
    if not reply.cancelled():
        reply.exception()
