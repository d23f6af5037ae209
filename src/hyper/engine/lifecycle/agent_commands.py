"""Builtins of the agent run for one container, whether its program runs or not.

Of a running container they are processes beside its program. For one that does not run a *helper* is launched, a
sandbox without the program; it stays for a moment, since clients mostly ask twice (stat, then archive), and is shut
down before anything else happens to the container. A daemon that comes back finds it among the sandboxes, and ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from hyper.engine.lifecycle.sandboxes import KeptSandbox, Run, Sandboxes
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.sandbox import Kind, Placement
from hyper.engine.tasks import Tasks
from hyper.errors import GuestError, HyperError, MachineError, NotFound
from hyper.guest.process import STDOUT, GuestProcess, Output
from hyper.ids import new_id
from hyper.proto.message import ProcessFlag, ProcessSignal, ProcessStart, ReplyCode
from hyper.proto.record import END_RECORD, Record, RecordDecoder
from hyper.sandbox.sandbox import Plan, Sandbox
from hyper.sandbox.timeline import Timeline

logger = logging.getLogger(__name__)

#: How long a helper is kept for further agent commands.
KEEP_WARM_S: Final = 2.0
#: How long an agent command may last after the container's program has ended: its machine is ended then.
LAST_CALL_S: Final = 60.0
#: How long a builtin may take to start (a new machine mounts everything first), and to die when it is killed.
START_TIMEOUT_S: Final = 60.0
KILL_TIMEOUT_S: Final = 5.0
#: A command in which no byte has moved for so long is ended: it keeps the container from being started or removed.
STALL_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Builtin:
    """A builtin with its arguments (docs/protocol.md, "Builtins"). ``outside``: without the container's namespaces."""

    args: tuple[str, ...]
    stdin: bool = False
    outside: bool = False
    freeze: bool = False
    user: str = ""

    def start(self, placement: Placement, process: int, *, running: bool) -> ProcessStart:
        """The request that starts the builtin. ``running``: the container's program runs."""
        flags = ProcessFlag.BUILTIN
        if self.stdin:
            flags |= ProcessFlag.STDIN
        if self.freeze and running:
            flags |= ProcessFlag.FREEZE
        if not running and not self.outside:
            flags |= ProcessFlag.INIT
        return ProcessStart(process, placement.container, self.args, flags=flags, user=self.user)


class AgentCommand:
    """An agent command: a builtin that runs, or is ``refused`` by the agent. ``records`` has one consumer."""

    def __init__(self, process: GuestProcess) -> None:
        self.refused = False
        self._process = process

    async def records(self) -> AsyncIterator[Record]:
        """The records that the builtin writes, its END or ERROR last.

        Raises:
            ProtocolError: it writes nonsense. MachineError: the builtin or the machine ended before.
        """
        decoder = RecordDecoder()
        outputs = self._process.outputs()
        while (piece := await _next(outputs)) is not None:
            if piece.fd == STDOUT:
                for record in decoder.feed(piece.data):
                    yield record
            self._process.taken(piece.fd, len(piece.data))
        if not decoder.ended:
            raise MachineError("the machine's agent gave up in the middle of its work")

    async def write(self, data: bytes) -> None:
        """The bytes are on their way to the builtin. Raises: HyperError if the machine is lost or takes nothing."""
        async with _stall_limit():
            await self._process.write(data)

    async def finish(self) -> None:
        """The builtin's input has ended."""
        await self.write(END_RECORD)
        self._process.close_stdin()

    async def end(self, sandbox: Sandbox) -> None:
        """The builtin runs no more, and the agent has forgotten it.

        Raises:
            MachineError: it cannot be made to.
        """
        process, session = self._process, sandbox.session
        if session.closed.done():
            return
        try:
            async with asyncio.timeout(KILL_TIMEOUT_S):
                if not process.exited.done():
                    session.post(ProcessSignal(process.number, 9))
                async for piece in process.outputs():
                    process.taken(piece.fd, len(piece.data))
                await process.exited
        except TimeoutError:
            raise MachineError("the machine's agent does not end its work") from None
        session.forget(process.number)


class Planner(Protocol):
    """A maker of helpers' plans: for the sandbox of an id; ``mounted``: with what the container mounts."""

    def __call__(self, sandbox_id: str, *, mounted: bool) -> AbstractAsyncContextManager[Plan]: ...


class CommandTarget(Protocol):
    """A container as far as builtins run for it. Members are those of Container, which says what they mean."""

    record: ContainerRecord
    lock: asyncio.Lock
    run: Run | None
    removed: asyncio.Future[int]

    @property
    def live(self) -> bool:
        """Whether a machine runs the container's program."""

    async def answering(self) -> None:
        """The machine answers, if there is one. Raises: Unavailable: it does not."""

    async def settled(self) -> None:
        """The machine of the last run is gone."""

    def helper_gone(self) -> None:
        """The volumes are free that a helper had."""


