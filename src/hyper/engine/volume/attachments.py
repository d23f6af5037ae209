"""Volumes and host paths that a start brings into a machine.

Decides how a volume is kept when its first container starts, and holds images to one machine at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import posixpath
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from hyper.engine.keyed_locks import KeyedLocks
from hyper.engine.record.lead import Lead
from hyper.engine.record.mount import BIND, TMPFS, VOLUME, MountPoint
from hyper.engine.record.pod import PodRecord
from hyper.engine.record.sandbox import Placement
from hyper.engine.spec import agent_requests, mount_options
from hyper.engine.spec.mounts import source_is_missing
from hyper.engine.volume import policy
from hyper.engine.volume.attachment import Attachment, AttachmentBuilder
from hyper.engine.volume.driver import Needs, Use
from hyper.engine.volume.holders import Holders
from hyper.engine.volume.volume_record import Kind, VolumeRecord
from hyper.engine.volume.volumes import Volumes
from hyper.errors import Conflict, HyperError, InvalidRequest
from hyper.machine.spec import SHARE_FILE_SYSTEM, SharedPath
from hyper.proto.message import MS_BIND, Mount, RootSource

logger = logging.getLogger(__name__)

#: A bind of the host's control groups, as systemd's users make it, means the container's own, writable.
_GROUPS: Final = "/sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class Room:
    """The room for what a container mounts in a machine that is to be launched."""

    #: Volumes that are disks, where there is no share and where there is one.
    disks: int
    disks_beside_share: int
    #: The machine can be given paths of the host.
    shares: bool = True


class Attachments:
    """Volumes in use by running containers; ``attach`` before a start, ``detach`` when the machine is gone."""

    def __init__(self, volumes: Volumes, *, default: Kind = Kind.DIRECTORY) -> None:
        """Volumes whose options leave their kind open become ``default``."""
        self._volumes = volumes
        self._default = default
        self._holders = Holders()
        self._deciding = asyncio.Lock()
        self._filling = KeyedLocks()

    @contextlib.asynccontextmanager
    async def attach(
        self, record: Lead, placement: Placement, *, room: Room | None
    ) -> AsyncIterator[Attachment]:
        """The volumes of ``record`` for a machine with ``room``. The body starts it, which fills new volumes.

        None: the machine runs already; it takes disks until it refuses, and what is in its share. If the body fails,
        the volumes are free again; if not, ``detach`` frees them.

        Raises:
            Conflict: a volume that one machine at a time can have is another's; the machine has no room for all.
            InvalidRequest: a host path is missing. HyperError: a disk cannot be made.
        """
        points = _volume_points(record)
        names = sorted({point.volume for point in points})
        async with contextlib.AsyncExitStack() as stack:
            for name in names:
                if not self._volumes.get(name).filled:
                    # Two that fill it at once would be in each other's way.
                    await stack.enter_async_context(self._filling.of(name))
            await self._holders.ended(record, names)
            async with self._deciding:
                await self._decide(record, names, room)
                self._claim(record, points)
            try:
                attached = await self._attachment(record, placement)
                # Before anything runs, which may be over before we are.
                self._volumes.publish_mounts(record, mounted=True)
            except BaseException:
                self._holders.free(record)
                raise
            try:
                yield attached
                await self._note_filled(points)
            except BaseException:
                self._holders.free(record)
                self._volumes.publish_mounts(record, mounted=False)
                raise

    def attached(self, record: Lead) -> None:
        """A machine that was found again has its volumes."""
        for point in _volume_points(record):
            self._holders.hold(record, point)

    def ending(self, record: Lead) -> None:
        """The program has ended: starts that want its volumes wait for its machine's end instead of being refused."""
        self._holders.ending(record)

    def detach(self, record: Lead) -> None:
        """The machine of the container is gone, and its volumes are free; no error when it never had any."""
        if self._holders.free(record):
            self._volumes.publish_mounts(record, mounted=False)
        self._holders.gone(record)

    # How they are kept

    async def _decide(self, record: Lead, names: list[str], room: Room | None) -> None:
        """Volumes whose options leave their kind open have one, by the policy, and the machine has room for all.

        Raises:
            Conflict, InvalidRequest: it has not; nothing was decided.
        """
        volumes = [self._volumes.get(name) for name in names]
        joins = room is None
        kinds = [volume.kind or self._policy(record, volume, joins=joins) for volume in volumes]
        if room is not None:
            self._check_room(record, volumes, kinds, room)
        for volume, kind in zip(volumes, kinds, strict=True):
            if volume.kind is Kind.UNDECIDED:
                await self._settle(volume, kind)

    def _policy(self, record: Lead, volume: VolumeRecord, *, joins: bool) -> Kind:
        users = len(self._volumes.users(volume.name))
        own = isinstance(record, PodRecord) and volume.anonymous
        return policy.decided(default=self._default, joins=joins, own=own, users=users)

    def _check_room(
        self, record: Lead, volumes: list[VolumeRecord], kinds: list[Kind], room: Room
    ) -> None:
        needs = [self._volumes.drivers[kind].needs for kind in kinds]
        disks = needs.count(Needs.DISK)
        shares = Needs.SHARE in needs or any(_is_shared_bind(point) for point in record.mounts)
        if shares and not room.shares:
            shared = [volumes[n].name for n, need in enumerate(needs) if need is Needs.SHARE]
            raise _cannot_share(record, shared)
        most = room.disks_beside_share if shares else room.disks
        if disks > most:
            raise Conflict(
                f"container {record.id[:12]} has {disks} volumes that are images; "
                f"beside its other mounts a machine has room for {most}",
                hint="create volumes with -o type=directory",
            )

    async def _settle(self, volume: VolumeRecord, kind: Kind) -> None:
        volume.kind = kind
        try:
            await self._volumes.save(volume)
        except HyperError:
            volume.kind = Kind.UNDECIDED
            raise

    def _claim(self, record: Lead, points: list[MountPoint]) -> None:
        try:
            for point in points:
                volume = self._volumes.get(point.volume)
                exclusive = self._volumes.driver(volume).exclusive
                self._holders.claim(record, point, exclusive=exclusive, filled=volume.filled)
        except Conflict:
            self._holders.free(record)
            raise

    # What the machine is given

    def shared_paths(self, record: Lead) -> tuple[SharedPath, ...]:
        """Host paths in the share of ``record``'s machine since it was made; their places name them."""
        found = (self._shared_path(point) for point in record.mounts)
        return tuple(path for path in found if path is not None)

    def _shared_path(self, point: MountPoint) -> SharedPath | None:
        if point.kind == VOLUME:
            volume = self._volumes.get(point.volume)
            return self._volumes.driver(volume).shared_path(volume, point)
        if _is_shared_bind(point):
            return SharedPath(Path(point.source), point.read_only)
        return None

    async def _attachment(self, record: Lead, placement: Placement) -> Attachment:
        builder = AttachmentBuilder(partial(agent_requests.disk_name, placement))
        for point in record.mounts:
            if point.kind == TMPFS:
                builder.mount(agent_requests.tmpfs(point.target, point.options))
            elif point.kind == BIND:
                builder.mount(await _bound(point, builder))
            else:
                volume = self._volumes.get(point.volume)
                only_read = self._holders.only_reads(record, volume.name)
                use = Use(point, only_read=only_read, privileged=record.identity is not None)
                driver = self._volumes.driver(volume)
                builder.mount(await driver.attach(volume, use, builder))
        return builder.whole()

    async def _note_filled(self, points: Iterable[MountPoint]) -> None:
        for point in points:
            volume = self._volumes.get(point.volume)
            if not volume.filled:
                volume.filled = True
                try:
                    await self._volumes.save(volume)
                except HyperError as error:  # it is looked at once more the next time
                    logger.error("%s", error)


