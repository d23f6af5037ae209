"""Verdicts about the accelerators of this host, told without waiting for a guest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hyper.engine.tasks import Tasks
from hyper.errors import MachineError
from hyper.machine.abilities import OF_DRIVERS
from hyper.machine.driver import Driver, Verdict
from hyper.machine.drivers import Drivers


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding about one accelerator of a driver; ``verdict`` None: it is being probed."""

    driver: str
    accelerator: str
    verdict: Verdict | None
    #: What the driver can do beyond the core, by the words of machine/abilities.py.
    abilities: tuple[str, ...]


class Hypervisors:
    """The drivers' verdicts. An accelerator that was never tried is tried in the background at the first question."""

    def __init__(self, drivers: Drivers, tasks: Tasks) -> None:
        self._drivers = drivers
        self._tasks = tasks
        self._probing: dict[str, asyncio.Task[None]] = {}

    def findings(self) -> list[Finding]:
        """The findings about all accelerators, best first. Never waits."""
        return [finding for driver in self._drivers for finding in self._of(driver)]

    def _of(self, driver: Driver) -> list[Finding]:
        try:
            known = driver.verdicts()
        except MachineError as error:  # the hypervisor or the guest's files are missing
            known = {"": Verdict(driver.name, "", usable=False, reason=error.message)}
        probing = self._probing.get(driver.name)
        if None in known.values() and (probing is None or probing.done()):
            name = f"probing {driver.name}"
            self._probing[driver.name] = self._tasks.spawn(self._probe(driver), name=name)
        able = tuple(name for name, kind in OF_DRIVERS.items() if isinstance(driver, kind))
        return [Finding(driver.name, name, verdict, able) for name, verdict in known.items()]

    @property
    def names(self) -> list[str]:
        """The names of all hypervisors, the best first."""
        return self._drivers.names

    @property
    def default(self) -> str:
        """The name of the hypervisor that machines get that name none."""
        return self._drivers.default.name

    async def versions(self) -> dict[str, str]:
        """The version of each hypervisor by its name, as the hypervisor states it; "" if that cannot be found out."""
        return {driver.name: await driver.version() for driver in self._drivers}

    def shortcomings(self) -> list[str]:
        """A sentence for each hypervisor whose machines' host cannot enforce all limits."""
        lacking = (driver.unlimited for driver in self._drivers if driver.unlimited)
        return [f"limits are incomplete: {'; '.join(reasons)}" for reasons in lacking]

    async def _probe(self, driver: Driver) -> None:
        await driver.probe()
