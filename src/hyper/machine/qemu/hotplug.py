"""Disks that come to a running machine and leave it.

A disk whose name an empty slot has goes there: the filter under the slot's disk reads from it instead of from nothing,
which takes QEMU a millisecond and the guest does not notice. Any other disk is a SCSI disk of the one controller
that every machine has. Nothing is remembered here: what a machine has is asked of QEMU, which outlives the daemon.

Source: QEMU 7.2, docs/interop/qemu-qmp-ref (add-fd, blockdev-add, blockdev-reopen, device_add),
hw/scsi/virtio-scsi.c.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hyper.errors import Conflict, MachineError
from hyper.machine.process.disk import open_disk
from hyper.machine.qemu import argv
from hyper.machine.qemu.qmp import Monitor
from hyper.machine.spec import Disk

#: Enough for a score of containers. A guest of 64 MiB does not survive 200.
MAX_DISKS: Final = 64
_PREFIX: Final = argv.ADDED
_FILLED: Final = "filled-"
_FIRST_FDSET: Final = 1000
#: Names of a machine's slots in their order, and whether each is read-only.
Slots = Mapping[str, bool]
#: A command of QEMU's monitor and its arguments.
Command = tuple[str, dict[str, Any]]


async def add(monitor: Monitor, disks: Sequence[Disk], slots: Slots) -> None:
    """The guest finds ``disks`` when it looks for them. ``slots``: the slots the machine was made with.

    Raises:
        Conflict: there is one of such a name already, or there are too many.
        MachineError: one cannot be opened, or QEMU refuses it.
    """
    await _fill(monitor, [disk for disk in disks if disk.name in slots], slots)
    for disk in disks:
        if disk.name not in slots:
            await _plug(monitor, disk)


async def _fill(monitor: Monitor, disks: Sequence[Disk], slots: Slots) -> None:
    """The disks are in their slots, at one answer of QEMU's a disk and not one a command: a start waits for them."""
    filters = []
    for disk in disks:
        node = _FILLED + argv.plain(disk.name)
        fdset = _fdset(disk.name, slots)
        filters.append(_filter(disk.name, node, disk.read_only))
        commands = [_add_fd(node, fdset), ("blockdev-add", _node(disk, node, fdset))]
        if disk is disks[-1]:
            commands.append(("blockdev-reopen", {"options": filters}))
        passed, added, *reopened = await _with_file(monitor, disk, commands)
        if isinstance(passed, MachineError):
            raise passed
        if isinstance(added, MachineError):
            await monitor.execute("remove-fd", {"fdset-id": fdset, "fd": passed["fd"]})
            if "Duplicate nodes" in added.message:
                raise Conflict(f"the machine has a disk {disk.name} already") from added
            raise added
        if reopened and isinstance(reopened[0], MachineError):
            raise reopened[0]


def _add_fd(device: str, fdset: int | None = None) -> Command:
    where = {} if fdset is None else {"fdset-id": fdset}
    return "add-fd", {"opaque": device, **where}


async def _with_file(monitor: Monitor, disk: Disk, commands: Sequence[Command]) -> list[Any]:
    """Answers to ``commands``, which QEMU gets with the file of ``disk``: it sees no path of the host."""
    fd = open_disk(disk)
    try:
        return await monitor.execute_in_a_row(commands, fd=fd)
    finally:
        os.close(fd)


async def _empty(monitor: Monitor, name: str, slots: Slots) -> None:
    filter_ = _filter(name, argv.blank_node(name), slots[name])
    await monitor.execute("blockdev-reopen", {"options": [filter_]})
    try:
        await monitor.execute("blockdev-del", {"node-name": _FILLED + name})
    except MachineError as error:
        if "Failed to find node" in error.message:  # it was empty
            return
        raise
    await monitor.execute("remove-fd", {"fdset-id": _fdset(name, slots)})


def _fdset(name: str, slots: Slots) -> int:
    """The number of a slot's set of descriptors: above those QEMU gives to others, and no other slot's."""
    return _FIRST_FDSET + list(slots).index(name)


def _filter(slot: str, node: str, read_only: bool) -> dict[str, Any]:
    """The filter under the disk of ``slot`` with ``node`` for its file; other options are as argv gave them."""
    return {
        "driver": "throttle",
        "node-name": argv.slot_node(slot),
        "throttle-group": argv.NO_LIMITS,
        "file": node,
        "read-only": read_only,
    }


async def _plug(monitor: Monitor, disk: Disk) -> None:
    device, there = _PREFIX + argv.plain(disk.name), await _devices(monitor)
    if device in there:
        raise Conflict(f"the machine has a disk {disk.name} already")
    if len(there) >= MAX_DISKS:
        raise Conflict(f"the machine has {MAX_DISKS} added disks already")
    (passed,) = await _with_file(monitor, disk, [_add_fd(device)])
    if isinstance(passed, MachineError):
        raise passed
    fdset = passed["fdset-id"]
    try:
        await monitor.execute("blockdev-add", _node(disk, device, fdset))
        try:
            await monitor.execute("device_add", _device(disk, device))
        except MachineError:
            await monitor.execute("blockdev-del", {"node-name": device})
            raise
    except MachineError:
        await monitor.execute("remove-fd", {"fdset-id": fdset})
        raise


async def remove(monitor: Monitor, name: str, slots: Slots) -> None:
    """The machine has no added disk ``name`` any more, whatever the guest thinks of that; its file is closed.

    Raises:
        MachineError: QEMU refuses.
    """
    if name in slots:
        await _empty(monitor, name, slots)
        return
    node = _PREFIX + argv.plain(name)
    if node in await _devices(monitor):
        gone = ("DEVICE_DELETED", lambda data: data.get("device") == node)
        await monitor.execute("device_del", {"id": node}, until=gone)
    nodes = await monitor.execute("query-named-block-nodes", {"flat": True})
    if any(item["node-name"] == node for item in nodes):
        await monitor.execute("blockdev-del", {"node-name": node})
    for fdset in await monitor.execute("query-fdsets"):
        if any(fd.get("opaque") == node for fd in fdset["fds"]):
            await monitor.execute("remove-fd", {"fdset-id": fdset["fdset-id"]})


async def _devices(monitor: Monitor) -> set[str]:
    """The names of added disks whose device is there: adding them did not stop half-way."""
    found = await monitor.execute("qom-list", {"path": "/machine/peripheral"})
    return {item["name"] for item in found if item["name"].startswith(_PREFIX)}


def _node(disk: Disk, device: str, fdset: int) -> dict[str, Any]:
    """The node of an added disk, with the options that argv gives (and explains), without the idle format layer."""
    return {
        "driver": "file",
        "node-name": device,
        "filename": f"/dev/fdset/{fdset}",
        "locking": "off",
        "read-only": disk.read_only,
        "discard": "ignore" if disk.read_only else "unmap",
        "auto-read-only": False,
        "aio": "threads",
    }


def _device(disk: Disk, device: str) -> dict[str, Any]:
    return {
        "driver": "scsi-hd",
        "id": device,
        "drive": device,
        "bus": f"{argv.SCSI}.0",
        "channel": 0,
        "scsi-id": 0,  # the one target the agent looks at; QEMU finds a free unit of it
        "serial": disk.name,
    }