def _volume_points(record: Lead) -> list[MountPoint]:
    return [point for point in record.mounts if point.kind == VOLUME]


def _is_shared_bind(point: MountPoint) -> bool:
    """Whether the mount is of a path of the host, and not of the control groups that every machine has itself."""
    return point.kind == BIND and posixpath.normpath(point.source) != _GROUPS


async def _bound(point: MountPoint, builder: AttachmentBuilder) -> Mount:
    """The mount of a host path, which is in the machine's share. Raises: InvalidRequest: there is no such path."""
    flags = mount_options.RDONLY if point.read_only else 0
    if not _is_shared_bind(point):
        flags |= MS_BIND | mount_options.SAFE
        return Mount("", RootSource(_GROUPS), point.target, flags)
    path = await asyncio.to_thread(_source, point)
    return Mount(
        SHARE_FILE_SYSTEM, builder.share(SharedPath(path, point.read_only)), point.target, flags
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


def _cannot_share(record: Lead, volumes: list[str]) -> InvalidRequest:
    """The error of a container that mounts files of the host in a machine that has no way to them."""
    what = f"volume {volumes[0]} is a directory" if volumes else "it mounts paths of the host"
    return InvalidRequest(
        f"container {record.id[:12]}: {what}, and its hypervisor cannot share files of the host",
        hint="use volumes created with -o type=image, or start hyperd with --default-volume-type image",
    )
