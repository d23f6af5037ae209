"""The end of a container's run: its program is asked to end, then made to.

Below the container, which is known here by what its end takes. What clients call stop and kill is in stop.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from hyper.engine.lifecycle.exit_waiters import ExitWaiters
from hyper.engine.lifecycle.sandboxes import KeptSandbox, Run
from hyper.engine.record.container import ContainerRecord
from hyper.engine.spec.restart import ends_the_policy
from hyper.errors import Conflict, HyperError, MachineError
from hyper.proto.message import ProcessSignal
from hyper.sandbox.sandbox import Sandbox

DEFAULT_STOP_TIMEOUT_S: Final = 10
#: How long a program may take to die of SIGKILL before its machine is ended.
KILL_TIMEOUT_S: Final = 10.0
#: How long the agent may take to say that it has sent SIGKILL. One that is silent for so long and whose machine has
#: not worked meanwhile (it stands still, its guest took the agent's port away) is not waited for: the machine is ended.
SILENCE_S: Final = 5.0
#: CPU time of a machine that has worked: it may only be slow, and has until REQUEST_TIMEOUT_S. (An idle one takes 2 ms
#: a second.)
_WORK_NS: Final = 100_000_000


class Endable(Protocol):
    """A container as far as the end of its run goes. Members are those of Container, which says what they mean."""

    record: ContainerRecord
    kept: KeptSandbox | None
    run: Run | None
    exit_waiters: ExitWaiters
    found: asyncio.Event

    @property
    def live(self) -> bool:
        """Whether a machine runs the container's program."""

    @property
    def paused(self) -> bool:
        """Whether the container is live and none of its processes executes."""

    def running(self) -> Run:
        """The run. Raises: Conflict: there is none. Unavailable: its machine is silent."""

    async def answering(self) -> None:
        """The machine answers. Raises: Unavailable: it does not."""

    async def settled(self) -> None:
        """The machine of the last run is gone."""

    async def ask(self, request: ProcessSignal) -> None:
        """The agent has done ``request``. Raises: HyperError."""

    async def unpause(self, *before: ProcessSignal) -> None:
        """The processes go on; the signals ``before`` were sent first. Raises: HyperError."""

    def note_stop(self, number: int) -> None:
        """The wish for an end by the signal ``number`` is kept."""

    def publish(self, action: str, **attributes: str) -> None:
        """An event says that ``action`` happened."""


async def kill_heard(container: Endable, number: int) -> None:
    """The signal ``number`` was sent to the program of a container that answers; after SIGKILL that has ended.

    Raises:
        Conflict: the container does not run.
    """
    container.running()
    container.note_stop(number)
    await _send(container, number)


async def kill_silent(container: Endable, number: int) -> None:
    """The signal was sent to a silent container: for SIGKILL the machine is ended; others wait for its answer.

    Raises:
        Unavailable: the machine stays silent. Conflict: the program has ended.
    """
    if number != signal.SIGKILL:
        await container.answering()
        await kill_heard(container, number)
        return
    container.note_stop(number)
    container.publish("kill", signal=str(number))
    ended = container.exit_waiters.next()
    if container.kept is not None:
        await container.kept.kill()
    await ended


async def _is_found(container: Endable, timeout_s: int) -> bool:
    """Whether the container's machine answers, or is known to be gone, within ``timeout_s`` (< 0: no limit)."""
    try:
        async with asyncio.timeout(timeout_s if timeout_s >= 0 else None):
            await container.found.wait()
    except TimeoutError:
        return False
    return True


async def end_with_machine(guest: Endable) -> None:
    """The container ``guest`` has ended (asked to, then made to), since the machine that it shares is about to.

    It was not stopped by a client: its policy may start it again. A stop timeout without limit is the default one here.
    """
    if guest.live and guest.run is not None:
        timeout_s = stop_timeout_s(guest)
        await end(guest, None, timeout_s if timeout_s >= 0 else DEFAULT_STOP_TIMEOUT_S)
    await guest.settled()


