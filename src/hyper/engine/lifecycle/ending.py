"""Ending a container's program: asked to, then made to."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from hyper.engine.record.state import Status
from hyper.engine.spec.restart import ends_the_policy
from hyper.errors import Conflict, HyperError, MachineError
from hyper.proto.message import ProcessSignal
from hyper.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from hyper.engine.lifecycle.container import Container

DEFAULT_STOP_TIMEOUT_S: Final = 10
#: How long a program may take to die of SIGKILL before its machine is ended.
KILL_TIMEOUT_S: Final = 10.0
#: How long the agent may take to say that it has sent SIGKILL. One that is silent for so long and whose machine has
#: not worked meanwhile (it stands still, its guest took the agent's port away) is not waited for: the machine is ended.
SILENCE_S: Final = 5.0
#: CPU time of a machine that has worked: it may only be slow, and has until REQUEST_TIMEOUT_S. (An idle one takes 2 ms
#: a second.)
_WORK_NS: Final = 100_000_000


async def kill(container: Container, number: int) -> None:
    """The signal ``number`` was sent to the container's program; after SIGKILL that has ended.

    Raises:
        Conflict: the container does not run.
    """
    await container.start_over()
    if container.record.status is Status.RESTARTING:
        container.note_stop(number)
        if container.record.stays_down:
            await container.end_restarting()
        if not container.live:
            return
    if container.silent and container.live:
        await _kill_silent(container, number)
        return
    container.running()
    container.note_stop(number)
    await _send(container, number)


async def _kill_silent(container: Container, number: int) -> None:
    """The signal was sent to a silent container: for SIGKILL the machine is ended; others wait for its answer.

    Raises:
        Unavailable: the machine stays silent. Conflict: the program has ended.
    """
    if number != signal.SIGKILL:
        await container.answering()
        await kill(container, number)
        return
    container.note_stop(number)
    container.publish("kill", signal=str(number))
    await _end_machine(container)


async def _end_machine(container: Container) -> None:
    """The container's machine, which an earlier daemon has started, is gone, and the container has exited."""
    owner = container.record.seat.owner
    first = container.find(owner) if owner else container
    ended = container.exits.next()
    if first.record.machine is not None:
        await Sandbox.end(first.host.driver, first.record.machine)
    await ended


async def stop(container: Container, *, timeout_s: int | None, number: int | None) -> bool:
    """The program was asked to end, then made to. Returns False when it did not run. ``timeout_s`` < 0: no limit.

    The run's machine is gone in either case: it may still be closing its disks when its program has ended.
    """
    await container.start_over()
    if container.record.status is Status.RESTARTING:
        container.note_stop(signal.SIGKILL)
        await container.end_restarting()
        if not container.live:
            await container.settled()
            container.publish("stop")
            return True
    if not container.live:
        await container.settled()
        return False
    container.note_stop(signal.SIGKILL)
    await _end(container, number, _stop_timeout_s(container) if timeout_s is None else timeout_s)
    container.publish("stop")
    return True


async def _is_found(container: Container, timeout_s: int) -> bool:
    """Whether the container's machine answers, or is known to be gone, within ``timeout_s`` (< 0: no limit)."""
    try:
        async with asyncio.timeout(timeout_s if timeout_s >= 0 else None):
            await container.found.wait()
    except TimeoutError:
        return False
    return True


async def end_with_machine(guest: Container) -> None:
    """The container ``guest`` has ended (asked to, then made to), since the machine that it shares is about to.

    It was not stopped by a client: its policy may start it again. A stop timeout without limit is the default one here.
    """
    if guest.live and guest.sandbox is not None:
        timeout_s = _stop_timeout_s(guest)
        await _end(guest, None, timeout_s if timeout_s >= 0 else DEFAULT_STOP_TIMEOUT_S)
    await guest.settled()


async def _end(container: Container, number: int | None, timeout_s: int) -> None:
    """The program was sent ``number`` (or its stop signal), after ``timeout_s`` SIGKILL; its machine is gone."""
    if not await _is_found(container, timeout_s):
        await _kill_silent(container, signal.SIGKILL)
    if container.live:
        await _end_heard(container, number, timeout_s)
    await container.settled()


async def _end_heard(container: Container, number: int | None, timeout_s: int) -> None:
    ended = container.exits.next()
    try:
        sandbox, _ = container.running()
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


async def _send(container: Container, number: int) -> None:
    """The signal ``number`` was sent to the program, and an event says so; after SIGKILL the program has ended.

    Raises:
        Conflict: the container does not run.
    """
    sandbox, _ = container.running()
    if number != signal.SIGKILL:
        await _signal(container, number)
        container.publish("kill", signal=str(number))
        return
    ended = container.exits.next()
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


def _stop_timeout_s(container: Container) -> int:
    asked = container.record.spec.program.stop_timeout_s
    return DEFAULT_STOP_TIMEOUT_S if asked is None else asked


async def restart(container: Container, *, timeout_s: int | None, number: int | None) -> None:
    """The container was stopped, if it ran, and runs again. Raises: as ``stop`` and ``start``.

    A container that removes itself does so only when it does not run at the end of this.
    """
    container.restarting += 1
    try:
        await stop(container, timeout_s=timeout_s, number=number)
        await container.start()
    finally:
        container.restarting -= 1
        if container.goes_at_end and not container.up:
            await container.remove_ended()
    container.publish("restart")


async def _signal(container: Container, number: int) -> None:
    """The signal was sent. One that asks the program to end lifts a pause, as with dockerd; others wait for its end."""
    request = ProcessSignal(container.record.seat.process, number)
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
