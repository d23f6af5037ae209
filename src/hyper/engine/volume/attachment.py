"""Volumes and host paths that a start brings into a machine: as disks, one share, mounts.

Decides how a volume is kept when its first container starts, and holds images to one machine at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import posixpath
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hyper.engine.keyed_locks import KeyedLocks
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.mount import BIND, TMPFS, VOLUME, MountPoint
from hyper.engine.spec import agent_requests, mount_options, nfs
from hyper.engine.spec.mounts import source_is_missing
from hyper.engine.volume.volume_folder import Kind, VolumeRecord
from hyper.engine.volume.volumes import Volumes
from hyper.errors import Conflict, HyperError, InvalidRequest
from hyper.machine.spec import SHARE_TAG, Disk, FileBlocks, SharedPath
from hyper.proto.message import MS_BIND, DiskSource, Mount, MountFlag, RootSource, ShareSource
from hyper.sandbox import ext4
from hyper.sandbox.scratch import ScratchDisks

logger = logging.getLogger(__name__)

#: Disks a machine has beside volumes: its scratch, and at least one with the image's layers.
OTHER_DISKS: Final = 2
#: A bind of the host's control groups, as systemd's users make it, means the container's own, writable.
_GROUPS: Final = "/sys/fs/cgroup"
#: Where a volume's files are in its own file system (whose root has a lost+found).
_IN_IMAGE: Final = "/data"


@dataclass(frozen=True, slots=True)
class Attachment:
    """The disks, shared paths and mounts that volumes and host paths are in a machine."""

    disks: tuple[Disk, ...] = ()
    shared: tuple[SharedPath, ...] = ()
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True, slots=True)
class _Holder:
    """A running container that has a volume."""

    record: ContainerRecord
    read_only: bool


class Attachments:
    """Volumes in use by running containers; ``attach`` before a start, ``detach`` when the machine is gone."""

    def __init__(
        self, volumes: Volumes, scratch: ScratchDisks, *, default: Kind = Kind.DIRECTORY
    ) -> None:
        """Volumes whose options leave their kind open become ``default``."""
        self._volumes = volumes
        self._scratch = scratch
        self._default = default
        #: {volume: {container: its holder}}
        self._holders: dict[str, dict[str, _Holder]] = {}
        #: Containers whose program has ended and whose machine will soon.
        self._ending: dict[str, asyncio.Event] = {}
        self._deciding = asyncio.Lock()
        self._filling = KeyedLocks()

    @contextlib.asynccontextmanager
    async def attach(
        self, record: ContainerRecord, *, max_disks: int, joins: bool = False
    ) -> AsyncIterator[Attachment]:
        """The volumes of ``record`` for a machine with ``max_disks``. The body starts it, which fills new volumes.

        ``joins``: the machine runs already, and can be given disks only. If the body fails, the volumes are free again;
        if not, ``detach`` frees them.

        Raises:
            Conflict: a volume that one machine at a time can have is another's; the machine has no room for all.
            InvalidRequest: a host path is missing. HyperError: a disk cannot be made.
        """
        points = [point for point in record.mounts if point.kind == VOLUME]
        names = sorted({point.volume for point in points})
        async with contextlib.AsyncExitStack() as stack:
            for name in names:
                if not self._volumes.get(name).filled:
                    # Two that fill it at once would be in each other's way.
                    await stack.enter_async_context(self._filling.of(name))
            await self._ended(record, names)
            async with self._deciding:
                await self._decide(record, names, max_disks - OTHER_DISKS, joins=joins)
                self._claim(record, points)
            try:
                attached = await self._attachment(record)
                # Before anything runs, which may be over before we are.
                self._volumes.publish_mounts(record, mounted=True)
            except BaseException:
                self._free(record)
                raise
            try:
                yield attached
                await self._note_filled(points)
            except BaseException:
                self._free(record)
                self._volumes.publish_mounts(record, mounted=False)
                raise

    def attached(self, record: ContainerRecord) -> None:
        """A machine that was found again has its volumes."""
        for point in record.mounts:
            if point.kind == VOLUME:
                self._hold(record, point)

    def ending(self, record: ContainerRecord) -> None:
        """The program has ended: starts that want its volumes wait for its machine's end instead of being refused."""
        self._ending.setdefault(record.id, asyncio.Event())

    async def _ended(self, record: ContainerRecord, names: list[str]) -> None:
        for name in names:
            for holder in list(self._holders.get(name, ())):
                if holder != record.id and holder in self._ending:
                    await self._ending[holder].wait()

    def detach(self, record: ContainerRecord) -> None:
        """The machine of the container is gone, and its volumes are free; no error when it never had any."""
        if self._free(record):
            self._volumes.publish_mounts(record, mounted=False)
        if (ended := self._ending.pop(record.id, None)) is not None:
            ended.set()

    def _hold(self, record: ContainerRecord, point: MountPoint) -> None:
        holders = self._holders.setdefault(point.volume, {})
        held = holders.get(record.id)
        read_only = point.read_only and (held is None or held.read_only)
        holders[record.id] = _Holder(record, read_only)

    def _free(self, record: ContainerRecord) -> bool:
        had = False
        for name in {point.volume for point in record.mounts if point.kind == VOLUME}:
            had |= self._holders.get(name, {}).pop(record.id, None) is not None
            if not self._holders.get(name):
                self._holders.pop(name, None)
        return had

    # How they are kept

    async def _decide(
        self, record: ContainerRecord, names: list[str], room: int, *, joins: bool
    ) -> None:
        """Volumes whose options leave their kind open become directories, which other machines can have, too.

        They become images where a directory cannot be given (``joins``: a machine that runs takes disks only), and
        where no other machine can want them (a pod's nameless ones live as long as its machine).
        """
        found = [self._volumes.get(name) for name in names]
        open_ = [item for item in found if item.kind is Kind.UNDECIDED]
        alone = [
            item
            for item in open_
            if joins
            or (record.pod is not None and item.anonymous)
            or (self._default is Kind.IMAGE and len(self._volumes.users(item.name)) == 1)
        ]
        shared = [item for item in open_ if item not in alone]
        images = sum(item.kind is Kind.IMAGE for item in found)
        share = bool(shared) or any(point.kind == BIND for point in record.mounts)
        share |= any(item.kind in (Kind.DIRECTORY, Kind.BIND) for item in found)
        if alone and images + share + len(alone) > room:
            fitting = max(room - images - 1, 0)
            shared, alone, share = shared + alone[fitting:], alone[:fitting], True
        if images + share + len(alone) > room:
            raise Conflict(
                f"container {record.id[:12]} has {images} volumes that are images; "
                f"beside its other mounts a machine has room for {room - share}",
                hint="create volumes with -o type=directory",
            )
        for item in shared:
            await self._settle(item, Kind.DIRECTORY)
        for item in alone:
            await self._settle(item, Kind.IMAGE)

    async def _settle(self, volume: VolumeRecord, kind: Kind) -> None:
        volume.kind = kind
        try:
            await self._volumes.save(volume)
        except HyperError:
            volume.kind = Kind.UNDECIDED
            raise

    def _claim(self, record: ContainerRecord, points: list[MountPoint]) -> None:
        for point in points:
            volume = self._volumes.get(point.volume)
            holders = self._holders.get(point.volume, {})
            others = [holder for key, holder in holders.items() if key != record.id]
            reading = point.read_only and volume.filled and all(it.read_only for it in others)
            if others and volume.kind is Kind.IMAGE and not reading:
                self._free(record)
                raise _held(volume.name, others[0].record)
            self._hold(record, point)

    # What the machine is given

    def shared_paths(self, record: ContainerRecord) -> tuple[SharedPath, ...]:
        """Host paths in the share of ``record``'s machine since it was made; their places name them."""
        found = []
        for point in record.mounts:
            if point.kind == BIND:
                found.append(SharedPath(Path(point.source), point.read_only))
            elif point.kind == VOLUME:
                volume = self._volumes.get(point.volume)
                if volume.kind in (Kind.DIRECTORY, Kind.BIND):
                    found.append(self._shared_path(point, volume))
        return tuple(found)

    def _shared_path(self, point: MountPoint, volume: VolumeRecord) -> SharedPath:
        read_only = volume.mount_options == "ro" or (point.read_only and volume.filled)
        return SharedPath(self._volumes.folders.data(volume), read_only)

    async def _attachment(self, record: ContainerRecord) -> Attachment:
        disks: dict[str, Disk] = {}
        shared: list[SharedPath] = []
        mounts: list[Mount] = []
        for point in record.mounts:
            flags = mount_options.RDONLY if point.read_only else 0
            if point.kind == TMPFS:
                mounts.append(agent_requests.tmpfs(point.target, point.options))
            elif point.kind == BIND and posixpath.normpath(point.source) == _GROUPS:
                flags |= MS_BIND | mount_options.SAFE
                mounts.append(Mount("", RootSource(_GROUPS), point.target, flags))
            elif point.kind == BIND:
                path = await asyncio.to_thread(_source, point)
                mounts.append(_shared(point.target, len(shared), flags))
                shared.append(SharedPath(path, point.read_only))
            else:
                volume = self._volumes.get(point.volume)
                if volume.kind is Kind.IMAGE:
                    disk = await self._disk(record, volume, len(disks), disks.get(volume.name))
                    disks[volume.name] = disk
                    mounts.append(_imaged(point, disk, flags))
                elif volume.kind is Kind.TMPFS:
                    mounts.append(agent_requests.tmpfs(point.target, volume.mount_options))
                elif volume.kind is Kind.NFS:
                    mounts.append(await _remote(point, volume))
                else:
                    mounts.append(self._directory(point, volume, shared, flags))
        return Attachment(tuple(disks.values()), tuple(shared), tuple(mounts))

    async def _disk(
        self, record: ContainerRecord, volume: VolumeRecord, number: int, known: Disk | None
    ) -> Disk:
        if known is not None:
            return known
        path = self._volumes.folders.disk(volume)
        if not path.exists():
            await self._scratch.create(path, size=volume.size)
        # Until what the image has at its place is in it, the guest has to be able to write that.
        read_only = self._holders[volume.name][record.id].read_only and volume.filled
        if read_only and await asyncio.to_thread(ext4.needs_recovery, path):
            await ext4.recover(path, privileged=record.identity is not None)
        return Disk(
            agent_requests.disk_name(record.seat, f"volume{number}"), FileBlocks(path), read_only
        )

    def _directory(
        self, point: MountPoint, volume: VolumeRecord, shared: list[SharedPath], flags: int
    ) -> Mount:
        path = self._shared_path(point, volume)
        if not path.host.is_dir():
            raise InvalidRequest(
                f"error while mounting volume '{volume.name}': {path.host}: no such directory"
            )
        flags |= mount_options.RDONLY if path.read_only else 0
        copy = not (point.no_copy or path.read_only)
        shared.append(path)
        return _shared(
            point.target, len(shared) - 1, flags, volume=True, copy=copy, sub=point.subpath
        )

    async def _note_filled(self, points: Iterable[MountPoint]) -> None:
        for point in points:
            volume = self._volumes.get(point.volume)
            if not volume.filled:
                volume.filled = True
                try:
                    await self._volumes.save(volume)
                except HyperError as error:  # it is looked at once more the next time
                    logger.error("%s", error)


