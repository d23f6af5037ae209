"""Disks that come to a running machine and leave it: SCSI disks of the one controller that every machine has.

Nothing is remembered here: what a machine has is asked of QEMU, which outlives the daemon. Source: QEMU 7.2,
docs/interop/qemu-qmp-ref (add-fd, blockdev-add, device_add), hw/scsi/virtio-scsi.c.
"""

from __future__ import annotations

import os
from typing import Any, Final

from hyper.errors import Conflict, MachineError
from hyper.machine.qemu import argv
from hyper.machine.qemu.disk import open_disk
from hyper.machine.qemu.qmp import Monitor
from hyper.machine.spec import Disk

#: Enough for a score of containers. A guest of 64 MiB does not survive 200.
MAX_DISKS: Final = 64
_PREFIX: Final = "added-"


async def add(monitor: Monitor, disk: Disk) -> None:
    """The guest finds ``disk`` when it looks for it.

    Raises:
        Conflict: there is one of this name already, or there are too many.
        MachineError: it cannot be opened, or QEMU refuses it.
    """
    device, there = _PREFIX + argv.plain(disk.name), await _devices(monitor)
    if device in there:
        raise Conflict(f"the machine has a disk {disk.name} already")
    if len(there) >= MAX_DISKS:
        raise Conflict(f"the machine has {MAX_DISKS} added disks already")
    fdset = await _pass(monitor, disk, device)
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


async def remove(monitor: Monitor, name: str) -> None:
    """The machine has no added disk ``name`` any more, whatever the guest thinks of that; its file is closed.

    Raises:
        MachineError: QEMU refuses.
    """
    device = _PREFIX + argv.plain(name)
    if device in await _devices(monitor):
        await monitor.execute("device_del", {"id": device}, deleted=device)
    nodes = await monitor.execute("query-named-block-nodes", {"flat": True})
    if any(node["node-name"] == device for node in nodes):
        await monitor.execute("blockdev-del", {"node-name": device})
    for fdset in await monitor.execute("query-fdsets"):
        if any(fd.get("opaque") == device for fd in fdset["fds"]):
            await monitor.execute("remove-fd", {"fdset-id": fdset["fdset-id"]})


async def _devices(monitor: Monitor) -> set[str]:
    """What was added, and not only begun to be."""
    found = await monitor.execute("qom-list", {"path": "/machine/peripheral"})
    return {item["name"] for item in found if item["name"].startswith(_PREFIX)}


async def _pass(monitor: Monitor, disk: Disk, device: str) -> int:
    """The file of ``disk`` is open in QEMU, which sees no path of the host; the number of its set of descriptors."""
    fd = open_disk(disk)
    try:
        answer = await monitor.execute("add-fd", {"opaque": device}, fd=fd)
    finally:
        os.close(fd)
    number: int = answer["fdset-id"]
    return number


def _node(disk: Disk, device: str, fdset: int) -> dict[str, Any]:
    """As argv gives the disks of the start; the reasons are there."""
    return {
        "driver": "raw",
        "node-name": device,
        "read-only": disk.read_only,
        "discard": "ignore" if disk.read_only else "unmap",
        "auto-read-only": False,
        "file": {
            "driver": "file",
            "filename": f"/dev/fdset/{fdset}",
            "locking": "off",
            "read-only": disk.read_only,
            "auto-read-only": False,
            "aio": "threads",
        },
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
