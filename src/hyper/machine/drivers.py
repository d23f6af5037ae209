"""The drivers of one daemon: one is chosen by name, and a machine is found again by the driver its record names.

The best come first; which one machines get that name none is the daemon's option, or the first that works here.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from hyper.errors import HyperError, InvalidRequest, MachineError
from hyper.machine.driver import Description, Driver, Machine, MachineRecord

logger = logging.getLogger(__name__)

#: In place of a driver's name: the first one that works.
AUTO: Final = "auto"


class Drivers:
    """The drivers of a daemon, by name."""

    def __init__(self, drivers: Iterable[Driver], *, default: str = AUTO) -> None:
        """The ``drivers``, at least one, the best first; ``default``: a name, or AUTO.

        Raises:
            InvalidRequest: none of them is called ``default``.
        """
        self._by_name = {driver.name: driver for driver in drivers}
        self._chosen = None if default == AUTO else self.get(default)

    def __iter__(self) -> Iterator[Driver]:
        """All drivers, the best first."""
        return iter(self._by_name.values())

    @property
    def names(self) -> list[str]:
        """The names of all drivers, the best first."""
        return list(self._by_name)

    def get(self, name: str) -> Driver:
        """The driver called ``name``; "": the default one.

        Raises:
            InvalidRequest: there is none of that name.
        """
        if not name:
            return self.default
        if name not in self._by_name:
            raise InvalidRequest(
                f"unknown hypervisor: {name[:100]}",
                hint=f"hypervisors here: {', '.join(self.names)}",
            )
        return self._by_name[name]

    @property
    def default(self) -> Driver:
        """The driver of machines that name none: the one chosen, else the first that works or was not tried yet."""
        if self._chosen is not None:
            return self._chosen
        first, *others = self
        if not others:
            return first
        for driver in self:
            usable = _usable(driver)
            if usable:
                self._chosen = driver
            if usable is not False:
                return driver
        return first  # whose own failure says most

    def of(self, record: MachineRecord) -> Driver:
        """The driver of the machine of ``record``.

        Raises:
            MachineError: this daemon does not have it.
        """
        found = self._by_name.get(record.driver)
        if found is None:
            raise MachineError(
                f"machine {record.name} is of hypervisor {record.driver}, which this daemon does not have",
                hint=f"hypervisors here: {', '.join(self.names)}",
            )
        return found

    # What is asked of a machine's own driver

    def describe(self, record: MachineRecord) -> Description:
        """The description of the machine of ``record``; an empty one of a driver that is not here."""
        found = self._by_name.get(record.driver)
        return Description() if found is None else found.describe(record)

    def runs(self, record: MachineRecord) -> bool:
        """Whether the machine of ``record`` may still run. That of a driver that is not here may."""
        found = self._by_name.get(record.driver)
        return found is None or found.runs(record)

    async def attach(self, record: MachineRecord) -> Machine | None:
        """The machine of ``record`` if it still runs, else None: then what it left on its host is gone too.

        Raises:
            MachineError: the machine's host does not say, or its driver is not here. The machine may run.
        """
        return await self.of(record).attach(record)

    # What is asked of all drivers

    async def recover(self, kept: Collection[MachineRecord]) -> None:
        """The machines of an earlier daemon run no more, except ``kept`` ones. A driver that fails at it is logged."""
        for driver in self:
            try:
                await driver.recover(kept)
            except HyperError as error:
                logger.warning("stray machines of %s may run: %s", driver.name, error.message)

    async def clear(self, run_dir: Path) -> None:
        """No machine launched with ``run_dir`` runs any more, whichever driver and daemon launched it.

        Raises:
            MachineError: a driver cannot say; the others' are gone.
        """
        failure: MachineError | None = None
        for driver in self:
            try:
                await driver.clear(run_dir)
            except MachineError as error:
                failure = error
        if failure is not None:
            raise failure


def _usable(driver: Driver) -> bool | None:
    """Whether an accelerator of ``driver`` works here; None: that was not tried."""
    try:
        verdicts = list(driver.verdicts().values())
    except MachineError:
        return False
    if any(verdict is not None and verdict.usable for verdict in verdicts):
        return True
    return None if None in verdicts else False
