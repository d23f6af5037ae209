"""Verdicts about the accelerators of this host, told without waiting for a guest."""

from __future__ import annotations

import asyncio

from hyper.engine.tasks import Tasks
from hyper.machine.driver import Driver, Verdict


class Hypervisors:
    """The driver's verdicts. An accelerator that was never tried is tried in the background at the first question."""

    def __init__(self, driver: Driver, tasks: Tasks) -> None:
        self._driver = driver
        self._tasks = tasks
        self._probing: asyncio.Task[None] | None = None

    def verdicts(self) -> dict[str, Verdict | None]:
        """The verdicts by accelerator, best first; None: being probed. Never waits.

        Raises:
            MachineError: the hypervisor or the guest's files are missing.
        """
        found = self._driver.verdicts()
        if None in found.values() and (self._probing is None or self._probing.done()):
            self._probing = self._tasks.spawn(self._probe(), name="probing the hypervisor")
        return found

    async def _probe(self) -> None:
        await self._driver.probe()
