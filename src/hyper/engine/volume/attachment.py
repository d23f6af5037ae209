"""Attachments: the disks, shared paths and mounts that volumes and host paths are in a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from hyper.errors import Conflict
from hyper.machine.spec import SHARE_TAG, BlockSource, Disk, SharedPath
from hyper.proto.message import Mount, ShareSource


@dataclass(frozen=True, slots=True)
class Attachment:
    """The attachment of a container: the disks, shared paths and mounts that its volumes and binds are in a machine."""

    disks: tuple[Disk, ...] = ()
    shared: tuple[SharedPath, ...] = ()
    mounts: tuple[Mount, ...] = ()


class AttachmentBuilder:
    """The builder of an attachment, to which volume drivers add what their volumes need.

    ``disk_name`` makes a name such that no other container of the machine has a disk of that name.
    """

    def __init__(self, disk_name: Callable[[str], str]) -> None:
        self._disk_name = disk_name
        self._disks: dict[str, Disk] = {}
        self._shared: list[SharedPath] = []
        self._mounts: list[Mount] = []

    def mount(self, mount: Mount) -> None:
        """The attachment has ``mount``, after those that it had before."""
        self._mounts.append(mount)

    def disk(self, volume: str, source: BlockSource, *, read_only: bool) -> Disk:
        """The disk with the blocks of ``volume``; one and the same however often the volume is mounted."""
        if volume not in self._disks:
            name = self._disk_name(f"volume{len(self._disks)}")
            self._disks[volume] = Disk(name, source, read_only)
        return self._disks[volume]

    def share(self, path: SharedPath) -> ShareSource:
        """The mount source of ``path``, which has a place of its own in the machine's share."""
        self._shared.append(path)
        return ShareSource(SHARE_TAG, f"/{len(self._shared) - 1}")

    def whole(self) -> Attachment:
        """The attachment."""
        return Attachment(tuple(self._disks.values()), tuple(self._shared), tuple(self._mounts))


def in_share(
    mounts: Iterable[Mount], shared: tuple[SharedPath, ...], there: tuple[SharedPath, ...]
) -> tuple[Mount, ...]:
    """The mounts ``mounts``, which name places of ``shared``, made to name those of the running machine's ``there``.

    Raises:
        Conflict: a path is not in the running machine's share, or only to be read.
    """
    found = []
    for mount in mounts:
        if isinstance(mount.source, ShareSource) and mount.source.tag == SHARE_TAG:
            wanted = shared[int(mount.source.path.removeprefix("/"))]
            path = f"/{_place(wanted, there)}"
            mount = replace(mount, source=replace(mount.source, path=path))
        found.append(mount)
    return tuple(found)


def _place(wanted: SharedPath, there: tuple[SharedPath, ...]) -> int:
    for number, path in enumerate(there):
        if path.host == wanted.host and (wanted.read_only or not path.read_only):
            return number
    raise Conflict(
        f"{wanted.host}: directories of the host cannot be brought into a machine that runs, only what the container "
        "that is joined mounts of the host is there",
        hint="mount it in the container that is joined",
    )
