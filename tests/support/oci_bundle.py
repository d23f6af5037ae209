"""A second builder of container specs, for tests: the config.json of an OCI bundle.

Source: runtime-spec v1.2, config.md and config-linux.md. Only as much of it as shows that the spec has a place for
each part without a word of Docker's; nothing is checked.
"""

from __future__ import annotations

import json
import resource
from typing import Any

from hyper.engine.record.container_spec import (
    ContainerSpec,
    ImageUse,
    MachineSize,
    NetworkKind,
    NetworkWish,
    Privileges,
    Program,
    ResourceLimits,
    Root,
)
from hyper.engine.record.mount import BIND, MountPoint
from hyper.proto.message import Device, DeviceType, Rlimit

_SCRATCH_BYTES = 1 << 30
_DEVICES = {"c": DeviceType.CHARACTER, "b": DeviceType.BLOCK}


def spec_of_bundle(text: str) -> ContainerSpec:
    """The spec of the bundle whose config.json is ``text``."""
    bundle: dict[str, Any] = json.loads(text)
    linux = bundle.get("linux", {})
    limits = _limits(linux.get("resources", {}))
    memory_mib = limits.memory_bytes >> 20
    return ContainerSpec(
        program=_program(bundle["process"]),
        privileges=_privileges(bundle["process"], linux),
        size=MachineSize(max(1, -int(-(limits.cpus or 1) // 1)), max(128, memory_mib + 40)),
        root=Root(_SCRATCH_BYTES, bundle["root"].get("readonly", False)),
        image=ImageUse(reference=bundle["root"]["path"]),
        labels=tuple(bundle.get("annotations", {}).items()),
        limits=limits,
        mounts=tuple(_bind(item) for item in bundle["mounts"] if item["type"] == "bind"),
        tmpfs=tuple(
            (item["destination"], ",".join(item.get("options", ())))
            for item in bundle["mounts"]
            if item["type"] == "tmpfs"
        ),
        hostname=bundle.get("hostname", ""),
        domainname=bundle.get("domainname", ""),
        sysctls=tuple(linux.get("sysctl", {}).items()),
        network=NetworkWish(kind=NetworkKind.NONE),  # a namespace that somebody else fills
    )


def _program(process: dict[str, Any]) -> Program:
    user, size = process["user"], process.get("consoleSize", {})
    return Program(
        args=tuple(process["args"]),
        env=tuple(process.get("env", ())),
        cwd=process["cwd"],
        user=f"{user['uid']}:{user['gid']}",
        groups=tuple(str(group) for group in user.get("additionalGids", ())),
        tty=process.get("terminal", False),
        stdin=True,
        rows=size.get("height", 0),
        columns=size.get("width", 0),
    )


def _privileges(process: dict[str, Any], linux: dict[str, Any]) -> Privileges:
    effective = process.get("capabilities", {}).get("effective", ())
    return Privileges(
        capabilities=tuple(name.removeprefix("CAP_") for name in effective),
        no_new_privileges=process.get("noNewPrivileges", False),
        masked=tuple(linux.get("maskedPaths", ())),
        readonly=tuple(linux.get("readonlyPaths", ())),
        rlimits=tuple(
            Rlimit(getattr(resource, item["type"]), item["soft"], item["hard"])
            for item in process.get("rlimits", ())
        ),
        devices=tuple(
            Device(item["path"], _DEVICES[item["type"]], item["major"], item["minor"])
            for item in linux.get("devices", ())
        ),
    )


def _limits(resources: dict[str, Any]) -> ResourceLimits:
    cpu = resources.get("cpu", {})
    quota = cpu.get("quota", 0)
    return ResourceLimits(
        memory_bytes=resources.get("memory", {}).get("limit", 0),
        cpus=quota / cpu["period"] if quota > 0 else None,
        cpu_shares=cpu.get("shares", 0),
        pids=max(resources.get("pids", {}).get("limit", 0), 0),
    )


def _bind(item: dict[str, Any]) -> MountPoint:
    read_only = "ro" in item.get("options", ())
    return MountPoint(BIND, item["destination"], source=item["source"], read_only=read_only)
