"""Removal of containers, as clients ask for it."""

from __future__ import annotations

import contextlib
import signal

from hyper.engine.lifecycle import stop
from hyper.engine.lifecycle.container import Container
from hyper.errors import Conflict


async def remove(container: Container, *, force: bool, volumes: bool = False) -> None:
    """The container is gone; ``volumes``: so are its anonymous volumes.

    Raises:
        Conflict: the container runs and ``force`` was not said.
    """
    _check_removable(container, force=force)
    async with container.lock:
        if container.removed.done():
            return
        _check_removable(container, force=force)  # it may just have been started
        container.give_up_restart()
        if container.live:
            with contextlib.suppress(Conflict):
                await stop.kill(container, signal.SIGKILL)
        await container.settled()
        await container.discard(volumes=volumes)


def _check_removable(container: Container, *, force: bool) -> None:
    name, status = container.record.name, container.record.status.value
    if container.paused and not force:
        raise Conflict(
            f'cannot remove container "/{name}": container is paused and must be unpaused first'
        )
    if container.up and not force:
        raise Conflict(
            f'cannot remove container "/{name}": container is {status}: '
            "stop the container before removing or force remove"
        )
