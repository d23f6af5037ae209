"""The driver state of machines that are processes of this host, and the file in a run folder that has their record."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Final, Self

from hyper.machine.driver import MachineRecord
from hyper.system import files
from hyper.system.pidfd import Pidfd

RECORD_FILE: Final = "machine.json"


@dataclass(frozen=True, slots=True)
class ProcessState:
    """The driver state of a machine that is a process of this host.

    ``start_ticks`` (field 22 of /proc/PID/stat) tells the process from a later one of the same number.
    """

    pid: int
    start_ticks: int
    run_dir: str

    @classmethod
    def of(cls, record: MachineRecord) -> Self:
        """The driver state that ``record`` has.

        Raises:
            TypeError: it has none of this kind.
        """
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in record.state.items() if name in known})

    def kept_in(self, record: MachineRecord) -> MachineRecord:
        """The record ``record`` with this driver state."""
        return replace(record, state=asdict(self))

    def open(self) -> Pidfd | None:
        """The process, if it still runs. The caller closes it."""
        return Pidfd.open_same(self.pid, self.start_ticks)

    def is_process_of(self, other: ProcessState) -> bool:
        """Whether both are of one process."""
        return (self.pid, self.start_ticks) == (other.pid, other.start_ticks)


def save(record: MachineRecord, folder: Path) -> None:
    """The record of a machine is in its run folder, should we die before our caller has kept ``record``."""
    # Not synced: after a power loss there is no machine to find.
    files.write_atomically(folder / RECORD_FILE, encode(record), durable=False)


def load(folder: Path, driver: str) -> MachineRecord | None:
    """The record that ``save`` kept in ``folder`` for a machine of ``driver``; None if there is none."""
    record = read(folder / RECORD_FILE)
    return record if record is not None and record.driver == driver else None


def encode(record: MachineRecord) -> bytes:
    """The document of ``record``."""
    return json.dumps(asdict(record)).encode()


def read(path: Path) -> MachineRecord | None:
    """The record in the file ``path``; None if there is none that can be read."""
    try:
        return MachineRecord.of(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
