"""Records of sandboxes: plain data, one JSON document each."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, field

from hyper.engine.record.container_spec import MachineSize
from hyper.machine.driver import MachineRecord
from hyper.sandbox.sandbox import MAIN_CONTAINER, MAIN_PROCESS


class Kind(StrEnum):
    """The kinds of sandboxes: what one is for, which decides when it ends."""

    #: A container's own: it is launched with the container's program and ends with it, whoever else has come in.
    CONTAINER = "container"
    #: A pod's: it is there without containers, which come and go, and ends when the pod says so.
    POD = "pod"
    #: A helper: builtins look at the files of a container that does not run. No daemon finds it again: it is ended.
    HELPER = "helper"


class Placement(Struct, frozen=True):
    """The placement of a container in a sandbox: its number there and that of its own program."""

    container: int = MAIN_CONTAINER
    process: int = MAIN_PROCESS
    #: Disks that were brought into the running machine for this container.
    disks: tuple[str, ...] = ()

    @property
    def joined(self) -> bool:
        """Whether the machine ran before the container came into it."""
        return self.container != MAIN_CONTAINER


class SandboxRecord(Struct):
    """The record of a sandbox: one machine and the containers in it, from the machine's launch until it is gone."""

    #: A container's own sandbox has the container's id, a pod's the pod's.
    id: str
    kind: Kind
    #: Which of the identities of the daemon's machines is its, from 0; None: the daemon is not root.
    identity: int | None = None
    #: The size of the machine, once that is planned.
    size: MachineSize = MachineSize(0, 0)
    #: What the driver finds the machine by.
    machine: MachineRecord | None = None
    #: Placements by the ids of containers, in the order in which these came. The first is that of the lead: a
    #: container, a pod's anchor; a helper's is that of the container it looks at.
    members: dict[str, Placement] = field(default_factory=dict)
