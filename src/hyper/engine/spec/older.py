"""Documents of containers that were kept before there were container specs, and what they amount to. Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field, structs

from hyper.engine.record.container_spec import ImageUse, MachineSize
from hyper.engine.record.mount import MountPoint
from hyper.engine.spec import from_docker
from hyper.types.container import ContainerConfig, Healthcheck, HostConfig


class _Mount(Struct, frozen=True):
    """A mount as it was kept: with mappings where MountPoint has pairs."""

    kind: str
    target: str
    source: str = ""
    volume: str = ""
    read_only: bool = False
    mode: str = ""
    propagation: str = ""
    anonymous: bool = False
    no_copy: bool = False
    subpath: str = ""
    create: bool = False
    options: str = ""
    labels: dict[str, str] | None = None
    driver_options: dict[str, str] | None = None


class _Member(Struct):
    """A membership in a pod, as far as it said what is in the spec."""

    liveness: Healthcheck | None = None


class _Container(Struct):
    """A container's document, as far as it said what is in its spec."""

    image_id: str
    image_ref: str
    config: ContainerConfig
    host_config: HostConfig
    vcpus: int
    memory_mib: int
    mounts: list[_Mount] = field(default_factory=list)
    seccomp: bytes = b""
    handlers: list[str] = field(default_factory=list)
    member: _Member | None = None


_read = msgspec.json.Decoder(_Container).decode


def with_spec(document: bytes) -> bytes:
    """The container's ``document`` of a schema before the fourth, with a spec in place of what that has in it.

    Raises:
        InvalidRequest: a value makes no sense, which the Hyper that kept it should have refused.
    """
    old = _read(document)
    spec = from_docker.container_spec(
        old.config,
        old.host_config,
        size=MachineSize(old.vcpus, old.memory_mib),
        image=ImageUse(old.image_id, old.image_ref),
        mounts=map(_mount_point, old.mounts),
        seccomp=old.seccomp,
        liveness=old.member.liveness if old.member is not None else None,
    )
    before, after = _handlers(old.handlers)
    program = structs.replace(spec.program, pre_start=before, post_stop=after)
    members: dict[str, Any] = msgspec.json.decode(document)
    for name in ("image_id", "image_ref", "vcpus", "memory_mib", "mounts", "seccomp", "handlers"):
        members.pop(name, None)
    members["spec"] = structs.replace(spec, program=program)
    return msgspec.json.encode(members)


def _mount_point(old: _Mount) -> MountPoint:
    members = structs.asdict(old)
    for name in ("labels", "driver_options"):
        if members[name] is not None:
            members[name] = tuple(members[name].items())
    return MountPoint(**members)


def _handlers(words: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The programs before and after the container's own, of the header that was kept of them."""
    if not words:
        return (), ()
    first = 3 + int(words[1])
    return tuple(words[3:first]), tuple(words[first:])
