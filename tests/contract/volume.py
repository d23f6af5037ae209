"""What every volume driver is held to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hyper.engine.record.mount import VOLUME, MountPoint
from hyper.engine.volume.attachment import Attachment, AttachmentBuilder
from hyper.engine.volume.driver import Needs, Use, VolumeDriver
from hyper.engine.volume.volume_record import VolumeRecord
from hyper.errors import InvalidRequest
from hyper.proto.message import DiskSource, Mount, MountFlag, NfsSource, ShareSource
from hyper.proto.wire import Reader, Writer

_RDONLY = 1


@dataclass(frozen=True)
class Volume:
    """A volume of the driver under test, whose folder is ``root``/NAME."""

    driver: VolumeDriver
    record: VolumeRecord
    root: Path

    def use(self, target: str = "/v", *, read_only: bool = False, subpath: str = "") -> Use:
        """A use of the volume by a container that mounts it once."""
        point = MountPoint(
            VOLUME, target, volume=self.record.name, read_only=read_only, subpath=subpath
        )
        return Use(point, only_read=read_only, privileged=False)

    async def attached(self, *uses: Use) -> tuple[list[Mount], Attachment]:
        """The mounts of ``uses`` by one container, and what they need of its machine."""
        builder = AttachmentBuilder(lambda name: f"2-{name}")
        mounts = [await self.driver.attach(self.record, use, builder) for use in uses]
        return mounts, builder.whole()


def tree(root: Path) -> set[str]:
    """Paths of all files below ``root``."""
    return {str(path.relative_to(root)) for path in root.rglob("*")}


class VolumeDriverContract:
    """The suite. A subclass has a fixture ``volume``: one whose files were made by the driver and never used."""

    async def test_make_when_folder_is_fresh_changes_nothing_else(self, volume: Volume) -> None:
        """Files of a volume are in its folder, wherever that is moved to afterwards."""
        before = tree(volume.root)
        draft = volume.root / "draft"
        draft.mkdir()
        volume.driver.make(draft)
        made = {f"draft/{path}" for path in tree(draft)}
        assert tree(volume.root) == before | made | {"draft"}

    async def test_mountpoint_is_a_path_of_the_host_or_none(self, volume: Volume) -> None:
        """The place that inspect shows is absolute, and there once the volume was attached."""
        place = volume.driver.mountpoint(volume.record)
        await volume.attached(volume.use())
        assert place == volume.driver.mountpoint(volume.record)
        assert place == "" or (place.startswith("/") and Path(place).exists())

    async def test_size_when_never_used_is_known_or_not_ours(self, volume: Volume) -> None:
        """Sizes are of what Hyper keeps; −1 is said of all else, before and after a use."""
        size = volume.driver.size(volume.record)
        await volume.attached(volume.use())
        after = volume.driver.size(volume.record)
        assert after >= size if size >= 0 else after == size == -1

    async def test_attach_adds_to_the_machine_what_the_driver_needs(self, volume: Volume) -> None:
        """A machine that has no room for that is refused before: so nothing else may be added."""
        _, attached = await volume.attached(volume.use())
        added = (len(attached.disks), len(attached.shared))
        assert (
            added
            == {Needs.NOTHING: (0, 0), Needs.DISK: (1, 0), Needs.SHARE: (0, 1)}[volume.driver.needs]
        )
        assert attached.mounts == ()  # the mount is the caller's to put in order

    async def test_attach_when_mounted_twice_takes_one_disk(self, volume: Volume) -> None:
        """Two mount points of one container have two mounts; the file system comes into the machine once."""
        mounts, attached = await volume.attached(volume.use("/a"), volume.use("/b"))
        assert [mount.target for mount in mounts] == ["/a", "/b"]
        assert len(attached.disks) == (volume.driver.needs is Needs.DISK)

    async def test_mount_names_what_was_added(self, volume: Volume) -> None:
        """The source of a mount is the disk or the place in the share that the machine has of the volume."""
        (mount,), attached = await volume.attached(volume.use())
        if isinstance(mount.source, DiskSource):
            assert mount.source.disk == attached.disks[0].name == "2-volume0"
        elif isinstance(mount.source, ShareSource):
            assert mount.source.path == "/0"
        else:
            assert volume.driver.needs is Needs.NOTHING

    async def test_mount_can_be_told_to_a_guest(self, volume: Volume) -> None:
        """The guest reads what was written."""
        for use in (volume.use(), volume.use(read_only=True)):
            (mount,), _ = await volume.attached(use)
            to = Writer()
            mount.write(to)
            assert Mount.read(Reader(bytes(to))) == mount

    async def test_mount_is_read_only_if_and_only_if_asked(self, volume: Volume) -> None:
        """The flag of mount(2) is set whatever else holds the guest to it."""
        (writes, reads), _ = await volume.attached(
            volume.use("/a"), volume.use("/b", read_only=True)
        )
        assert (writes.flags & _RDONLY, reads.flags & _RDONLY) == (0, _RDONLY)

    async def test_host_holds_a_reader_to_it_once_the_volume_is_filled(
        self, volume: Volume
    ) -> None:
        """The first use fills the volume, and has to write; after it a reader's disk or share cannot be written."""
        for filled in (False, True):
            volume.record.filled = filled
            (mount,), attached = await volume.attached(volume.use(read_only=True))
            held = [item.read_only for item in (*attached.disks, *attached.shared)]
            assert held == [filled] * (volume.driver.needs is not Needs.NOTHING)
            if held == [True]:
                assert mount.flags & MountFlag.NO_COPY

    async def test_writer_beside_a_reader_in_one_container_can_write(self, volume: Volume) -> None:
        """A container that also writes to the volume gets a disk that it can write to."""
        volume.record.filled = True
        both = [
            replace(use, only_read=False)
            for use in (volume.use("/a", read_only=True), volume.use("/b"))
        ]
        _, attached = await volume.attached(*both)
        assert [disk.read_only for disk in attached.disks] == [False] * len(attached.disks)

    async def test_shared_path_is_what_attach_shares(self, volume: Volume) -> None:
        """A machine that is found again has its share's paths by this alone."""
        for use in (volume.use(), volume.use(read_only=True)):
            _, attached = await volume.attached(use)
            path = volume.driver.shared_path(volume.record, use.point)
            assert attached.shared == (() if path is None else (path,))

    async def test_subpath_is_in_the_source_or_refused_by_name(self, volume: Volume) -> None:
        """A part of a volume is never taken for the whole of it."""
        try:
            (mount,), _ = await volume.attached(volume.use(subpath="a/b"))
        except InvalidRequest as error:
            assert volume.record.name in str(error)
            assert "a/b" in str(error)
            return
        assert isinstance(mount.source, DiskSource | ShareSource | NfsSource)
        assert mount.source.sub == "a/b"
        assert mount.flags & MountFlag.VOLUME

    async def test_no_copy_is_told_to_the_guest(self, volume: Volume) -> None:
        """A volume that is not to be filled from the image is not."""
        use = volume.use()
        asked = replace(use, point=_no_copy(use.point))
        (filled, bare), _ = await volume.attached(use, asked)
        if filled.flags & MountFlag.VOLUME:
            assert bool(filled.flags & MountFlag.NO_COPY) < bool(bare.flags & MountFlag.NO_COPY)


def _no_copy(point: MountPoint) -> MountPoint:
    return MountPoint(point.kind, point.target, volume=point.volume, no_copy=True)
