"""Checks of the pod that a client asks for. Pure.

Each container by itself is checked where all containers are (engine/spec/create.py); here are checks of several
containers together.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
from collections.abc import Iterable
from typing import Final

from hyper.engine.spec import health, pod_network, ports
from hyper.errors import InvalidRequest
from hyper.ids import NAME_PATTERN, is_valid_name
from hyper.proto.message import File
from hyper.types import pod as wire
from hyper.types.container import HostConfig

#: The guest has room for 64 containers; one is the pod's first.
MAX_CONTAINERS: Final = 63
#: As many as there are places in the first container's layer (guest/hyperstart/make-exercise.py).
MAX_VOLUMES: Final = 64
MAX_FILE: Final = 256 * 1024
#: All of a container's: they come in one request to the agent, which is at most a MiB.
MAX_FILES: Final = 768 * 1024
_KINDS: Final = (wire.EMPTY, wire.MEMORY, wire.VOLUME, wire.HOST)
#: Members of HostConfig that are the pod's, with where it says them.
_OF_THE_POD: Final = {
    "port_bindings": "PortBindings",
    "publish_all_ports": "PortBindings",
    "dns": "Dns",
    "dns_search": "DnsSearch",
    "dns_options": "DnsOptions",
    "extra_hosts": "ExtraHosts",
    "sysctls": "Sysctls",
    "links": "Network",
    "ipc_mode": "nothing: containers of a pod share it",
    "pid_mode": "SharePid",
    "uts_mode": "Hostname",
    "auto_remove": "nothing: its containers go with it",
}


def check(body: wire.PodBody) -> None:
    """The pod makes sense.

    Raises:
        InvalidRequest: it does not; what, where and why.
    """
    _check_name("pod", body.name)
    if not body.containers:
        raise InvalidRequest("a pod needs at least one container")
    everybody = [*body.init, *body.containers]
    if len(everybody) > MAX_CONTAINERS:
        raise InvalidRequest(f"a pod has at most {MAX_CONTAINERS} containers, not {len(everybody)}")
    if body.network.startswith("container:"):
        raise InvalidRequest("a pod has a machine of its own: it cannot be on another's network")
    _check_volumes(body.volumes)
    _check_unique("container", (item.name for item in everybody))
    for item in everybody:
        check_container(item, body.volumes)
    _check_ports(body)
    pod_network.check(body)
    _check_clashes(body.containers)


def check_container(item: wire.PodContainer, volumes: list[wire.PodVolume]) -> None:
    """The container ``item`` can be in a pod that has ``volumes``.

    Raises:
        InvalidRequest: it cannot.
    """
    where = f"container {item.name[:100]}"
    _check_name("container", item.name)
    host = item.body.host_config or HostConfig()
    for member, place in _OF_THE_POD.items():
        if getattr(host, member):
            name = type(host).__struct_encode_fields__[type(host).__struct_fields__.index(member)]
            raise InvalidRequest(
                f"{where}: HostConfig.{name} cannot be asked of one container",
                hint=f"it is the pod's: {place}",
            )
    if item.body.hostname or item.body.networking_config or item.body.mac_address:
        raise InvalidRequest(
            f"{where}: name and addresses are the pod's", hint="use the pod's Hostname and Network"
        )
    if host.network_mode not in ("", "default"):
        raise InvalidRequest(f"{where}: the network is the pod's", hint="use the pod's Network")
    _check_mounts(where, item, {volume.name for volume in volumes})
    health.check(item.liveness)
    files(item)


def _check_name(what: str, name: str) -> None:
    """The name is valid. Within the pod one letter is enough: the container's whole name is longer."""
    whole = name if what == "pod" else f"{name}."
    if not is_valid_name(whole):
        raise InvalidRequest(
            f"invalid {what} name {name[:100]!r}, only {NAME_PATTERN.pattern} are allowed"
        )


def _check_unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidRequest(f"two {what}s of the pod are called {name[:100]!r}")
        seen.add(name)


