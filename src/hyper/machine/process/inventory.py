"""The inventory of a daemon's machines, kept apart from their run folders: those may be wiped while machines run.

One file a machine, by its name, in the daemon's own state. A daemon that starts ends the machines in it that
no record names: they would go on for ever, while their identities are given to others.
"""

from __future__ import annotations

from pathlib import Path

from hyper.machine.driver import MachineRecord
from hyper.machine.process import state
from hyper.machine.process.state import ProcessState
from hyper.system import files

_SUFFIX = ".json"


class Inventory:
    """The machines that were launched with one state folder, and have not been seen to end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, record: MachineRecord) -> None:
        """The machine of ``record`` is in the inventory: it runs. Raises: OSError."""
        files.make_private_dir(self._folder.parent)
        files.make_private_dir(self._folder)
        # Not synced: after a power loss there is no machine to find.
        files.write_atomically(self._path(record.name), state.encode(record), durable=False)

    def remove(self, record: MachineRecord) -> None:
        """The machine of ``record``, which has ended, is not in the inventory. A later machine of its name stays."""
        found = state.read(self._path(record.name))
        if found is not None and ProcessState.of(found).is_process_of(ProcessState.of(record)):
            self._path(record.name).unlink(missing_ok=True)

    def all(self) -> list[MachineRecord]:
        """The record of every machine, as it was launched: its run folder may have moved since."""
        paths = self._folder.glob(f"*{_SUFFIX}") if self._folder.is_dir() else []
        return [record for path in paths if (record := state.read(path)) is not None]

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"
