"""Volume drivers: the protocol that each kind of volume has an implementation of (drivers.py).

A driver keeps nothing but files below the folder of its volumes; it is told the record of a volume of its kind, and
what container uses it how. Nothing of it is a hypervisor's: what a machine is given are disks, shared paths and mounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from hyper.engine.record.mount import MountPoint
from hyper.engine.volume.attachment import AttachmentBuilder
from hyper.engine.volume.volume_record import VolumeRecord
from hyper.machine.spec import SharedPath
from hyper.proto.message import Mount


class Needs(Enum):
    """The needs of a volume: what a machine has to take for a container to mount it."""

    #: The guest makes or reaches the files by itself.
    NOTHING = "nothing"
    DISK = "disk"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Use:
    """The use that a container makes of a volume at one of its mount points."""

    point: MountPoint
    #: None of the container's mounts of the volume writes to it.
    only_read: bool
    #: The daemon is root, so what it runs on a guest's files needs walls and another identity.
    privileged: bool


class VolumeDriver(Protocol):
    """A volume driver: how volumes of one kind are made and kept, and what a machine is given of them."""

    @property
    def needs(self) -> Needs:
        """The needs of every volume of this kind."""

    @property
    def exclusive(self) -> bool:
        """Whether one machine at a time can have such a volume (several, if all of them only read)."""

    def make(self, folder: Path) -> None:
        """A new volume's own files are in ``folder``, which is not the volume's yet and nobody else's.

        Raises:
            OSError: they could not be made; the caller removes the folder. Nothing outside of it was changed.
        """

    def mountpoint(self, volume: VolumeRecord) -> str:
        """The path of the volume on the host: its directory, or a file; "" where it is not on the host."""

    def size(self, volume: VolumeRecord) -> int:
        """Bytes that the volume takes on the host's disk; −1 where Hyper does not keep its files. May block."""

    def shared_path(self, volume: VolumeRecord, point: MountPoint) -> SharedPath | None:
        """The host path that ``attach`` shares for ``point``; None: none. Asked of running machines' volumes, too."""

    async def attach(self, volume: VolumeRecord, use: Use, to: AttachmentBuilder) -> Mount:
        """The mount of ``use``; what it needs of the machine was added to ``to``.

        May be called for several mount points of one container, also for two of the same volume, one after the other;
        never at once for two machines if the driver is ``exclusive`` and one of them writes. Where it fails or is
        cancelled the volume is as it was, and ``to`` is not used any more.

        Raises:
            InvalidRequest: what is asked of the volume is not there, said in words for who asked.
            HyperError, OSError: the volume cannot be prepared on this host.
        """
