"""Records of pods, and of what containers are in them: plain data, one JSON document each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from msgspec import Struct, field

from hyper.engine.record.container_spec import ContainerSpec
from hyper.engine.record.mount import MountPoint, MountRecord
from hyper.engine.record.network import EndpointRecord
from hyper.engine.record.state import Status
from hyper.network.port import PublishedPort
from hyper.types.pod import PodMount, PodService, PodVolume, PodWhiteLists


class Member(Struct):
    """The membership of a container in a pod."""

    #: The id of the pod.
    pod: str
    name: str
    #: The place among the pod's containers, from 0.
    order: int
    #: The container runs before the others, to its end.
    init: bool = False
    share_pid: bool = False
    mounts: list[PodMount] = field(default_factory=list)
    #: Paths at which files were put into the container.
    files: list[str] = field(default_factory=list)


class PodRecord(Struct):
    """The record of a pod: what its sandbox is to be, and its life. Times are ns since the epoch, 0 for never."""

    #: As the lead of a sandbox it is in no pod, and has no links of the default network.
    member: ClassVar[Member | None] = None
    links: ClassVar[Mapping[str, str]] = MappingProxyType({})
    link_variables: ClassVar[tuple[str, ...]] = ()

    id: str
    name: str
    created_ns: int
    #: The machine of all: its size, network and volumes, and the anchor, a program that only waits.
    spec: ContainerSpec
    #: The network, the ports ("80/tcp") and the bytes of memory as clients have asked for them; 0: as is usual.
    network: str = "default"
    exposed: list[str] = field(default_factory=list)
    memory: int = 0
    status: Status = Status.CREATED
    #: Why the last start failed, or the machine was lost.
    error: str = ""
    started_ns: int = 0
    finished_ns: int = 0
    restart_count: int = 0
    #: A client has ended it, or nothing of it ran any more: it is not started again by itself.
    stays_down: bool = False
    #: Which of the identities of the daemon's machines is its, from 0; None: the daemon is not root.
    identity: int | None = None
    ports: list[PublishedPort] = field(default_factory=list)
    endpoints: list[EndpointRecord] = field(default_factory=list)
    volumes: list[PodVolume] = field(default_factory=list)
    #: The pod's containers see each other's processes.
    share_pid: bool = False
    #: All of the pod's containers have been made.
    whole: bool = False
    #: The pod's volumes in its machine, while that runs.
    volume_mounts: list[MountRecord] = field(default_factory=list)
    #: The pod's start was asked for, and not all of its containers have started.
    starting: bool = False
    #: The pod's removal was asked for, and whether its containers' anonymous volumes go, too.
    removing: bool = False
    remove_volumes: bool = False
    #: The networks that may reach the pod; None: any that can.
    white_lists: PodWhiteLists | None = None
    #: Addresses and ports whose connections from the pod are led to others.
    services: list[PodService] = field(default_factory=list)

    @property
    def mounts(self) -> tuple[MountPoint, ...]:
        """The volumes of the pod, as the anchor has them."""
        return self.spec.mounts
