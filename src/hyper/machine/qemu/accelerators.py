"""QEMU's accelerators: the processor's own virtualization by KVM, and emulation by TCG."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from hyper.machine.probe import Accelerator

KVM_DEVICE: Final = Path("/dev/kvm")
#: What may be asked for; ``auto`` takes the best that works.
CHOICES: Final = ("auto", "kvm", "tcg")


def _obstacle() -> str | None:
    if not KVM_DEVICE.exists():
        return f"there is no {KVM_DEVICE}"
    if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return f"{KVM_DEVICE} exists but we may not open it (a member of the group kvm may)"
    return None


#: By their names, best first.
ACCELERATORS: Final = {
    "kvm": Accelerator("kvm", 5.0, _obstacle, sign=str(KVM_DEVICE)),
    "tcg": Accelerator("tcg", 60.0),
}
