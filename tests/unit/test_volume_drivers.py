"""Volume drivers of all kinds, each run through the contract, and what is particular to one."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hyper.engine.volume.driver import VolumeDriver
from hyper.engine.volume.drivers import local_drivers
from hyper.engine.volume.volume_options import new_record
from hyper.engine.volume.volume_record import MINIMUM_SIZE, Kind
from hyper.errors import InvalidRequest
from hyper.proto.message import MountFlag
from hyper.sandbox.scratch import ScratchDisks
from tests.contract.volume import Volume, VolumeDriverContract


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of all volumes' folders."""
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


@pytest.fixture
def drivers(root: Path) -> Mapping[Kind, VolumeDriver]:
    """The drivers of this host."""
    return local_drivers(root, ScratchDisks(root.parent / "scratch"))


def made(drivers: Mapping[Kind, VolumeDriver], root: Path, **options: str) -> Volume:
    """A new volume with these options of docker volume create."""
    record = new_record("vol", labels=None, options=options, anonymous=False)
    folder = root / record.name
    folder.mkdir()
    drivers[record.kind].make(folder)
    return Volume(drivers[record.kind], record, root)


class TestDirectory(VolumeDriverContract):
    """The driver of directories."""

    @pytest.fixture
    def volume(self, drivers: Mapping[Kind, VolumeDriver], root: Path) -> Volume:
        return made(drivers, root, type="directory")


class TestImage(VolumeDriverContract):
    """The driver of ext4 images."""

    @pytest.fixture
    def volume(self, drivers: Mapping[Kind, VolumeDriver], root: Path) -> Volume:
        return made(drivers, root, type="image", size=str(MINIMUM_SIZE))


class TestBind(VolumeDriverContract):
    """The driver of directories of the host's owner."""

    @pytest.fixture
    def volume(self, drivers: Mapping[Kind, VolumeDriver], root: Path, tmp_path: Path) -> Volume:
        (tmp_path / "theirs").mkdir()
        return made(drivers, root, type="none", o="bind", device=str(tmp_path / "theirs"))


class TestTmpfs(VolumeDriverContract):
    """The driver of volumes in memory."""

    @pytest.fixture
    def volume(self, drivers: Mapping[Kind, VolumeDriver], root: Path) -> Volume:
        return made(drivers, root, type="tmpfs", device="tmpfs", o="size=1m")


class TestNfs(VolumeDriverContract):
    """The driver of file servers' volumes."""

    @pytest.fixture
    def volume(self, drivers: Mapping[Kind, VolumeDriver], root: Path) -> Volume:
        return made(drivers, root, type="nfs", o="addr=10.0.0.5", device=":/export")


def test_every_kind_of_volume_has_a_driver(drivers: Mapping[Kind, VolumeDriver]) -> None:
    """What is undecided is made as a directory, and becomes what the policy says."""
    assert set(drivers) == set(Kind)
    assert drivers[Kind.UNDECIDED] is drivers[Kind.DIRECTORY]
    assert [kind for kind, driver in drivers.items() if driver.exclusive] == [Kind.IMAGE]


async def test_a_directory_that_is_gone_is_an_error_with_its_name(
    drivers: Mapping[Kind, VolumeDriver], root: Path
) -> None:
    """The host's owner may have removed what a volume stands for: the machine is not started on nothing."""
    volume = made(drivers, root, type="none", o="bind", device=str(root / "away"))
    with pytest.raises(InvalidRequest, match=r"mounting volume 'vol': .*/away: no such directory"):
        await volume.attached(volume.use())


async def test_a_bind_volume_with_ro_is_read_only_whatever_is_asked(
    drivers: Mapping[Kind, VolumeDriver], root: Path
) -> None:
    """The option holds for every container, also for the first, and nothing is copied into it."""
    volume = made(drivers, root, type="none", o="bind,ro", device=str(root))
    (mount,), attached = await volume.attached(volume.use())
    assert attached.shared[0].read_only
    assert mount.flags & (1 | MountFlag.NO_COPY) == 1 | MountFlag.NO_COPY


async def test_an_image_that_could_not_be_made_is_made_by_the_next_start(
    drivers: Mapping[Kind, VolumeDriver], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk while the file system is made leaves a volume without one."""
    volume = made(drivers, root, type="image", size=str(MINIMUM_SIZE))

    async def full(self: ScratchDisks, path: Path, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ScratchDisks, "create", full)
        with pytest.raises(OSError, match="No space"):
            await volume.attached(volume.use())
    assert list((root / "vol").iterdir()) == []
    await volume.attached(volume.use())
    assert (root / "vol/disk.ext4").stat().st_size == MINIMUM_SIZE
