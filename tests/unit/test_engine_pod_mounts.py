"""Mounts that containers of a pod share: named in the machine, kept in the record, given to each container."""

from __future__ import annotations

import msgspec
import pytest

from hyper.engine.record.mount import MountRecord
from hyper.engine.record.pod import Member
from hyper.engine.spec import pod_machine
from hyper.errors import InvalidRequest
from hyper.proto.message import (
    MS_BIND,
    DiskSource,
    KernelSource,
    Mount,
    MountFlag,
    MountSource,
    NfsSource,
    RootSource,
    ShareSource,
)
from hyper.types.pod import PodMount, PodVolume
from tests.support.records import plain_record, pod_record

#: As hyperd wrote it at commit 4c860e0, while the pod ran: a host directory, memory, a disk, a file server.
OLDER = b"""[
    {"type": "virtiofs", "source": "tag:hyper:/0", "target": "/volumes/0", "flags": 1, "data": ""},
    {"type": "tmpfs", "source": "tag:memory1:/", "target": "/volumes/1", "flags": 3221225486, "data": "mode=1777"},
    {"type": "ext4", "source": "disk:volume0:/data", "target": "/volumes/2", "flags": 3221225476, "data": ""},
    {"type": "nfs", "source": "net::[::1]:/x", "target": "/volumes/3", "flags": 3221225476, "data": "vers=4.2"},
    {"type": "tmpfs", "source": "tag:shm:/", "target": "/dev/shm", "flags": 14, "data": ""}]"""
PLACED = (
    ShareSource("hyper", "/0"),
    ShareSource("memory1"),
    DiskSource("volume0", "/data"),
    NfsSource("[::1]:/x"),
)


def given(sources: tuple[MountSource, ...], sub_path: str = "") -> list[Mount]:
    """The mounts of a container that mounts all of a pod's volumes, which are at ``sources`` in its machine."""
    flags = [MS_BIND if isinstance(source, RootSource) else 0 for source in sources]
    mounts = [
        Mount("", source, f"/volumes/{number}", flags[number])
        for number, source in enumerate(sources)
    ]
    record = plain_record()
    volumes = [PodVolume(f"v{number}") for number in range(len(sources))]
    pod = pod_record(volumes=volumes, volume_mounts=pod_machine.kept(mounts))
    asked = [PodMount(volume.name, f"/{volume.name}", False, sub_path) for volume in volumes]
    record.member = Member("pod", "a", 0, mounts=asked)
    shm, *found = pod_machine.member_mounts(record, pod)
    assert (shm.source, shm.target) == (ShareSource("shm"), "/dev/shm")
    return found


def test_the_record_of_a_running_pod_of_an_older_daemon_is_read_and_kept_the_same() -> None:
    """A pod that runs while hyperd is exchanged gives its volumes to containers that are started later."""
    kept = msgspec.json.decode(OLDER, type=list[MountRecord])
    mounts = [item.mount() for item in kept]
    assert tuple(mount.source for mount in mounts) == (*PLACED, ShareSource("shm"))
    assert pod_machine.kept(mounts) == kept
    assert msgspec.to_builtins(kept) == msgspec.json.decode(OLDER)


def test_a_tmpfs_of_a_pod_has_a_name_in_its_machine() -> None:
    """A memory volume is one file system for all containers; so is /dev/shm. Others stay as they are."""
    memory = Mount("tmpfs", KernelSource("tmpfs"), "/volumes/3", 14, "mode=1777")
    disk = Mount("ext4", PLACED[2], "/volumes/4", MountFlag.VOLUME)
    named, same, shm = pod_machine.shared((memory, disk))
    assert (named.source, named.flags) == (
        ShareSource("memory3"),
        14 | MountFlag.VOLUME | MountFlag.NO_COPY,
    )
    assert (same, shm.source) == (disk, ShareSource("shm"))


def test_a_container_of_a_pod_mounts_volumes_where_they_are_in_the_machine() -> None:
    """Each volume has the source that the pod's first container has it at."""
    assert tuple(mount.source for mount in given(PLACED)) == PLACED


def test_a_sub_path_of_a_pods_volume_is_made_and_no_link_leads_out_of_it() -> None:
    """The source names the sub path, and the volume's rules hold, also for a directory of the host."""
    mounts = given(PLACED, "a/b")
    assert tuple(mount.source for mount in mounts) == (
        ShareSource("hyper", "/0", "a/b"),
        ShareSource("memory1", "/", "a/b"),
        DiskSource("volume0", "/data", "a/b"),
        NfsSource("[::1]:/x", "a/b"),
    )
    wanted = MountFlag.VOLUME | MountFlag.MAKE_SUB | MountFlag.NO_COPY
    assert all(mount.flags & wanted == wanted for mount in mounts)


def test_a_sub_path_of_what_is_no_volume_is_refused() -> None:
    """The machine's control groups, which a bind of the host's stands for, have no directories to ask for."""
    with pytest.raises(InvalidRequest, match="'a' is no directory of a volume"):
        given((RootSource("/sys/fs/cgroup"),), "a")
