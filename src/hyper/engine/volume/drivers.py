"""Volume drivers of the kinds of volumes that there are, below one folder.

NAME/disk.ext4        the file system of an image, made at its first start
NAME/_data/           the files of a directory
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from hyper.engine.record.mount import MountPoint
from hyper.engine.spec import agent_requests, mount_options, nfs
from hyper.engine.volume.attachment import AttachmentBuilder
from hyper.engine.volume.driver import Needs, Use, VolumeDriver
from hyper.engine.volume.volume_record import Kind, VolumeRecord
from hyper.errors import InvalidRequest
from hyper.machine.spec import SHARE_FILE_SYSTEM, FileBlocks, SharedPath
from hyper.proto.message import DiskSource, Mount, MountFlag
from hyper.sandbox import ext4
from hyper.sandbox.scratch import ScratchDisks
from hyper.system import files

_DISK: Final = "disk.ext4"
_DATA: Final = "_data"
#: The size of what Hyper does not keep.
_NOT_KEPT: Final = -1
#: Where a volume's files are in its own file system (whose root has a lost+found).
_IN_IMAGE: Final = "/data"


def local_drivers(root: Path, scratch: ScratchDisks) -> Mapping[Kind, VolumeDriver]:
    """The volume drivers of this host by the kind of volume; ``root`` is the folder of all volumes' folders.

    A volume that is undecided is made as a directory: whatever it becomes, that is what it is until then.
    """
    directory = DirectoryDriver(root)
    return {
        Kind.UNDECIDED: directory,
        Kind.DIRECTORY: directory,
        Kind.IMAGE: ImageDriver(root, scratch),
        Kind.BIND: BindDriver(),
        Kind.TMPFS: TmpfsDriver(),
        Kind.NFS: NfsDriver(),
    }


class _HostDirectory:
    """The part of a driver that is common to directories of the host: machines have them by their share."""

    needs = Needs.SHARE
    exclusive = False

    def _place(self, volume: VolumeRecord) -> Path:
        raise NotImplementedError

    def mountpoint(self, volume: VolumeRecord) -> str:
        return str(self._place(volume))

    def shared_path(self, volume: VolumeRecord, point: MountPoint) -> SharedPath:
        # Until what the image has at its place is in it, the guest has to be able to write that.
        read_only = volume.mount_options == "ro" or (point.read_only and volume.filled)
        return SharedPath(self._place(volume), read_only)

    async def attach(self, volume: VolumeRecord, use: Use, to: AttachmentBuilder) -> Mount:
        path = self.shared_path(volume, use.point)
        if not path.host.is_dir():
            raise InvalidRequest(
                f"error while mounting volume '{volume.name}': {path.host}: no such directory"
            )
        source = replace(to.share(path), sub=use.point.subpath)
        flags = _flags(use, held=path.read_only)
        flags |= mount_options.RDONLY if path.read_only else 0
        return Mount(SHARE_FILE_SYSTEM, source, use.point.target, flags)


class DirectoryDriver(_HostDirectory):
    """The driver of volumes whose files are a directory in the volume's own folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _place(self, volume: VolumeRecord) -> Path:
        return self._root / volume.name / _DATA

    def make(self, folder: Path) -> None:
        (folder / _DATA).mkdir(mode=0o755)

    def size(self, volume: VolumeRecord) -> int:
        return _tree_size(self._place(volume))


class BindDriver(_HostDirectory):
    """The driver of volumes that stand for a directory of the host's owner, which stays when they go."""

    def _place(self, volume: VolumeRecord) -> Path:
        return Path(volume.path)

    def make(self, folder: Path) -> None:
        pass

    def size(self, volume: VolumeRecord) -> int:
        return _NOT_KEPT


class ImageDriver:
    """The driver of volumes that are an ext4 file system in a file: a disk of one machine at a time."""

    needs = Needs.DISK
    exclusive = True

    def __init__(self, root: Path, scratch: ScratchDisks) -> None:
        self._root, self._scratch = root, scratch

    def _place(self, volume: VolumeRecord) -> Path:
        return self._root / volume.name / _DISK

    def make(self, folder: Path) -> None:
        pass  # formatted when it is attached first

    def mountpoint(self, volume: VolumeRecord) -> str:
        return str(self._place(volume))

    def size(self, volume: VolumeRecord) -> int:
        with contextlib.suppress(FileNotFoundError):
            return files.allocated_bytes(self._place(volume))
        return 0

    def shared_path(self, volume: VolumeRecord, point: MountPoint) -> None:
        return None

    async def attach(self, volume: VolumeRecord, use: Use, to: AttachmentBuilder) -> Mount:
        path, point = self._place(volume), use.point
        if not path.exists():
            await self._scratch.create(path, size=volume.size)
        # Until what the image has at its place is in it, the guest has to be able to write that.
        read_only = use.only_read and volume.filled
        if read_only and await asyncio.to_thread(ext4.needs_recovery, path):
            await ext4.recover(path, privileged=use.privileged)
        disk = to.disk(volume.name, FileBlocks(path), read_only=read_only)
        source = DiskSource(disk.name, _IN_IMAGE, point.subpath)
        flags = _flags(use, held=read_only) | mount_options.NODEV
        return Mount("ext4", source, point.target, flags)


class _Elsewhere:
    """The part of a driver that is common to volumes which the host has no files of."""

    needs = Needs.NOTHING
    exclusive = False

    def make(self, folder: Path) -> None:
        pass

    def mountpoint(self, volume: VolumeRecord) -> str:
        return ""

    def size(self, volume: VolumeRecord) -> int:
        return _NOT_KEPT

    def shared_path(self, volume: VolumeRecord, point: MountPoint) -> None:
        return None


class TmpfsDriver(_Elsewhere):
    """The driver of volumes in a machine's memory: each start has an empty one of its own."""

    async def attach(self, volume: VolumeRecord, use: Use, to: AttachmentBuilder) -> Mount:
        mount = agent_requests.tmpfs(use.point.target, volume.mount_options)
        if use.point.subpath:
            raise InvalidRequest(
                f"error while mounting volume '{volume.name}': a tmpfs is empty: "
                f"it has no subpath {use.point.subpath[:100]!r}"
            )
        read_only = mount_options.RDONLY if use.point.read_only else 0
        return replace(mount, flags=mount.flags | read_only)


class NfsDriver(_Elsewhere):
    """The driver of volumes on a file server, which the guest's kernel mounts by itself."""

    async def attach(self, volume: VolumeRecord, use: Use, to: AttachmentBuilder) -> Mount:
        point = use.point
        return await nfs.mount(
            volume.name,
            volume.mount_options,
            volume.path,
            point.target,
            read_only=point.read_only,
            copy=not point.no_copy,
            sub=point.subpath,
        )


def _flags(use: Use, *, held: bool) -> int:
    """The flags of a volume's mount; ``held``: the host lets the machine only read it, so it cannot be filled."""
    flags = MountFlag.VOLUME | (mount_options.RDONLY if use.point.read_only else 0)
    return flags | (MountFlag.NO_COPY if use.point.no_copy or held else 0)


def _tree_size(root: Path) -> int:
    """Bytes on disk of the files below ``root``, each counted once; links are not followed."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(OSError):  # removed meanwhile
                status = Path(folder, name).lstat()
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total += status.st_blocks * 512
    return total