def _held(volume: str, holder: ContainerRecord) -> Conflict:
    """The error that names the container with the volume, and tells how to make one that several can have."""
    new = f"{volume}-shared"
    return Conflict(
        f"volume {volume} is in use by the running container {holder.name} ({holder.id[:12]}): "
        "it is an image, which one virtual machine at a time can have",
        hint=f"stop that container; to share the files, copy them once: docker volume create -o type=directory {new}; "
        f"docker run --rm -v {volume}:/from:ro -v {new}:/to IMAGE cp -a /from/. /to",
    )


def _source(point: MountPoint) -> Path:
    """The host path of a bind mount, made if it may be.

    Raises:
        InvalidRequest: the path is not there, or cannot be made (Docker's words).
    """
    path = Path(point.source)
    if not os.path.exists(path):  # noqa: PTH110 (what cannot be looked at is not there)
        if not point.create:
            raise source_is_missing(point.source)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidRequest(
                f"error while creating mount source path '{point.source}': "
                f"mkdir {point.source}: {(error.strerror or str(error)).lower()}"
            ) from error
    return path


async def _remote(point: MountPoint, volume: VolumeRecord) -> Mount:
    options, device, copy = volume.mount_options, volume.path, not point.no_copy
    return await nfs.mount(
        volume.name,
        options,
        device,
        point.target,
        read_only=point.read_only,
        copy=copy,
        sub=point.subpath,
    )


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


def _shared(
    target: str,
    number: int,
    flags: int,
    *,
    volume: bool = False,
    copy: bool = False,
    sub: str = "",
) -> Mount:
    if volume:
        flags |= MountFlag.VOLUME | (0 if copy else MountFlag.NO_COPY)
    return Mount("virtiofs", ShareSource(SHARE_TAG, f"/{number}", sub), target, flags)


def _imaged(point: MountPoint, disk: Disk, flags: int) -> Mount:
    copy = not (point.no_copy or disk.read_only)
    flags |= MountFlag.VOLUME | (0 if copy else MountFlag.NO_COPY)
    source = DiskSource(disk.name, _IN_IMAGE, point.subpath)
    return Mount("ext4", source, point.target, flags | mount_options.NODEV)
