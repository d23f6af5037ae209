"""Specifications of machines that nobody starts."""

from __future__ import annotations

from pathlib import Path

from hyper.machine.spec import MachineSpec

#: A machine without disks and networks.
PLAIN = MachineSpec(
    name="plain",
    vcpus=1,
    memory_mib=128,
    kernel=Path("/host/vmlinux"),
    initrd=Path("/host/initrd"),
    disks=(),
    nics=(),
    run_dir=Path("/run/hyper/m/plain"),
)