async def end(container: Endable, number: int | None, timeout_s: int) -> None:
    """The program was sent ``number`` (or its stop signal), after ``timeout_s`` SIGKILL; its machine is gone."""
    if not await _is_found(container, timeout_s):
        await kill_silent(container, signal.SIGKILL)
    if container.live:
        await _end_heard(container, number, timeout_s)
    await container.settled()


async def _end_heard(container: Endable, number: int | None, timeout_s: int) -> None:
    ended = container.exit_waiters.next()
    try:
        sandbox = container.running().sandbox
        before_ns = await _worked_ns(sandbox)
        async with asyncio.timeout(max(timeout_s, SILENCE_S) if timeout_s >= 0 else None):
            await _send(
                container, number or container.record.spec.program.stop_signal or signal.SIGTERM
            )
    except Conflict:
        pass  # it ended by itself meanwhile
    except TimeoutError:
        timeout_s = 0
        if await _worked_ns(sandbox) - before_ns < _WORK_NS:
            await _enforce(sandbox, ended, 0)  # nor would its agent hear more
    except HyperError:
        timeout_s = 0  # it cannot be asked
    try:
        async with asyncio.timeout(timeout_s if timeout_s >= 0 else None):
            await asyncio.shield(ended)
    except TimeoutError:
        with contextlib.suppress(Conflict):
            await _send(container, signal.SIGKILL)


async def _send(container: Endable, number: int) -> None:
    """The signal ``number`` was sent to the program, and an event says so; after SIGKILL the program has ended.

    Raises:
        Conflict: the container does not run.
    """
    sandbox = container.running().sandbox
    if number != signal.SIGKILL:
        await _signal(container, number)
        container.publish("kill", signal=str(number))
        return
    ended = container.exit_waiters.next()
    # Said first: the program ends whether the agent answers or not, and its end may come with the answer.
    container.publish("kill", signal=str(number))
    heard = await _is_heard(sandbox, _signal(container, number))
    await _enforce(sandbox, ended, KILL_TIMEOUT_S if heard else 0)


async def _is_heard(sandbox: Sandbox, asking: Coroutine[Any, Any, None]) -> bool:
    """Whether the agent has answered, whatever it says: False if it does not and its machine takes no CPU time."""
    before_ns = await _worked_ns(sandbox)
    task = asyncio.ensure_future(asking)
    try:
        done, _ = await asyncio.wait([task], timeout=SILENCE_S)
        if not done and await _worked_ns(sandbox) - before_ns >= _WORK_NS:
            done, _ = await asyncio.wait([task])  # which has a limit of its own
        return bool(done) and not isinstance(task.exception(), MachineError)
    finally:
        task.cancel()
        with contextlib.suppress(HyperError, asyncio.CancelledError):
            await task


async def _worked_ns(sandbox: Sandbox) -> int:
    """The CPU time in ns that the sandbox's machine has taken; 0 once that has ended."""
    try:
        return (await sandbox.machine.stats()).cpu_ns
    except MachineError:
        return 0


def stop_timeout_s(container: Endable) -> int:
    asked = container.record.spec.program.stop_timeout_s
    return DEFAULT_STOP_TIMEOUT_S if asked is None else asked


async def _signal(container: Endable, number: int) -> None:
    """The signal was sent. One that asks the program to end lifts a pause, as with dockerd; others wait for its end."""
    request = ProcessSignal(container.running().placement.process, number)
    if container.paused and ends_the_policy(container.record.spec.program, number):
        await container.unpause(request)
    else:
        await container.ask(request)


async def _enforce(sandbox: Sandbox, ended: asyncio.Future[int], timeout_s: float) -> None:
    """The program has ended: by itself within ``timeout_s``, or with its machine."""
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(ended)
    except TimeoutError:
        await sandbox.machine.kill()
        await ended
