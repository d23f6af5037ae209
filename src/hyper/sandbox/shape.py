"""Shapes: which machines are made from templates, and what is left open in them until they are used."""

from __future__ import annotations

from typing import Final

from hyper.machine.spec import MachineSpec, Nic, TapNic
from hyper.machine.template import Card, Shape, Slot

#: How a container's own disks are called, in a machine of its own.
SCRATCH_DISK: Final = "scratch"


def layer_disk(index: int) -> str:
    """The name of the disk of layer ``index`` (0 is the lowest)."""
    return f"layer{index}"


#: What a machine made from a template has for disks; those of other names are added as to any running machine.
EMPTY_SLOTS: Final = (
    *(Slot(layer_disk(index), read_only=True) for index in range(3)),
    Slot(SCRATCH_DISK, read_only=False),
)


def shape_of(spec: MachineSpec) -> Shape | None:
    """The shape of a machine; None where it cannot be made from a template."""
    # What the host shares would have to be there when the template is saved.
    if spec.shared or spec.command_line:
        return None
    return Shape(spec.vcpus, spec.memory_mib, card_of(spec.nics))


def card_of(nics: tuple[Nic, ...]) -> Card:
    """The kind of these cards."""
    if not nics:
        return Card.NONE
    return Card.TAP if isinstance(nics[0], TapNic) else Card.USER
