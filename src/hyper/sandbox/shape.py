"""Shapes: which machines are made from templates, and what is left open in them until they are used."""

from __future__ import annotations

from typing import Final

from hyper.machine.driver import Driver
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


#: Disks that a start is fast with. Layers beyond them are merged, and give way to volumes, which cannot be.
FAST_DISKS: Final = 5


def layer_disks(driver: Driver, *, beside: int, shared: bool) -> int:
    """The number of disks that an image's layers have in a machine with ``beside`` other ones, at least one.

    ``shared``: the machine shares folders with the host, whose device counts as a disk does.
    """
    fast = FAST_DISKS - shared - beside
    return max(1, min(fast, driver.max_disks(shared=shared) - beside))


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