def _check_volumes(volumes: list[wire.PodVolume]) -> None:
    if len(volumes) > MAX_VOLUMES:
        raise InvalidRequest(f"a pod has at most {MAX_VOLUMES} volumes, not {len(volumes)}")
    _check_unique("volume", (volume.name for volume in volumes))
    for volume in volumes:
        _check_name("volume", volume.name)
        where = f"volume {volume.name}"
        if volume.kind not in _KINDS:
            raise InvalidRequest(
                f"{where}: no kind {volume.kind[:100]!r}", hint=f"kinds: {', '.join(_KINDS)}"
            )
        if volume.kind == wire.HOST and not volume.source.startswith("/"):
            raise InvalidRequest(f"{where}: a directory of the host needs an absolute path")
        if volume.source and volume.kind in (wire.EMPTY, wire.MEMORY):
            raise InvalidRequest(f"{where}: one of kind {volume.kind} has no source")
        if volume.size_bytes < 0 or (volume.size_bytes and volume.kind != wire.MEMORY):
            raise InvalidRequest(f"{where}: only one in memory can have a size")
        if volume.driver_opts and volume.kind != wire.VOLUME:
            raise InvalidRequest(f"{where}: driver options are a named volume's")


def _check_mounts(where: str, item: wire.PodContainer, volumes: set[str]) -> None:
    for mount in item.mounts:
        if mount.volume not in volumes:
            known = ", ".join(sorted(volumes)) or "none"
            raise InvalidRequest(
                f"{where}: the pod has no volume {mount.volume[:100]!r}",
                hint=f"its volumes: {known}",
            )
        if not mount.target.startswith("/") or mount.target.strip("/.") == "":
            raise InvalidRequest(
                f"{where}: invalid mount path: {mount.target[:100]!r} must be absolute, and not /"
            )
        if mount.sub_path.startswith("/") or ".." in mount.sub_path.split("/"):
            raise InvalidRequest(
                f"{where}: {mount.sub_path[:100]!r} does not stay in the volume {mount.volume}"
            )
    _check_unique_targets(where, item.mounts)


def _check_unique_targets(where: str, mounts: list[wire.PodMount]) -> None:
    targets = [posixpath.normpath(mount.target) for mount in mounts]
    for target in targets:
        if targets.count(target) > 1:
            raise InvalidRequest(f"{where}: two volumes are mounted on {target[:100]}")


def files(item: wire.PodContainer) -> list[File]:
    """The files that are put into a container.

    Raises:
        InvalidRequest: a path that is not absolute or climbs, no base64, or too much.
    """
    where, found = f"container {item.name[:100]}", []
    for file in item.files:
        parts = file.path.split("/")
        if not file.path.startswith("/") or ".." in parts or not parts[-1] or parts[-1] == ".":
            raise InvalidRequest(
                f"{where}: invalid file path {file.path[:100]!r}: it must be absolute, a file's, and without .."
            )
        try:
            content = base64.b64decode(file.content, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequest(
                f"{where}: the content of {file.path[:100]} is not base64"
            ) from None
        if len(content) > MAX_FILE:
            raise InvalidRequest(
                f"{where}: {file.path[:100]} has {len(content)} bytes, at most {MAX_FILE} are possible",
                hint="put it into a volume or an image",
            )
        if not 0 <= file.mode <= 0o7777:
            raise InvalidRequest(f"{where}: {file.path[:100]}: invalid mode {file.mode:o}")
        if not (0 <= file.uid < 2**32 and 0 <= file.gid < 2**32):
            raise InvalidRequest(f"{where}: {file.path[:100]}: invalid owner")
        found.append(File(file.path, content, file.mode, file.uid, file.gid))
    if sum(len(file.content) for file in found) > MAX_FILES:
        raise InvalidRequest(f"{where}: its files have more than {MAX_FILES} bytes together")
    _check_unique(f"{where}: file", (file.path for file in found))
    return found


def _check_ports(body: wire.PodBody) -> None:
    """The ports of the host are published once each."""
    taken: dict[tuple[str, str, str], str] = {}
    for spec, bindings in (body.port_bindings or {}).items():
        _, protocol = ports.parse_port(spec)
        for binding in bindings or []:
            key = (binding.host_ip, binding.host_port, protocol)
            if binding.host_port and key in taken:
                raise InvalidRequest(
                    f"port {binding.host_port}/{protocol} of the host is published twice: "
                    f"for {taken[key]} and {spec}"
                )
            taken[key] = spec


def _check_clashes(containers: list[wire.PodContainer]) -> None:
    """The ports on which containers say they listen differ between containers: these share one network."""
    owners: dict[tuple[int, str], str] = {}
    for item in containers:
        for spec in item.body.exposed_ports or {}:
            port = ports.parse_port(spec)
            if owners.setdefault(port, item.name) != item.name:
                raise InvalidRequest(
                    f"containers {owners[port]} and {item.name} both have port {spec}: "
                    "containers of a pod share one network"
                )
