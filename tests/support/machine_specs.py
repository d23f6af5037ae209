"""Specifications of machines that nobody starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hyper.machine.qemu.spec import QemuSpec
from hyper.machine.spec import TapNic
from hyper.machine.template import Memory, Slot

#: A machine without disks and networks.
PLAIN = QemuSpec(
    name="plain",
    vcpus=1,
    memory_mib=128,
    kernel=Path("/host/vmlinux"),
    initrd=Path("/host/initrd"),
    disks=(),
    nics=(),
    run_dir=Path("/run/hyper/m/plain"),
)
#: One with a card on a bridge.
BRIDGED = replace(PLAIN, name="bridged", nics=(TapNic(mac="02:42:ac:11:00:02", fd=30),))
#: One that copies are made of, with slots for their disks.
TEMPLATE = replace(
    BRIDGED,
    name="template",
    empty_slots=(Slot("layer0", read_only=True), Slot("scratch", read_only=False)),
    memory=Memory(50),
)
#: One that goes on from what was saved.
COPY = replace(TEMPLATE, name="copy", memory=Memory(50, state_fd=51))