class AgentCommands:
    """The agent commands of one container. ``plan`` is entered while a helper is launched."""

    def __init__(
        self, container: CommandTarget, sandboxes: Sandboxes, tasks: Tasks, plan: Planner
    ) -> None:
        self._container = container
        self._sandboxes = sandboxes
        self._tasks = tasks
        self._plan = plan
        self._helper: KeptSandbox | None = None
        self._mounted = False
        self._timer: asyncio.Task[None] | None = None
        self._running = 0
        self._none = asyncio.Event()
        self._none.set()

    @asynccontextmanager
    async def open(self, builtin: Builtin) -> AsyncIterator[AgentCommand]:
        """An agent command: the agent does ``builtin`` while the body runs.

        Raises:
            NotFound: the container is gone. MachineError: no machine could be booted. GuestError: the agent refuses.
            Unavailable: the container's machine is silent.
        """
        await self._container.answering()
        async with AsyncExitStack() as stack:
            command = await self._join(stack, builtin)
            if command is None:
                command = await self._boot(stack, builtin)
            yield command

    async def _join(self, stack: AsyncExitStack, builtin: Builtin) -> AgentCommand | None:
        """An agent command beside the running program; None if none runs."""
        container = self._container
        run = container.run
        if not container.live or run is None:
            return None
        sandbox = run.sandbox
        stack.enter_context(self._counted())
        await stack.enter_async_context(sandbox.power.awake())
        start = builtin.start(run.placement, sandbox.new_process(), running=True)
        try:
            return await self._start(stack, sandbox, start)
        except GuestError as error:
            if error.code == ReplyCode.STATE:  # it has just ended
                await stack.aclose()
                return None
            raise

    @contextlib.contextmanager
    def _counted(self) -> Generator[None, None, None]:
        self._running += 1
        self._none.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._none.set()

    async def over(self) -> None:
        """The agent commands of the run that has ended are over, or have lasted too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_CALL_S):
                await self._none.wait()

    async def _boot(self, stack: AsyncExitStack, builtin: Builtin) -> AgentCommand:
        container = self._container
        await stack.enter_async_context(container.lock)
        await container.settled()
        if container.removed.done():
            raise NotFound(f"No such container: {container.record.id}")
        if container.live:  # somebody was quicker
            command = await self._join(stack, builtin)
            if command is not None:
                return command
            await container.settled()
        self._cancel_timer()
        stack.push_async_callback(self._keep_warm)
        lacks_mounts = not (self._mounted or builtin.outside)
        if (sandbox := self._sandbox) and (lacks_mounts or sandbox.session.closed.done()):
            await self.end_helper()
        if (sandbox := self._sandbox) is None:
            return await self._launch(stack, builtin)
        start = builtin.start(Placement(), sandbox.new_process(), running=False)
        return await self._start(stack, sandbox, start)

    @property
    def _sandbox(self) -> Sandbox | None:
        """The helper's machine and session."""
        return None if self._helper is None else self._helper.sandbox

    async def _launch(self, stack: AsyncExitStack, builtin: Builtin) -> AgentCommand:
        record = self._container.record
        start = builtin.start(Placement(), Placement().process, running=False)
        self._mounted = not builtin.outside
        helper = self._sandboxes.begin(new_id(), Kind.HELPER, record)
        try:
            async with self._plan(helper.record.id, mounted=self._mounted) as plan:
                started = await helper.launch(
                    replace(plan, program=start),
                    member=record.id,
                    timeline=Timeline(),
                    again=False,
                )
        except BaseException:
            self._forget(helper)
            raise
        self._helper = helper
        command = AgentCommand(started.program)
        stack.push_async_callback(self._end, command, started.sandbox)
        return command

    def _forget(self, helper: KeptSandbox) -> None:
        helper.forget()
        self._container.helper_gone()

    async def _start(
        self, stack: AsyncExitStack, sandbox: Sandbox, start: ProcessStart
    ) -> AgentCommand:
        process = sandbox.session.process(start.process, tty=False)
        command = AgentCommand(process)
        stack.push_async_callback(self._end, command, sandbox)
        try:
            await sandbox.session.call(start, timeout_s=START_TIMEOUT_S)
        except GuestError:
            sandbox.session.drop(start.process)
            command.refused = True
            raise
        return command

    async def _end(self, command: AgentCommand, sandbox: Sandbox) -> None:
        """The command has ended, even if the caller is cancelled once more: no other ends it, and it holds the lock."""
        name = f"end of an agent command in {self._container.record.id[:12]}"
        await _through(self._tasks.spawn(self._end_whole(command, sandbox), name=name))

    async def _end_whole(self, command: AgentCommand, sandbox: Sandbox) -> None:
        if command.refused:
            return
        try:
            await command.end(sandbox)
        except HyperError as error:
            logger.warning("container %s: %s", self._container.record.id[:12], error)
            if sandbox is self._sandbox:
                await sandbox.destroy()

    # The helper

    async def _keep_warm(self) -> None:
        """The helper ends after KEEP_WARM_S; at once if it has mounts, which others may want. The lock is held."""
        if self._helper is None:
            return
        name = f"helper of {self._container.record.id[:12]}"
        if self._mounted and self._container.record.mounts:
            task = self._tasks.spawn(self.end_helper(), name=name)
            await _through(task)
        else:
            self._timer = self._tasks.spawn(self._end_helper_later(), name=name)

    async def _end_helper_later(self) -> None:
        await asyncio.sleep(KEEP_WARM_S)
        async with self._container.lock:
            self._timer = None
            await self.end_helper()

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    async def end_helper(self) -> None:
        """The helper machine is gone. The container's lock is held, or no other task works on it any more."""
        self._cancel_timer()
        helper, self._helper = self._helper, None
        if helper is not None:
            if helper.sandbox is not None:
                await helper.sandbox.shut_down()
            self._forget(helper)


async def _through(task: asyncio.Task[None]) -> None:
    """The task is done, however often the caller that waits for it is cancelled."""
    cancelled = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


@asynccontextmanager
async def _stall_limit() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(STALL_TIMEOUT_S):
            yield
    except TimeoutError:
        raise MachineError(f"nothing has moved for {STALL_TIMEOUT_S:g} s: given up") from None


async def _next(outputs: AsyncIterator[Output]) -> Output | None:
    async with _stall_limit():
        return await anext(outputs, None)
