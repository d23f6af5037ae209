"""The file behind a disk, opened by us: the hypervisor sees no path of the host."""

from __future__ import annotations

import os

from hyper.errors import MachineError
from hyper.machine.spec import Disk


def open_disk(disk: Disk) -> int:
    """A descriptor of the disk's file, which the caller closes.

    Raises:
        MachineError: it cannot be opened.
    """
    # The descriptor's own mode is what holds a guest to read-only: the hypervisor has no path to open it again.
    try:
        return os.open(disk.source.path, os.O_RDONLY if disk.read_only else os.O_RDWR)
    except OSError as error:
        raise MachineError(f"cannot open disk {disk.source.path}: {error.strerror}") from error
