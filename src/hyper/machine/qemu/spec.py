"""The spec of a machine of QEMU's: what every driver is told, and what an open machine has beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from hyper.machine.spec import MachineSpec
from hyper.machine.template import Memory, Slot


@dataclass(frozen=True, slots=True)
class QemuSpec(MachineSpec):
    """The spec of a machine of QEMU's."""

    #: Instead of disks: places for them. Not together with ``disks`` or ``shared``.
    empty_slots: tuple[Slot, ...] = ()
    #: None: memory of the machine's own.
    memory: Memory | None = None

    @classmethod
    def of(
        cls, spec: MachineSpec, *, slots: Sequence[Slot] = (), memory: Memory | None = None
    ) -> QemuSpec:
        """The spec of a machine like ``spec``, with ``slots`` and ``memory``."""
        common = {item.name: getattr(spec, item.name) for item in fields(MachineSpec)}
        return cls(**common, empty_slots=tuple(slots), memory=memory)
