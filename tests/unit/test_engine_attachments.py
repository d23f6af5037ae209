"""Volumes of a start: what they are made of, whether a machine has room for them, who else has them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from hyper.engine.events import EventBus
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.mount import BIND, VOLUME, MountPoint
from hyper.engine.record.sandbox import Placement
from hyper.engine.volume import policy
from hyper.engine.volume.attachments import Attachments, Room
from hyper.engine.volume.drivers import local_drivers
from hyper.engine.volume.volume_record import Kind
from hyper.engine.volume.volumes import Volumes
from hyper.errors import Conflict, InvalidRequest
from hyper.machine.spec import SharedPath
from hyper.proto.message import RootSource
from hyper.sandbox.scratch import ScratchDisks
from tests.support.records import plain_record, pod_record, spec_of

ROOM = Room(disks=3, disks_beside_share=2)
SMALL = {"size": "16m"}


@pytest.fixture
async def volumes(tmp_path: Path) -> AsyncIterator[Volumes]:
    """The volumes of a daemon that has none yet."""
    folder = tmp_path / "volume"
    found = Volumes(folder, EventBus(), local_drivers(folder, ScratchDisks(tmp_path / "scratch")))
    await found.open()
    yield found


async def container(
    volumes: Volumes, *points: MountPoint, name: str = "a", options: Mapping[str, Any] = {}
) -> ContainerRecord:
    """A container with these mounts; volumes that were not there are made with ``options``."""
    record = plain_record()
    record.id, record.name = name * 64, name
    record.spec = structs.replace(record.spec, mounts=points)
    for point in points:
        if point.kind == VOLUME:
            await volumes.create(point.volume, options=dict(options))
    await volumes.hold(record)
    return record


def volume(number: int, **more: Any) -> MountPoint:
    """A mount of the volume v``number``."""
    return MountPoint(VOLUME, f"/v{number}", volume=f"v{number}", **more)


@pytest.mark.parametrize(
    ("default", "joins", "own", "users", "kind"),
    [
        (Kind.DIRECTORY, False, False, 1, Kind.DIRECTORY),
        (Kind.DIRECTORY, False, False, 2, Kind.DIRECTORY),
        (Kind.DIRECTORY, True, False, 2, Kind.IMAGE),
        (Kind.DIRECTORY, False, True, 1, Kind.IMAGE),
        (Kind.IMAGE, False, False, 1, Kind.IMAGE),
        (Kind.IMAGE, False, False, 2, Kind.DIRECTORY),
    ],
)
def test_policy_decides_by_what_was_asked_for(
    default: Kind, joins: bool, own: bool, users: int, kind: Kind
) -> None:
    """What is free in a machine is not asked for."""
    assert policy.decided(default=default, joins=joins, own=own, users=users) is kind


async def test_volumes_beyond_the_room_are_refused_and_stay_undecided(volumes: Volumes) -> None:
    """A machine without room for them does not make directories of what the daemon's rule says are images."""
    record = await container(volumes, *map(volume, range(4)))
    attachments = Attachments(volumes, default=Kind.IMAGE)
    with pytest.raises(Conflict, match=r"has 4 volumes that are images; .* room for 3") as error:
        async with attachments.attach(record, Placement(), room=ROOM):
            pass
    assert error.value.hint == "create volumes with -o type=directory"
    assert {item.kind for item in volumes.all()} == {Kind.UNDECIDED}
    async with attachments.attach(record, Placement(), room=Room(4, 3)) as attached:
        assert [disk.name for disk in attached.disks] == [f"volume{number}" for number in range(4)]
    assert {item.kind for item in volumes.all()} == {Kind.IMAGE}


async def test_a_share_takes_room_from_images(volumes: Volumes, tmp_path: Path) -> None:
    """The device of the share is one that no disk can have."""
    points = [*map(volume, range(3)), MountPoint(BIND, "/b", source=str(tmp_path))]
    record = await container(volumes, *points, options=SMALL)
    with pytest.raises(Conflict, match="a machine has room for 2"):
        async with Attachments(volumes).attach(record, Placement(), room=ROOM):
            pass


async def test_a_volume_mounted_twice_takes_the_room_of_one(volumes: Volumes) -> None:
    """Mount points are not what is counted."""
    points = [MountPoint(VOLUME, f"/{number}", volume="v0") for number in range(4)]
    record = await container(volumes, *points, options=SMALL)
    async with Attachments(volumes).attach(record, Placement(), room=Room(1, 0)) as attached:
        assert len(attached.disks) == 1
        assert len(attached.mounts) == 4


