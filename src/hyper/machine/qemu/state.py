"""The driver state of QEMU's machines."""

from __future__ import annotations

from dataclasses import dataclass, field

from hyper.machine.process.state import ProcessState


@dataclass(frozen=True, slots=True)
class QemuState(ProcessState):
    """The driver state of a machine of QEMU's."""

    accelerator: str = ""
    #: The empty slots it was made with, and whether each is read-only.
    slots: dict[str, bool] = field(default_factory=dict)
