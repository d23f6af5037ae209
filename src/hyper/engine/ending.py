"""Ending a container's program: asked to, then made to."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Final

from hyper.engine import plan
from hyper.engine.restart import ends_the_policy
from hyper.engine.state import Status
from hyper.errors import Conflict, HyperError
from hyper.proto.message import ProcessSignal
from hyper.sandbox.sandbox import Sandbox
from hyper.types.container import ContainerConfig

if TYPE_CHECKING:
    from hyper.engine.container import Container

DEFAULT_STOP_TIMEOUT_S: Final = 10
#: How long a program may take to die of SIGKILL before its machine is ended.
KILL_TIMEOUT_S: Final = 10.0


async def kill(container: Container, number: int) -> None:
    """Signal ``number`` was sent to its program; after SIGKILL it has ended.

    Raises:
        Conflict: it does not run.
    """
    if container.record.status is Status.RESTARTING:
        container.note_stop(number)
        if container.record.stays_down:
            await container.end_restarting()
        if not container.live:
            return
    sandbox, _ = container.running()
    container.note_stop(number)
    if number != signal.SIGKILL:
        await _signal(container, number)
        container.publish("kill", signal=str(number))
        return
    ended = container.exits.next()
    with contextlib.suppress(HyperError):  # whatever the agent says: it will end
        await _signal(container, number)
    container.publish("kill", signal=str(number))
    await _enforce(sandbox, ended)


async def stop(container: Container, *, timeout_s: int | None, number: int | None) -> bool:
    """Its program was asked to end, then made to; False when it did not run. ``timeout_s`` < 0: no limit."""
    if container.record.status is Status.RESTARTING:
        container.note_stop(signal.SIGKILL)
        await container.end_restarting()
        if not container.live:
            await container.settled()
            container.publish("stop")
            return True
    if not container.live:
        return False
    container.note_stop(signal.SIGKILL)
    config = container.record.config
    if timeout_s is None:
        timeout_s = _stop_timeout_s(config)
    ended = container.exits.next()
    try:
        await kill(container, number or plan.stop_signal(config))
    except Conflict:
        pass  # it ended by itself meanwhile
    except HyperError:
        timeout_s = 0  # it cannot be asked
    try:
        async with asyncio.timeout(timeout_s if timeout_s >= 0 else None):
            await asyncio.shield(ended)
    except TimeoutError:
        with contextlib.suppress(Conflict):
            await kill(container, signal.SIGKILL)
    await container.settled()
    container.publish("stop")
    return True


async def end_with_machine(guest: Container) -> None:
    """The machine that ``guest`` shares is about to end, and it has: asked to, then made to, as ``stop`` would.

    Nobody wanted it to stay down: its policy may start it again. "No limit" is the default one here.
    """
    sandbox = guest.sandbox
    if guest.live and sandbox is not None:
        ended = guest.exits.next()
        config = guest.record.config
        timeout_s = _stop_timeout_s(config)
        try:
            await _signal(guest, plan.stop_signal(config))
            async with asyncio.timeout(timeout_s if timeout_s >= 0 else DEFAULT_STOP_TIMEOUT_S):
                await asyncio.shield(ended)
        except (HyperError, TimeoutError):  # it cannot be asked, or does not listen
            with contextlib.suppress(HyperError):
                await _signal(guest, signal.SIGKILL)
            await _enforce(sandbox, ended)
    await guest.settled()


def _stop_timeout_s(config: ContainerConfig) -> int:
    return DEFAULT_STOP_TIMEOUT_S if config.stop_timeout is None else config.stop_timeout


async def restart(container: Container, *, timeout_s: int | None, number: int | None) -> None:
    """It was stopped, if it ran, and runs again. Raises: what ``stop`` and ``start`` raise."""
    await stop(container, timeout_s=timeout_s, number=number)
    await container.start()
    container.publish("restart")


async def _signal(container: Container, number: int) -> None:
    """Sent to its program. What asks it to end lifts a pause, as with dockerd; others wait for the end of it."""
    request = ProcessSignal(container.record.seat.process, number)
    if container.paused and ends_the_policy(container.record.config, number):
        await container.unpause(request)
    else:
        await container.ask(request)


async def _enforce(sandbox: Sandbox, ended: asyncio.Future[int]) -> None:
    try:
        async with asyncio.timeout(KILL_TIMEOUT_S):
            await asyncio.shield(ended)
    except TimeoutError:
        await sandbox.machine.kill()
        await ended
