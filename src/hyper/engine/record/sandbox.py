"""Records of sandboxes: plain data."""

from __future__ import annotations

from msgspec import Struct

from hyper.sandbox.sandbox import MAIN_CONTAINER, MAIN_PROCESS


class Placement(Struct, frozen=True):
    """The placement of a container in a sandbox: its number there and that of its own program."""

    #: The id of the container whose machine this one shares; "": the machine is its own.
    owner: str = ""
    container: int = MAIN_CONTAINER
    process: int = MAIN_PROCESS
    #: Disks that were brought into that machine for this container.
    disks: tuple[str, ...] = ()

    @property
    def joined(self) -> bool:
        """Whether the machine ran before the container came into it."""
        return self.container != MAIN_CONTAINER
