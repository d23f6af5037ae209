"""A pod's machine: its anchor, and the mounts that its containers share. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from hyper.config import DEFAULT_SHM_SIZE, Config
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.mount import BIND, TMPFS, VOLUME, MountPoint, MountRecord
from hyper.engine.record.pod import PodRecord
from hyper.engine.spec import agent_requests, mount_options, nfs
from hyper.errors import InvalidRequest
from hyper.ids import new_id
from hyper.proto.message import (
    DiskSource,
    KernelSource,
    Mount,
    MountFlag,
    MountSource,
    NfsSource,
    RootSource,
    ShareSource,
)
from hyper.sandbox import warm_up
from hyper.types import pod as wire
from hyper.types.container import ContainerConfig, HostConfig, RestartPolicy

#: In the folder of the guest's files: a layer with the program and a place for each volume (make-exercise.py).
_LAYER: Final = "exercise.squashfs"
_COMMAND: Final = (warm_up.PROGRAM, "wait")
_PLACES: Final = "/volumes"
_NANO: Final = 1_000_000_000


def layer(config: Config) -> Path:
    """The only layer of pods' anchors."""
    return config.assets / _LAYER


def anchor_config(body: wire.PodBody) -> ContainerConfig:
    """The configuration of a pod's anchor: a program that waits."""
    return ContainerConfig(
        hostname=body.hostname,
        exposed_ports=exposed(body),
        env=["PATH=/"],
        entrypoint=list(_COMMAND),
        labels={**(body.labels or {}), wire.POD_LABEL: body.name},
        # It does not have to be asked: nothing of it is to be kept.
        stop_signal="SIGKILL",
    )


def exposed(body: wire.PodBody) -> dict[str, dict[str, Any]] | None:
    """The exposed ports of all containers of a pod: they are the machine's, not each container's."""
    whole = dict(body.exposed_ports or {})
    for item in body.containers:
        whole |= item.body.exposed_ports or {}
    return whole or None


def anchor_host_config(body: wire.PodBody) -> HostConfig:
    """The host configuration of a pod's machine: its size, its network; restarts if containers of the pod do."""
    policies = {
        item.body.host_config.restart_policy.name
        for item in body.containers
        if item.body.host_config
    }
    return HostConfig(
        network_mode=body.network or "default",
        dns=body.dns,
        dns_search=body.dns_search,
        dns_options=body.dns_options,
        extra_hosts=body.extra_hosts,
        port_bindings=body.port_bindings,
        sysctls=body.sysctls,
        memory=body.memory,
        nano_cpus=body.cpus * _NANO,
        restart_policy=RestartPolicy("on-failure" if policies - {"", "no"} else "no"),
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        # Whose parent has ended is waited for by the first process.
        init=True if body.share_pid else None,
    )


def mount_points(volumes: list[wire.PodVolume]) -> list[MountPoint]:
    """The volumes of a pod as the anchor has them; those that live with the pod get a name."""
    return [_mount_point(volume, f"{_PLACES}/{number}") for number, volume in enumerate(volumes)]


def _mount_point(volume: wire.PodVolume, target: str) -> MountPoint:
    if volume.kind == wire.HOST:
        return MountPoint(
            BIND, target, source=volume.source, read_only=volume.read_only, create=volume.create
        )
    if volume.kind == wire.MEMORY:
        size = f",size={volume.size_bytes}" if volume.size_bytes else ""
        return MountPoint(TMPFS, target, options=f"mode=1777,exec{size}")
    if volume.kind == wire.VOLUME:
        return MountPoint(
            VOLUME,
            target,
            volume=volume.source or volume.name,
            read_only=volume.read_only,
            no_copy=True,
            driver_options=None
            if volume.driver_opts is None
            else tuple(volume.driver_opts.items()),
        )
    return MountPoint(VOLUME, target, volume=new_id(), anonymous=True)


def shared(mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """The anchor's ``mounts`` in a form that members can share: a tmpfs has a name in the machine."""
    made = []
    for mount in mounts:
        if mount.type == "tmpfs":
            number = mount.target.rpartition("/")[2]
            flags = mount.flags | MountFlag.VOLUME | MountFlag.NO_COPY
            mount = replace(mount, source=ShareSource(f"memory{number}"), flags=flags)
        made.append(mount)
    return (*made, _shm())


def kept(mounts: Iterable[Mount]) -> list[MountRecord]:
    """The mounts ``mounts`` as a pod's record keeps them while its machine runs."""
    return [MountRecord.of(mount) for mount in mounts]


def _shm() -> Mount:
    """The mount of POSIX shared memory: it belongs to the IPC that a pod's containers share."""
    data = f"mode=1777,size={DEFAULT_SHM_SIZE}"
    return Mount("tmpfs", ShareSource("shm"), agent_requests.SHM, mount_options.SAFE, data)


def member_mounts(record: ContainerRecord, pod: PodRecord) -> tuple[Mount, ...]:
    """The mounts of the pod's volumes and its shared memory in a container of ``pod``."""
    assert record.member is not None
    places = {volume.name: number for number, volume in enumerate(pod.volumes)}
    found = {kept.target: kept.mount() for kept in pod.volume_mounts}
    mounts = [
        _member_mount(asked, found[f"{_PLACES}/{places[asked.volume]}"])
        for asked in record.member.mounts
    ]
    own_shm = record.spec.shm_size != 0
    return tuple(mounts) if own_shm else (_shm(), *mounts)


def _member_mount(asked: wire.PodMount, mount: Mount) -> Mount:
    flags, source = mount.flags, mount.source
    if asked.read_only:
        flags |= mount_options.RDONLY
    if asked.sub_path:  # as a volume's also of a directory of the host: no link leads out
        source = _below(source, asked.sub_path)
        flags |= MountFlag.VOLUME | MountFlag.MAKE_SUB
    if flags & MountFlag.VOLUME:
        flags |= MountFlag.NO_COPY
    return Mount(mount.type, source, asked.target, flags, mount.data)


def _below(source: MountSource, sub: str) -> MountSource:
    """The mount source of what is at ``sub`` in the volume at ``source``.

    Raises:
        InvalidRequest: the volume has no directories that could be asked for, or not of that name.
    """
    match source:
        case NfsSource():
            return nfs.below(source, sub)
        case DiskSource() | ShareSource():
            return replace(source, sub=sub)
        case KernelSource() | RootSource():
            raise InvalidRequest(f"{sub[:100]!r} is no directory of a volume")
