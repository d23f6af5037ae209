"""The policy of what a volume is made of. Pure.

Only what was asked for decides, never what a hypervisor has free: the same words make the same volume on every host.
"""

from __future__ import annotations

from hyper.engine.volume.volume_record import Kind


def made_for(*, shares: bool) -> Kind:
    """The kind of a volume whose options leave it open, when it is made for a container that is created.

    ``shares``: the container's hypervisor can share directories. If not, an image is all that the container can have.
    """
    return Kind.UNDECIDED if shares else Kind.IMAGE


def decided(*, default: Kind, joins: bool, own: bool, users: int) -> Kind:
    """The kind of a volume whose options leave it open, at the first start of a container with it.

    A directory is what any number of machines can have, now and later; an image is faster. ``default``: the daemon's
    rule; ``users``: how many containers have the volume. ``joins``: its container comes into a machine that runs, which
    takes disks only. ``own``: it goes with its container's machine, so that no other can want it.
    """
    if joins or own:
        return Kind.IMAGE
    if default is Kind.IMAGE and users == 1:
        return Kind.IMAGE
    return Kind.DIRECTORY
