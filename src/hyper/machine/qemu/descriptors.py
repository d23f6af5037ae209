"""The descriptors QEMU inherits: listening sockets bound and disks opened by us, so that it need open no path."""

from __future__ import annotations

import contextlib
import os

from hyper.machine.process.disk import open_disk
from hyper.machine.qemu.argv import MachineFds
from hyper.machine.qemu.machine import AGENT_SOCKET, CONSOLE_SOCKET, MONITOR_SOCKET, SOCKETS
from hyper.machine.qemu.spec import QemuSpec
from hyper.machine.spec import Disk
from hyper.system import socket as sockets


def open_all(
    spec: QemuSpec,
    ours: contextlib.ExitStack,
    undo: contextlib.AsyncExitStack,
    *,
    share: int | None = None,
) -> MachineFds:
    """Open everything but ``share``; ``ours`` closes our copies, ``undo`` removes the sockets' names.

    Raises:
        MachineError: a disk cannot be opened.
        Conflict: another machine uses the run folder.
    """
    disks = tuple(_open(disk, ours) for disk in spec.disks)
    listeners = []
    for name in SOCKETS:
        listener = sockets.listen(spec.run_dir / name)
        ours.callback(listener.close)
        undo.callback((spec.run_dir / name).unlink, missing_ok=True)
        listeners.append(listener.fileno())
    numbers = dict(zip(SOCKETS, listeners, strict=True))
    return MachineFds(
        agent=numbers[AGENT_SOCKET],
        monitor=numbers[MONITOR_SOCKET],
        console=numbers[CONSOLE_SOCKET],
        disks=disks,
        share=share,
    )


def _open(disk: Disk, owner: contextlib.ExitStack) -> int:
    fd = open_disk(disk)
    owner.callback(os.close, fd)
    return fd
