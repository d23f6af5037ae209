"""Volumes without containers: options, folders that are their own records, what a killed daemon leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from hyper.engine.events import EventBus
from hyper.engine.record.mount import BIND, TMPFS, VOLUME, MountPoint
from hyper.engine.volume.driver import VolumeDriver
from hyper.engine.volume.drivers import local_drivers
from hyper.engine.volume.volume_folder import RECORD, VolumeFolders
from hyper.engine.volume.volume_options import new_record
from hyper.engine.volume.volume_record import Kind, VolumeRecord
from hyper.engine.volume.volumes import Volumes
from hyper.errors import HyperError, InvalidRequest, NotFound
from hyper.sandbox.scratch import ScratchDisks
from hyper.units import GIB


def made(**options: str) -> VolumeRecord:
    """A volume with these driver options."""
    return new_record("vol", labels=None, options=options, anonymous=False)


def drivers(root: Path) -> Mapping[Kind, VolumeDriver]:
    """Drivers of volumes below ``root``."""
    return local_drivers(root, ScratchDisks(root / "scratch"))


def all_volumes(folder: Path, events: EventBus) -> Volumes:
    """The volumes of a daemon whose folder of volumes is ``folder``."""
    return Volumes(folder, events, drivers(folder))


def test_options() -> None:
    """Each way a volume may be kept."""
    assert made().kind is Kind.UNDECIDED
    assert (made(size="1g").kind, made(size="1g").size) == (Kind.IMAGE, GIB)
    assert made(type="image").kind is Kind.IMAGE
    assert made(type="directory").kind is Kind.DIRECTORY
    bind = made(type="none", o="bind,ro", device="/srv")
    assert (bind.kind, bind.path, bind.mount_options) == (Kind.BIND, "/srv", "ro")
    assert made(type="tmpfs", device="tmpfs", o="size=1m").mount_options == "size=1m"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"colour": "red"}, 'invalid option: "colour"'),
        (
            {"type": "cifs", "o": "addr=x", "device": "//x"},
            "volumes of type cifs are not supported",
        ),
        ({"type": "none", "o": "rw", "device": "/x"}, "volumes of type none are not supported"),
        ({"type": "image", "device": "/x"}, "o and device are no options of type image"),
        ({"size": "1g", "type": "tmpfs", "device": "x"}, "size is an option of images"),
        ({"type": "nfs", "o": "addr=x", "device": "x"}, "must be :/PATH, not 'x'"),
        ({"type": "nfs", "o": "addr=x", "device": ":/a\nb"}, "must be :/PATH"),
        ({"type": "nfs", "o": "addr=x", "device": ":/" + "x" * 1024}, "must be :/PATH"),
        ({"type": "nfs", "o": "rw", "device": ":/x"}, "no file server is named"),
        ({"type": "nfs", "o": "addr=x,a b", "device": ":/x"}, "invalid mount options"),
        ({"type": "nfs4", "o": "a" * 1025, "device": "x:/x"}, "invalid mount options"),
        ({"type": "none", "o": "bind"}, 'missing required option: "device"'),
        ({"o": "bind", "device": "/x"}, 'missing required option: "type"'),
        ({"type": "none", "o": "bind", "device": "x"}, "device must be an absolute path"),
        ({"type": "directory", "size": "1g"}, "size is an option of images"),
        ({"size": "1k"}, "size must be from"),
        ({"size": "99999999999g"}, "size must be from"),
        ({"size": "big"}, "invalid size: 'big'"),
    ],
)
def test_bad_options(options: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        made(**options)
    assert text in str(caught.value)


def test_a_killed_daemon_leaves_whole_volumes_only(tmp_path: Path) -> None:
    """What was half made or half removed is swept away; what is no volume's is left alone; the rest is known again."""
    folders = VolumeFolders(tmp_path / "volume")
    assert folders.load() == []
    record = made(type="directory")
    folders.create(record, drivers(folders.root)[record.kind].make)
    (folders.root / "vol/_data/kept").write_text("x")
    for name in (".new-1", ".old-2", "foreign"):
        (folders.root / name / "deep").mkdir(parents=True)
    assert VolumeFolders(tmp_path / "volume").load() == [record]
    assert sorted(path.name for path in folders.root.iterdir()) == ["foreign", "vol"]
    record.filled = True
    folders.save(record)
    assert folders.load() == [record]
    (folders.root / "vol" / RECORD).write_text("{")
    with pytest.raises(HyperError, match="cannot read"):
        folders.load()


def test_the_links_of_a_guest_lead_nowhere(tmp_path: Path) -> None:
    """Size and removal of a volume stay within it whatever it holds."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x" * 100_000)
    folders = VolumeFolders(tmp_path / "volume")
    folders.load()
    record = made(type="directory")
    driver = drivers(folders.root)[record.kind]
    folders.create(record, driver.make)
    (folders.root / "vol/_data/link").symlink_to(outside)
    (folders.root / "vol/_data/file").symlink_to(outside / "precious")
    assert driver.size(record) < 10_000
    folders.remove(record)
    assert list(folders.root.iterdir()) == []
    assert (outside / "precious").exists()


async def test_only_volumes_that_are_directories_are_shared_by_machines(tmp_path: Path) -> None:
    """The warning of what two machines share is of directories: an image has one machine, a server's has its own."""
    volumes = all_volumes(tmp_path / "volume", EventBus())
    await volumes.open()
    kinds = {
        "image": {"type": "image"},
        "dir": {"type": "directory"},
        "bound": {"type": "none", "o": "bind", "device": "/srv"},
        "memory": {"type": "tmpfs", "device": "tmpfs"},
        "server": {"type": "nfs", "o": "addr=10.0.0.5", "device": ":/x"},
        "open": {},
    }
    for name, options in kinds.items():
        await volumes.create(name, options=options)
    points = [MountPoint(VOLUME, f"/{name}", volume=name) for name in (*kinds, "unknown")]
    points += [MountPoint(BIND, "/b", source="/srv"), MountPoint(TMPFS, "/t")]
    assert [point.target for point in volumes.shared(points)] == ["/dir", "/bound", "/b"]


def test_names_drivers_and_events(tmp_path: Path) -> None:
    """Making twice is making once; a nameless one is marked; a foreign driver is not found; each deed is told."""

    async def story() -> None:
        events = EventBus()
        volumes = all_volumes(tmp_path / "volume", events)
        await volumes.open()
        first = await volumes.create("vol", labels={"a": "b"})
        assert await volumes.create("vol") is first
        nameless = await volumes.create("")
        assert nameless.labels == {"com.docker.volume.anonymous": ""}
        with pytest.raises(NotFound, match='plugin "nfs" not found'):
            await volumes.create("other", driver="nfs")
        with pytest.raises(NotFound, match="get nobody: no such volume"):
            await volumes.remove("nobody", force=False)
        await volumes.remove("nobody", force=True)
        await volumes.remove("vol", force=False)
        gone, _ = await volumes.prune(lambda record: True)
        assert gone == [nameless.name]
        now = time.time_ns()
        seen = [event async for event in events.subscribe(since_ns=0, until_ns=now)]
        assert [(event.action, event.actor) for event in seen] == [
            ("create", "vol"),
            ("create", nameless.name),
            ("destroy", "vol"),
            ("destroy", nameless.name),
            ("prune", ""),
        ]

    asyncio.run(story())
