"""The descriptors QEMU inherits."""

from __future__ import annotations

import contextlib

from hyper.machine.process import descriptors
from hyper.machine.qemu.argv import MachineFds
from hyper.machine.qemu.machine import AGENT_SOCKET, CONSOLE_SOCKET, MONITOR_SOCKET, SOCKETS
from hyper.machine.qemu.spec import QemuSpec


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
    disks = descriptors.open_disks(spec.disks, ours)
    numbers = {name: descriptors.listen(spec.run_dir / name, ours, undo) for name in SOCKETS}
    return MachineFds(
        agent=numbers[AGENT_SOCKET],
        monitor=numbers[MONITOR_SOCKET],
        console=numbers[CONSOLE_SOCKET],
        disks=disks,
        share=share,
    )
