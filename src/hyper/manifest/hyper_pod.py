"""Hyper's own pod files.

The names are those of the original Hyper's, however they are capitalized, and where it had no word, Docker's or
Kubernetes'. docs/pods.md is the reference.
Source: hyperhq/hyperd, types/types.proto (message UserPod and its parts) and examples/*.pod.
"""

from __future__ import annotations

import re
from typing import Final

from hyper.errors import InvalidRequest
from hyper.manifest import checks
from hyper.manifest.draft import Budget, Draft, Sources
from hyper.manifest.fields import Fields, text_of
from hyper.manifest.hyper_container import Surroundings, container
from hyper.manifest.hyper_files import pod_files
from hyper.manifest.hyper_network import services, white_lists
from hyper.manifest.hyper_volume import volume
from hyper.manifest.plan import PodPlan
from hyper.types.container import LogConfig
from hyper.types.pod import PodVolume
from hyper.units import MIB

_PORT_RANGE: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_REFUSED: Final = {
    "interfaces": "a pod has one interface, on the network that the field network names",
}
_MAX_MEMORY_MIB: Final = 2**24
#: What containers cannot bring to a pod that there is already.
_THE_PODS: Final = (
    *("id", "name", "hostname", "labels", "type", "shareProcessNamespace", "sharePid"),
    *("resource", "resources", "network", "dns", "dnsSearch", "dnsOptions", "extraHosts"),
    *("volumes", "initContainers", "init", "portmappings", "portmappingWhiteLists", "services"),
    *("sysctls", "sysctl", *_REFUSED),
)
_FIXED: Final = "it is fixed when a pod is made; only containers can be added"


def convert(document: object, sources: Sources) -> PodPlan:
    """The pod that ``document`` describes.

    Raises:
        InvalidRequest: it is malformed, or asks for something not possible here; the field is named.
    """
    notes: list[str] = []
    pod = Fields(document, "", notes, fold=True)
    draft = Draft(notes, Budget())
    _identity(pod, draft)
    _resources(pod, draft)
    _network(pod, draft)
    draft.body.white_lists = white_lists(pod)
    draft.body.services = services(pod)
    for name, value in pod.table("sysctls", "sysctl").items():
        draft.sysctl(name, value, pod.at("sysctls"))
    around = _surroundings(pod, sources)
    for item in pod.items("volumes"):
        made = volume(item, sources)
        if made.name in draft.volumes:
            raise item.wrong("name", f"there is another volume {made.name}")
        draft.volumes[made.name] = made
    draft.body.init = [
        container(item, draft, around, init=True) for item in pod.items("initContainers", "init")
    ]
    draft.body.containers = [container(item, draft, around) for item in pod.items("containers")]
    _mappings(pod, draft)
    pod.refuse(_REFUSED)
    pod.finish()
    return draft.plan()


def convert_addition(document: object, sources: Sources, volumes: list[PodVolume]) -> PodPlan:
    """The containers that ``document`` describes, for a pod that exists and has these ``volumes``.

    Raises:
        InvalidRequest: as ``convert``, or it has fields that only a pod that is yet to be made can have.
    """
    notes: list[str] = []
    pod = Fields(document, "", notes, fold=True)
    draft = Draft(notes, Budget())
    draft.volumes = {volume.name: volume for volume in volumes}
    around = _surroundings(pod, sources)
    draft.body.containers = [container(item, draft, around) for item in pod.items("containers")]
    pod.refuse(dict.fromkeys(_THE_PODS, _FIXED))
    pod.finish()
    plan = draft.plan()
    brought = {
        "ports": bool(plan.body.exposed_ports),
        "sysctls": bool(plan.body.sysctls),
        "a volume with detail": len(plan.body.volumes) > len(volumes),
    }
    for what, said in brought.items():
        if said:
            raise InvalidRequest(f"containers: {what}: {_FIXED}")
    return plan


def _surroundings(pod: Fields, sources: Sources) -> Surroundings:
    return Surroundings(
        files=pod_files(pod, sources),
        tty=pod.boolean("tty"),
        restart=pod.text("restartPolicy", "restart"),
        log=_log(pod),
        sources=sources,
    )


def _identity(pod: Fields, draft: Draft) -> None:
    body = draft.body
    if name := pod.text("id", "name"):
        body.name = checks.pod_name(name, pod.at(pod.given("id", "name") or "id"))
    asked = pod.text("hostname")
    body.hostname = (
        checks.hostname(asked, pod.at("hostname")) if asked else checks.made_hostname(body.name)
    )
    body.labels = pod.table("labels") or None
    body.share_pid = pod.boolean("shareProcessNamespace", "sharePid")
    if pod.text("type") not in ("", "pod"):
        raise pod.wrong("type", "must be pod", hint="Kubernetes manifests have a kind")


def _resources(pod: Fields, draft: Draft) -> None:
    part = pod.part("resource", "resources")
    if part is None:
        return
    draft.body.cpus = part.integer("vcpu", "cpus", most=1024)
    draft.body.memory = part.integer("memory", most=_MAX_MEMORY_MIB) * MIB
    part.finish()


def _network(pod: Fields, draft: Draft) -> None:
    body = draft.body
    body.network = pod.text("network") or "default"
    body.dns = [
        checks.address(text_of(value, path), path) for path, value in pod.elements("dns")
    ] or None
    body.dns_search = pod.texts("dnsSearch") or None
    body.dns_options = pod.texts("dnsOptions") or None
    body.extra_hosts = [
        _extra_host(path, value) for path, value in pod.elements("extraHosts")
    ] or None


def _extra_host(path: str, value: object) -> str:
    host, colon, ip = text_of(value, path).partition(":")
    if not colon or not host:
        raise InvalidRequest(f"{path}: must be HOST:IP")
    return f"{host}:{checks.address(ip.strip('[]'), path)}"


def _log(pod: Fields) -> LogConfig | None:
    part = pod.part("log")
    if part is None:
        return None
    made = LogConfig(type=part.text("type") or "json-file", config=part.table("config") or None)
    part.finish()
    return made


def _mappings(pod: Fields, draft: Draft) -> None:
    for item in pod.items("portmappings"):
        protocol = checks.protocol(item.text("protocol") or "tcp", item.at("protocol"))
        ip = item.text("hostIP")
        if ip:
            checks.address(ip, item.at("hostIP"))
        inside = _range(item, "containerPort")
        outside = _range(item, "hostPort") if item.given("hostPort") else None
        item.finish()
        for port, host in _pairs(item, inside, outside):
            draft.ports.add(item.path, port, protocol, host=host, ip=ip)


def _pairs(
    item: Fields, inside: tuple[int, int], outside: tuple[int, int] | None
) -> list[tuple[int, str]]:
    """Each port with its port on the host: of a range the one that corresponds, or any of it for a single port."""
    first, last = inside
    if outside is None:
        return [(port, "0") for port in range(first, last + 1)]
    low, high = outside
    if first == last:
        return [(first, str(low) if low == high else f"{low}-{high}")]
    if high - low != last - first:
        raise item.wrong("hostPort", f"it is not as long as containerPort, {first}-{last}")
    return [(port, str(low + port - first)) for port in range(first, last + 1)]


def _range(item: Fields, name: str) -> tuple[int, int]:
    """A port, or a range of them like ``1300-1310``."""
    value = item.take(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(int(value))
    found = _PORT_RANGE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise item.wrong(name, "must be a port, or a range like 8000-8010")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 0 < first <= last < 65536 or last - first >= checks.MAX_PORTS:
        raise item.wrong(name, f"{found[0]} is no range of ports")
    return first, last
