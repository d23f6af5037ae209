"""Cards as network drivers give them: what a machine's network interface is connected to on the host.

A kind of card is a class of its own, with a name that the shape of a pooled machine keeps apart. A network driver says
which kind it gives; a hypervisor which kinds it takes (machine/spec.py: Nic), and engine/network/nics.py puts the
one into the other's words. A hypervisor that is told names, as Xen's toolstack is told a bridge, is one more class
here, and one more branch there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

TAP: Final = "tap"
USER: Final = "user"


@dataclass(frozen=True, slots=True)
class TapCard:
    """A card whose frames come out of a TAP of the host: ``device``, open as ``fd``, which stays the driver's."""

    mac: str
    device: str
    fd: int


@dataclass(frozen=True, slots=True)
class Forward:
    """A port of the host that the hypervisor itself leads into the guest."""

    protocol: str
    host_address: str
    host_port: int
    guest_port: int


@dataclass(frozen=True, slots=True)
class UserCard:
    """A card on the hypervisor's own network, ``network`` in CIDR notation, with what that leads into the guest."""

    mac: str
    network: str
    forwards: tuple[Forward, ...] = ()


Card = TapCard | UserCard


def mac_of_id(id: str) -> str:
    """A locally administered unicast hardware address derived from an id: always the same one."""
    digest = hashlib.sha256(id.encode()).digest()
    return "02:" + ":".join(f"{octet:02x}" for octet in digest[:5])