async def test_a_machine_that_cannot_share_is_refused_directories(
    volumes: Volumes, tmp_path: Path
) -> None:
    """The hypervisor does not make images of them: with words, and what to say instead."""
    attachments = Attachments(volumes)
    room = Room(3, 0, shares=False)
    record = await container(volumes, volume(0))
    with pytest.raises(InvalidRequest, match="volume v0 is a directory, and its hypervisor"):
        async with attachments.attach(record, Placement(), room=room):
            pass
    assert volumes.get("v0").kind is Kind.UNDECIDED
    bound = await container(volumes, MountPoint(BIND, "/b", source=str(tmp_path)), name="b")
    with pytest.raises(InvalidRequest, match="it mounts paths of the host, and its hypervisor"):
        async with attachments.attach(bound, Placement(), room=room):
            pass
    image = await container(volumes, volume(1), name="c", options=SMALL)
    async with attachments.attach(image, Placement(), room=room) as attached:
        assert len(attached.disks) == 1


async def test_volumes_made_for_a_machine_that_cannot_share_are_images_from_then_on(
    volumes: Volumes,
) -> None:
    """Said at the container's creation, not found out at its start; what says what it is stays so."""
    record = plain_record()
    said = MountPoint(VOLUME, "/d", volume="said", driver_options=(("type", "directory"),))
    record.spec = structs.replace(record.spec, mounts=(volume(0), said, volume(1)))
    await volumes.create("v1")
    await volumes.hold(record, open_as=policy.made_for(shares=False))
    kinds = {item.name: item.kind for item in volumes.all()}
    assert kinds == {"v0": Kind.IMAGE, "said": Kind.DIRECTORY, "v1": Kind.UNDECIDED}
    assert policy.made_for(shares=True) is Kind.UNDECIDED


async def test_a_container_that_joins_a_machine_gets_disks(volumes: Volumes) -> None:
    """A machine that runs takes disks until it refuses: there is no number to hold them to."""
    record = await container(volumes, *map(volume, range(5)))
    async with Attachments(volumes).attach(record, Placement(), room=None) as attached:
        assert len(attached.disks) == 5
    assert {item.kind for item in volumes.all()} == {Kind.IMAGE}


async def test_a_pods_nameless_volumes_are_images_and_its_others_are_not(volumes: Volumes) -> None:
    """Nameless ones live as long as the pod's machine; others may be wanted by other machines."""
    nameless = MountPoint(VOLUME, "/n", volume="nameless", anonymous=True)
    record = pod_record(spec=structs.replace(spec_of(), mounts=(volume(0), nameless)))
    await volumes.hold(record)
    async with Attachments(volumes).attach(record, Placement(), room=ROOM):
        assert volumes.get("nameless").kind is Kind.IMAGE
        assert volumes.get("v0").kind is Kind.DIRECTORY


async def test_an_image_is_had_by_one_machine_until_that_is_gone(volumes: Volumes) -> None:
    """A second container is refused, and free of what it had claimed; it waits for a machine that is being ended."""
    attachments = Attachments(volumes)
    first = await container(volumes, volume(0), options=SMALL)
    second = await container(volumes, volume(1), volume(0), name="b", options=SMALL)
    async with attachments.attach(first, Placement(), room=ROOM):
        pass
    with pytest.raises(Conflict, match="volume v0 is in use by the running container a "):
        async with attachments.attach(second, Placement(), room=ROOM):
            pass
    third = await container(volumes, volume(1), name="c")
    async with attachments.attach(third, Placement(), room=ROOM):
        pass
    attachments.detach(third)
    attachments.ending(first)
    attachments.detach(first)
    async with attachments.attach(second, Placement(), room=ROOM):
        pass


async def test_two_machines_that_only_read_have_one_image(volumes: Volumes) -> None:
    """Once it was filled; a writer is refused as long as one of them runs."""
    attachments = Attachments(volumes)
    writer = await container(volumes, volume(0), options=SMALL)
    readers = [await container(volumes, volume(0, read_only=True), name=name) for name in "bc"]
    async with attachments.attach(writer, Placement(), room=ROOM):
        pass
    attachments.detach(writer)
    for reader in readers:
        async with attachments.attach(reader, Placement(), room=ROOM) as attached:
            assert attached.disks[0].read_only
    with pytest.raises(Conflict, match="in use by the running container b"):
        async with attachments.attach(writer, Placement(), room=ROOM):
            pass


async def test_the_share_of_a_running_machine_is_told_by_its_record(
    volumes: Volumes, tmp_path: Path
) -> None:
    """Places are counted as at the start: a bind of the control groups, which the machine has itself, has none."""
    host = MountPoint(BIND, "/b", source=str(tmp_path))
    groups = MountPoint(BIND, "/sys/fs/cgroup", source="/sys/fs/cgroup/")
    record = await container(volumes, groups, host, volume(0))
    attachments = Attachments(volumes)
    async with attachments.attach(record, Placement(), room=ROOM) as attached:
        directory = SharedPath(tmp_path / "volume/v0/_data", read_only=False)
        assert attached.shared == (SharedPath(tmp_path, read_only=False), directory)
        assert attached.mounts[0].source == RootSource("/sys/fs/cgroup")
        assert attachments.shared_paths(record) == attached.shared
