"""Clocks of guests: they follow the host's when that is set, and when the host has slept, as its guests have then."""

from __future__ import annotations

import asyncio
import logging

from hyper.engine.lifecycle.sandboxes import Sandboxes
from hyper.engine.tasks import Tasks
from hyper.errors import HyperError
from hyper.guest.clock import set_clock
from hyper.sandbox.sandbox import MAIN_CONTAINER, Sandbox
from hyper.system.clock import ClockWatch

logger = logging.getLogger(__name__)


class GuestClocks:
    """The clocks of all running guests. ``open`` before use, ``close`` at the end."""

    def __init__(self, sandboxes: Sandboxes, tasks: Tasks) -> None:
        self._sandboxes = sandboxes
        self._tasks = tasks
        self._watch: ClockWatch | None = None

    def open(self) -> None:
        """Guests' clocks follow the host's from now on."""
        try:
            self._watch = ClockWatch(self._step)
        except OSError as error:
            logger.warning("guests will not follow when the host's clock is set: %s", error)

    def close(self) -> None:
        """Guests' clocks follow the host's no more."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _step(self) -> None:
        self._tasks.spawn(self._tell(), name="setting the clocks of guests")

    async def _tell(self) -> None:
        """Every guest that executes has the host's clock, or cannot be told."""
        containers: dict[Sandbox, int] = {}
        for kept in self._sandboxes:
            sandbox = kept.sandbox
            # One that stands still is told when it goes on.
            if sandbox is None or sandbox.power.stopped or sandbox.session.closed.done():
                continue
            containers[sandbox] = MAIN_CONTAINER
        told = await asyncio.gather(*(_set(*one) for one in containers.items()))
        logger.info("the host's clock was set: %d machines were told", sum(told))


async def _set(sandbox: Sandbox, container: int) -> bool:
    try:
        await set_clock(sandbox.session, container)
    except HyperError as error:
        logger.info("machine %s: its clock is not set: %s", sandbox.machine.record.name, error)
        return False
    return True
