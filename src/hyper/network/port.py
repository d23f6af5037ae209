"""Ports: as a container asks for them, and as the host has them. Plain data, kept in records."""

from __future__ import annotations

from msgspec import Struct


class PortRequest(Struct, frozen=True):
    """A request that a port of the container be reached by the host's: parsed once, allocated at each start."""

    protocol: str
    container_port: int
    #: The host's address; "": the one that the network publishes on.
    host_address: str = ""
    #: The first free port from ``host_first`` to ``host_last`` is taken; 0: one that the kernel chooses.
    host_first: int = 0
    host_last: int = 0

    @property
    def chosen(self) -> bool:
        """Whether the kernel chooses the port of the host."""
        return self.host_first == self.host_last == 0


class PublishedPort(Struct, frozen=True):
    """A port of the container that is reachable on the host."""

    protocol: str
    container_port: int
    host_address: str
    host_port: int
