"""All volumes: made, found, listed, removed; the containers that have them, and the bytes they take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyper.engine.events import EventBus
from hyper.engine.record.lead import Lead
from hyper.engine.record.mount import BIND, VOLUME, MountPoint
from hyper.engine.spec.mounts import DRIVER, check_name
from hyper.engine.volume.driver import Needs, VolumeDriver
from hyper.engine.volume.volume_folder import VolumeFolders
from hyper.engine.volume.volume_options import new_record
from hyper.engine.volume.volume_record import Kind, VolumeRecord
from hyper.errors import Conflict, HyperError, NotFound
from hyper.ids import new_id

MAX_VOLUMES: Final = 10_000
#: Volumes without a name of a client's, marked as dockerd does it.
ANONYMOUS_LABEL: Final = "com.docker.volume.anonymous"


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of a volume: bytes on the host's disk (−1: unknown), and the number of containers that have it."""

    record: VolumeRecord
    size: int
    references: int


class Volumes:
    """The volumes of this daemon by name. ``open`` before use.

    A volume is had by the containers whose mount points name it, from their creation to their removal.
    """

    def __init__(
        self, folder: Path, events: EventBus, drivers: Mapping[Kind, VolumeDriver]
    ) -> None:
        """``drivers``: one for every kind of volume, all below ``folder``."""
        self.drivers = drivers
        self._folders = VolumeFolders(folder)
        self._events = events
        self._by_name: dict[str, VolumeRecord] = {}
        self._users: dict[str, set[str]] = {}
        #: Makings and removals come one after the other.
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """The volumes that an earlier daemon left are known.

        Raises:
            HyperError: a record cannot be read.
        """
        loaded = await asyncio.to_thread(self._folders.load)
        self._by_name = {record.name: record for record in loaded}

    # Finding

    def get(self, name: str) -> VolumeRecord:
        """The record of the volume called ``name``.

        Raises:
            NotFound: no such volume (Docker's words).
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise NotFound(f"get {name[:300]}: no such volume") from None

    def driver(self, volume: VolumeRecord) -> VolumeDriver:
        """The volume driver of the volume's kind."""
        return self.drivers[volume.kind]

    def all(self) -> list[VolumeRecord]:
        """All volumes, by name."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    def users(self, name: str) -> list[str]:
        """Ids of the containers that have the volume."""
        return sorted(self._users.get(name, ()))

    def survive(self, container: Lead) -> bool:
        """Whether files that the container can write to outlive it and its own anonymous volumes."""
        return any(
            point.kind == BIND
            or (
                point.kind == VOLUME
                and not (point.anonymous and self.users(point.volume) == [container.id])
            )
            for point in container.mounts
        )

    def mountpoint(self, name: str) -> str:
        """The volume's path on the host: its directory, or the file of its image. "" where it is not on the host."""
        record = self._by_name.get(name)
        return "" if record is None else self.driver(record).mountpoint(record)

    def shared(self, points: Iterable[MountPoint]) -> list[MountPoint]:
        """The mounts among ``points`` whose files two machines can have at once by way of the host."""
        return [point for point in points if point.kind == BIND or self._is_shared(point.volume)]

    def _is_shared(self, name: str) -> bool:
        record = self._by_name.get(name)
        # One that is undecided is nobody's yet.
        decided = record is not None and record.kind is not Kind.UNDECIDED
        return decided and self.driver(self.get(name)).needs is Needs.SHARE

    async def usage(self) -> list[Usage]:
        """The usage of all volumes, as /system/df shows it."""
        sizes = await asyncio.to_thread(
            lambda: [self.driver(item).size(item) for item in self.all()]
        )
        return [
            Usage(record, size, len(self.users(record.name)))
            for record, size in zip(self.all(), sizes, strict=False)
        ]

    # Making

    async def create(
        self,
        name: str,
        *,
        driver: str = "",
        labels: dict[str, str] | None = None,
        options: dict[str, str] | None = None,
    ) -> VolumeRecord:
        """The volume ``name`` exists; one that existed before is unchanged. "": a new volume gets a name.

        Raises:
            InvalidRequest: not a name for a volume, or no options for one.
            NotFound: another driver than ``local``.
        """
        if driver not in ("", DRIVER, "default"):
            raise NotFound(
                f'create {name}: error looking up volume plugin {driver[:100]}: plugin "{driver[:100]}" not found'
            )
        if name:
            check_name(name)
        else:
            name, labels = new_id(), {**(labels or {}), ANONYMOUS_LABEL: ""}
        record, _ = await self._ensure(name, labels, options, anonymous=False)
        return record

    async def _ensure(
        self,
        name: str,
        labels: dict[str, str] | None,
        options: dict[str, str] | None,
        *,
        anonymous: bool,
        open_as: Kind = Kind.UNDECIDED,
    ) -> tuple[VolumeRecord, bool]:
        """The volume's record, and whether it was made now."""
        async with self._lock:
            if name in self._by_name:
                return self._by_name[name], False
            if len(self._by_name) >= MAX_VOLUMES:
                raise Conflict(f"there are {MAX_VOLUMES} volumes already")
            record = new_record(name, labels=labels, options=options, anonymous=anonymous)
            record.kind = record.kind or open_as
            try:
                make = self.driver(record).make
                await asyncio.to_thread(self._folders.create, record, make)
            except OSError as error:
                raise HyperError(f"create {name}: {error.strerror}") from error
            self._by_name[name] = record
        self._publish("create", name)
        return record, True

    async def hold(self, container: Lead, *, open_as: Kind = Kind.UNDECIDED) -> None:
        """The container has its volumes; those that did not exist have been made.

        ``open_as``: what those become whose options leave their kind open.

        Raises:
            InvalidRequest: one cannot be made as asked. HyperError: no room. Volumes made before are gone again.
        """
        made = []
        try:
            for point in _volumes(container.mounts):
                # Had before it is there: nobody removes it in between.
                self._users.setdefault(point.volume, set()).add(container.id)
                labels = None if point.labels is None else dict(point.labels)
                if point.anonymous:
                    labels = {**(labels or {}), ANONYMOUS_LABEL: ""}
                options = None if point.driver_options is None else dict(point.driver_options)
                record, fresh = await self._ensure(
                    point.volume, labels, options, anonymous=point.anonymous, open_as=open_as
                )
                made += [record] if fresh else []
        except BaseException:
            self._forget(container)
            for record in made:
                await self._remove(record)
            raise

    def held(self, container: Lead) -> None:
        """A container that was found again has its volumes."""
        for point in _volumes(container.mounts):
            self._users.setdefault(point.volume, set()).add(container.id)

    async def release(self, container: Lead, *, anonymous: bool) -> None:
        """The container is gone; ``anonymous``: its volumes that have neither a name nor another user are removed."""
        self._forget(container)
        if not anonymous:
            return
        for point in _volumes(container.mounts):
            record = self._by_name.get(point.volume)
            if record is not None and point.anonymous and not self.users(point.volume):
                await self._remove(record)

    def _forget(self, container: Lead) -> None:
        for point in _volumes(container.mounts):
            users = self._users.get(point.volume, set())
            users.discard(container.id)
            if not users:
                self._users.pop(point.volume, None)

    # Removal

    async def remove(self, name: str, *, force: bool) -> None:
        """The volume is gone with all it held.

        Raises:
            NotFound: no such volume, and not ``force``. Conflict: a container has it (Docker's words).
        """
        if force and name not in self._by_name:
            return
        record = self.get(name)
        users = self.users(name)
        if users:
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
        await self._remove(record)

    async def _remove(self, record: VolumeRecord) -> None:
        async with self._lock:
            if self._by_name.get(record.name) is not record or self._users.get(record.name):
                return
            del self._by_name[record.name]
            try:
                await asyncio.to_thread(self._folders.remove, record)
            except OSError as error:
                raise HyperError(f"remove {record.name}: {error.strerror}") from error
        self._publish("destroy", record.name)

    async def prune(self, wanted: Callable[[VolumeRecord], bool]) -> tuple[list[str], int]:
        """Volumes that no container has and that are ``wanted`` are removed: their names, and the bytes they took."""
        gone, reclaimed = [], 0
        for record in self.all():
            if not self.users(record.name) and wanted(record):
                size = await asyncio.to_thread(self.driver(record).size, record)
                await self._remove(record)
                if record.name not in self._by_name:
                    gone.append(record.name)
                    reclaimed += max(size, 0)
        self._events.publish("volume", "prune", "", {"reclaimed": str(reclaimed)})
        return gone, reclaimed

    # Changes

    async def save(self, record: VolumeRecord) -> None:
        """The record of the volume is kept as it is now.

        Raises:
            HyperError: the record cannot be written.
        """
        try:
            await asyncio.to_thread(self._folders.save, record)
        except OSError as error:
            raise HyperError(f"volume {record.name}: {error.strerror}") from error

    def _publish(self, action: str, name: str, **attributes: str) -> None:
        self._events.publish("volume", action, name, {"driver": DRIVER, **attributes})

    def publish_mounts(self, container: Lead, *, mounted: bool) -> None:
        """Events say of each volume that the container's machine has mounted it, or has let it go."""
        for point in _volumes(container.mounts):
            attributes = {"container": container.id}
            if mounted:
                writable = "false" if point.read_only else "true"
                attributes |= {"destination": point.target, "read/write": writable}
                attributes["propagation"] = point.propagation
            self._publish("mount" if mounted else "unmount", point.volume, **attributes)


def _volumes(points: Iterable[MountPoint]) -> Iterable[MountPoint]:
    return (point for point in points if point.kind == VOLUME)


def is_anonymous(record: VolumeRecord) -> bool:
    """Whether the volume has no name of a client's: prune takes only such ones unless told otherwise."""
    return ANONYMOUS_LABEL in (record.labels or {})
