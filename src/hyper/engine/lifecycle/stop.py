"""Stop, kill and restart of containers, as clients ask for them."""

from __future__ import annotations

import signal

from hyper.engine.lifecycle import run_end
from hyper.engine.lifecycle.container import Container
from hyper.engine.record.state import Status


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
        await run_end.kill_silent(container, number)
        return
    await run_end.kill_heard(container, number)


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
    if timeout_s is None:
        timeout_s = run_end.stop_timeout_s(container)
    await run_end.end(container, number, timeout_s)
    container.publish("stop")
    return True


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
