"""Descriptors that a hypervisor inherits: sockets bound and disks opened by us, so that it need open no path."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from hyper.machine.process.disk import open_disk
from hyper.machine.spec import Disk
from hyper.system import socket as sockets


def open_disks(disks: Iterable[Disk], ours: contextlib.ExitStack) -> tuple[int, ...]:
    """Descriptors of the disks' files, in their order; ``ours`` closes our copies.

    Raises:
        MachineError: one cannot be opened.
    """
    return tuple(_open(disk, ours) for disk in disks)


def _open(disk: Disk, owner: contextlib.ExitStack) -> int:
    fd = open_disk(disk)
    owner.callback(os.close, fd)
    return fd


def listen(path: Path, ours: contextlib.ExitStack, undo: contextlib.AsyncExitStack) -> int:
    """The descriptor of a socket that listens at ``path``; ``ours`` closes our copy, ``undo`` removes the name.

    Raises:
        Conflict: another machine uses the run folder.
    """
    listener = sockets.listen(path)
    ours.callback(listener.close)
    undo.callback(path.unlink, missing_ok=True)
    return listener.fileno()
