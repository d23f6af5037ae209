"""The remains of machines that are processes of this host: by what they are found again, and how they are taken away.

A machine is known by a record in its run folder and by one in the inventory. It has a control group of its name, a
file server where it shares folders, and sockets in its run folder.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Collection, Sequence
from pathlib import Path

from hyper.machine.driver import MachineRecord
from hyper.machine.process import share, state
from hyper.machine.process.inventory import Inventory
from hyper.machine.process.state import RECORD_FILE, ProcessState
from hyper.system.cgroup import Group, Groups
from hyper.system.pidfd import Pidfd

logger = logging.getLogger(__name__)


class Remains:
    """The remains of the machines of one driver. ``sockets``: names that a machine has in its run folder."""

    def __init__(
        self, driver: str, groups: Groups, inventory: Inventory, sockets: Sequence[str]
    ) -> None:
        self._driver = driver
        self._groups = groups
        self.inventory = inventory
        self._sockets = tuple(sockets)

    def note(self, record: MachineRecord, run_dir: Path) -> None:
        """The machine, which is about to run, is known by its record, should we die before our caller has kept it."""
        state.save(record, run_dir)
        try:
            self.inventory.add(record)
        except OSError as error:  # its run folder says the same, unless that is wiped
            logger.warning("machine %s is not in the inventory: %s", record.name, error)

    async def find(self, record: MachineRecord) -> Pidfd | None:
        """The process of a machine, which the caller closes; None: it has ended, and its remains are gone."""
        process = ProcessState.of(record)
        held, run_dir = process.open(), Path(process.run_dir)
        if held is None:
            # Of another machine in the same folder nothing is touched.
            other = state.read(run_dir / RECORD_FILE)
            if other is not None and self._is_of(other, process):
                await self.take_away(record, run_dir)
        return held

    async def clear(self, run_dir: Path) -> None:
        """No machine launched with ``run_dir`` runs any more; what it left is gone. Another driver's is not touched."""
        record = state.read(run_dir / RECORD_FILE)
        if record is not None and record.driver != self._driver:
            return
        if record is None:
            await share.end(run_dir)
        else:
            await _end(record)
            await self.take_away(record, run_dir)  # it may have moved a moment ago
        # A folder is called as its machine was at first: what a daemon that was killed early has left is found by that.
        await _remove(self._groups.find(run_dir.name))

    async def end_strays(self, kept: Collection[MachineRecord]) -> None:
        """The machines in the inventory run no more, except ``kept`` ones, wherever their folders are."""
        known = [ProcessState.of(record) for record in kept if record.driver == self._driver]
        for record in self.inventory.all():
            process = ProcessState.of(record)
            if not any(process.is_process_of(other) for other in known):
                await self._end_stray(record, process)

    async def _end_stray(self, record: MachineRecord, process: ProcessState) -> None:
        await _end(record)
        run_dir = Path(process.run_dir)
        other = state.read(run_dir / RECORD_FILE)
        if other is None or self._is_of(other, process):
            await self.take_away(record, run_dir)
        self.inventory.remove(record)

    async def take_away(self, record: MachineRecord, run_dir: Path) -> None:
        """The remains of the dead machine of ``record`` are gone."""
        self.inventory.remove(record)
        await share.end(run_dir)
        await _remove(self._groups.find(record.name))
        for name in (*self._sockets, RECORD_FILE):  # the record last: by it the rest is found
            (run_dir / name).unlink(missing_ok=True)

    def _is_of(self, record: MachineRecord, process: ProcessState) -> bool:
        """Whether ``record`` is of the machine that is, or was, ``process``."""
        return record.driver == self._driver and process.is_process_of(ProcessState.of(record))


async def _end(record: MachineRecord) -> None:
    """The machine of ``record``, which nobody knows any more, does not run."""
    held = ProcessState.of(record).open()
    if held is not None:
        logger.warning("ending machine %s, which nobody knows any more", record.name)
        held.send(signal.SIGKILL)
        await held.wait()
        held.close()


async def _remove(group: Group) -> None:
    """The control group is gone, also a process in it whose daemon died before it could keep a record of it."""
    await group.end()
    group.remove()
