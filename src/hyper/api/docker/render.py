"""Views of the Engine API, made from the engine's records and objects."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from msgspec import UNSET, UnsetType, structs

from hyper.api import STORAGE_DRIVER
from hyper.api.views import port_map, reachable_ports, start_view
from hyper.engine.lifecycle.container import Container
from hyper.engine.lifecycle.execs import Exec
from hyper.engine.lifecycle.in_sandbox import SILENT
from hyper.engine.record.container import ContainerRecord, Health
from hyper.engine.record.mount import VOLUME, MountPoint
from hyper.engine.record.network import BRIDGE, PREDEFINED, EndpointRecord
from hyper.engine.record.state import LIVE, Status
from hyper.engine.spec import endpoints, ports
from hyper.engine.spec.agent_requests import hostname
from hyper.engine.spec.mounts import DRIVER
from hyper.engine.volume.volumes import Volumes
from hyper.errors import HyperError
from hyper.image.record import Origin
from hyper.types import response as wire
from hyper.types.container import ContainerConfig, HostConfig, to_json
from hyper.units import rfc3339

_LONG: Final = ((48, 1, "hours"), (336, 24, "days"), (1440, 168, "weeks"), (17520, 720, "months"))


def origin_view(origin: Origin | None) -> wire.OriginView | None:
    """The origin of an image, where it is known."""
    if origin is None:
        return None
    return wire.OriginView(
        from_=origin.kind, place=origin.place, took_ms=origin.took_ms, at=rfc3339(origin.at_ns)
    )


def vm_view(container: Container) -> wire.VmView | None:
    """The machine behind a container; of one that does not run, the machine it will have."""
    record, machine = container.record, container.machine
    shown = container.description
    return wire.VmView(
        driver=container.hypervisor,
        accelerator=shown.accelerator,
        vcpus=container.size.vcpus,
        memory_mib=container.size.memory_mib,
        boot_ms=round(record.boot_ms, 1) if record.boot_ms else None,
        pid=shown.pid,
        sandbox=machine.name if machine else "",
        start=start_view(container.timeline),
        image=origin_view(container.host.images.origin(record.image_id)),
    )


def inspect(container: Container) -> wire.ContainerInspect:
    """The body of GET /containers/{id}/json."""
    record = container.record
    folder = container.host.folder(record.id)
    command = record.command
    return wire.ContainerInspect(
        id=record.id,
        created=rfc3339(record.created_ns),
        path=command[0],
        args=command[1:],
        state=_state(container),
        image=record.image_id,
        resolv_conf_path="",
        hostname_path="",
        hosts_path="",
        log_path=str(folder.log),
        name=f"/{record.name}",
        restart_count=record.restart_count,
        driver=STORAGE_DRIVER,
        platform="linux",
        mount_label="",
        process_label="",
        app_armor_profile="",
        exec_ids=list(container.open_execs) or None,
        host_config=_host_config(container),
        graph_driver=wire.DriverData(STORAGE_DRIVER, {"Scratch": str(folder.scratch)}),
        mounts=_mounts(container),
        config=_config(record),
        network_settings=_network(container),
        hyper=vm_view(container),
    )


#: Members that dockerd leaves out when they are empty, and those it leaves out when nobody said them (Go's pointers).
_EMPTY_LEFT_OUT: Final = (
    *("Annotations", "KernelMemory", "KernelMemoryTCP", "Mounts", "StorageOpt", "Sysctls", "Tmpfs"),
    *("ExposedPorts", "Shell", "StopSignal"),
)
_NULL_LEFT_OUT: Final = ("Init", "Healthcheck", "StopTimeout")


def _shown(asked: HostConfig | ContainerConfig) -> dict[str, Any]:
    members: dict[str, Any] = to_json(asked)
    for name in _EMPTY_LEFT_OUT:
        if not members.get(name):
            members.pop(name, None)
    for name in _NULL_LEFT_OUT:
        if members.get(name) is None:
            members.pop(name, None)
    return members


def _host_config(container: Container) -> dict[str, Any]:
    """The HostConfig asked for; links of the default network as they are now (others stand in endpoints)."""
    record = container.record
    members = _shown(record.host_config)
    members["Links"] = container.host.container_networks.shown_links(record)
    members["ConsoleSize"] = members["ConsoleSize"] or [0, 0]
    return members


def _state(container: Container) -> wire.ContainerState:
    record = container.record
    return wire.ContainerState(
        status=record.status.value,
        running=container.up,
        paused=record.status is Status.PAUSED,
        restarting=record.status is Status.RESTARTING,
        oom_killed=record.oom_killed,
        dead=False,
        pid=container.description.pid if container.live else 0,
        exit_code=record.exit_code,
        error=SILENT if container.live and container.silent else record.error,
        started_at=_time(record.started_ns),
        finished_at=_time(record.finished_ns),
        health=_health(record),
    )


def _health(record: ContainerRecord) -> wire.HealthView | UnsetType:
    health = record.health
    if health is None:
        return UNSET
    log = [
        wire.ProbeView(rfc3339(item.start_ns), rfc3339(item.end_ns), item.exit_code, item.output)
        for item in health.log
    ]
    return wire.HealthView(health.status, health.failing_streak, log)


def _time(timestamp_ns: int) -> str:
    return rfc3339(timestamp_ns) if timestamp_ns else wire.ZERO_TIME


def _config(record: ContainerRecord) -> dict[str, Any]:
    members = _shown(record.config)
    members["Hostname"] = hostname(record)
    members["Domainname"] = record.spec.domainname
    members["Labels"] = members["Labels"] or {}
    return members


def _mounts(container: Container) -> list[wire.Mount]:
    return [_mount(point, container.host.volumes) for point in container.record.mounts]


def _mount(point: MountPoint, volumes: Volumes) -> wire.Mount:
    shown = wire.Mount(
        type=point.kind,
        source=point.source,
        destination=point.target,
        mode=point.mode,
        rw=not point.read_only,
        propagation=point.propagation,
    )
    if point.kind == VOLUME:
        shown.name, shown.driver = point.volume, DRIVER
        shown.source = volumes.mountpoint(point.volume)
    return shown


def _networks(container: Container) -> dict[str, wire.Endpoint]:
    record = container.record
    if record.host_config.network_mode == "none":
        none = container.host.networks.get("none")
        return {"none": wire.Endpoint(network_id=none.id)}
    return {endpoint.network: _endpoint(container, endpoint) for endpoint in record.endpoints}


def add_own_aliases(answer: wire.ContainerInspect, container: Container) -> None:
    """A container's aliases on user networks have its short id and host name, for clients older than DNSNames."""
    own = [container.record.id[:12], hostname(container.record)]
    for name, endpoint in answer.network_settings.networks.items():
        if name not in PREDEFINED:
            endpoint.aliases = [*dict.fromkeys([*(endpoint.aliases or []), *own])]


def _endpoint(container: Container, kept: EndpointRecord) -> wire.Endpoint:
    connected = container.live
    wanted = wire.EndpointIpam(kept.wanted_address, kept.wanted_address6)
    asked = wanted if kept.wanted_address or kept.wanted_address6 else None
    return wire.Endpoint(
        ipam_config=asked,
        links=kept.links or None,
        aliases=kept.aliases or None,
        driver_opts=kept.driver_opts,
        mac_address=kept.mac if connected else kept.wanted_mac,
        network_id=kept.network_id,
        endpoint_id=kept.id if connected else "",
        gateway=kept.gateway if connected else "",
        ipv6_gateway=kept.gateway6 if connected else "",
        ip_address=kept.address if connected else "",
        ip_prefix_len=kept.prefix if connected else 0,
        global_ipv6_address=kept.address6 if connected else "",
        global_ipv6_prefix_len=kept.prefix6 if connected else 0,
        dns_names=endpoints.dns_names(container.record, kept) or None,
    )


def _network(container: Container) -> wire.NetworkSettings:
    record = container.record
    networks = _networks(container)
    # Docker's older members tell of the default network only.
    shown = networks.get(BRIDGE, wire.Endpoint())
    return wire.NetworkSettings(
        sandbox_id=record.id if container.live else "",
        ports=port_map(record, record.config.exposed_ports or {}),
        ip_address=shown.ip_address,
        ip_prefix_len=shown.ip_prefix_len,
        gateway=shown.gateway,
        ipv6_gateway=shown.ipv6_gateway,
        mac_address=shown.mac_address,
        endpoint_id=shown.endpoint_id,
        networks=networks,
    )


def summary(
    container: Container, *, others: Sequence[str] = (), annotated: bool = False
) -> wire.ContainerSummary:
    """One entry of GET /containers/json. ``others``: names of it in containers that link to it."""
    record = container.record
    annotations = wire.said(record.host_config.annotations) if annotated else UNSET
    return wire.ContainerSummary(
        id=record.id,
        names=[f"/{record.name}", *others],
        image=_image_name(container),
        image_id=record.image_id,
        command=" ".join(record.command),
        created=record.created_ns // 10**9,
        ports=_ports(record),
        labels=record.config.labels or {},
        state=record.status.value,
        status=status_text(record, now_ns=time.time_ns(), silent=container.silent),
        host_config=wire.SummaryHostConfig(
            network_mode=record.host_config.network_mode, annotations=annotations
        ),
        network_settings=wire.SummaryNetworks(
            {name: _brief(endpoint) for name, endpoint in _networks(container).items()}
        ),
        mounts=_mounts(container),
        hyper=vm_view(container),
    )


def _brief(endpoint: wire.Endpoint) -> wire.Endpoint:
    """An endpoint as lists show it: with addresses, without names."""
    return structs.replace(endpoint, aliases=None, links=None, driver_opts=None, dns_names=None)


def _image_name(container: Container) -> str:
    """The name of the image as the client gave it; the image's id once that names another image, or none."""
    record, images = container.record, container.host.images
    if record.image_ref == record.image_id:
        return record.image_ref
    try:
        same = images.id_of(record.image_ref) == record.image_id
    except HyperError:
        same = False
    return record.image_ref if same else record.image_id


def _ports(record: ContainerRecord) -> list[wire.Port]:
    if record.status not in LIVE:
        return []
    result = []
    published = {(port.container_port, port.protocol) for port in reachable_ports(record)}
    for number, protocol in ports.exposed(record.config):
        if (number, protocol) not in published:
            result.append(wire.Port(number, protocol))
    for port in reachable_ports(record):
        result.append(
            wire.Port(port.container_port, port.protocol, port.host_address, port.host_port)
        )
    return result


def status_text(record: ContainerRecord, *, now_ns: int, silent: bool = False) -> str:
    """A status as docker ps shows it (``Up 3 minutes``). ``silent``: the container's machine does not answer."""
    match record.status:
        case Status.CREATED:
            return "Created"
        case Status.RUNNING | Status.PAUSED if silent:
            up = f"Up {human_duration((now_ns - record.started_ns) / 1e9)}"
            return f"{up} (not answering)"
        case Status.RUNNING:
            up = f"Up {human_duration((now_ns - record.started_ns) / 1e9)}"
            return f"{up} ({health_text(record.health)})" if record.health else up
        case Status.PAUSED:
            return f"Up {human_duration((now_ns - record.started_ns) / 1e9)} (Paused)"
        case Status.RESTARTING:
            ago = human_duration((now_ns - record.finished_ns) / 1e9)
            return f"Restarting ({record.exit_code}) {ago} ago"
        case Status.EXITED:
            ago = human_duration((now_ns - record.finished_ns) / 1e9)
            return f"Exited ({record.exit_code}) {ago} ago"
        case Status.REMOVING:
            return "Removal In Progress"


def health_text(health: Health) -> str:
    """A health status as docker ps shows it."""
    return "health: starting" if health.status == "starting" else health.status


def human_duration(seconds: float) -> str:
    """A duration as Docker says it (go-units HumanDuration)."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = whole // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = round(whole / 3600)
    if hours == 1:
        return "About an hour"
    for limit, size, name in _LONG:
        if hours < limit:
            return f"{hours // size} {name}"
    return f"{hours // 8760} years"


def exec_inspect(item: Exec) -> wire.ExecInspect:
    """The body of GET /exec/{id}/json."""
    record = item.record
    return wire.ExecInspect(
        id=record.id,
        running=record.running,
        exit_code=record.exit_code,
        process_config=wire.ProcessConfig(
            tty=record.tty,
            entrypoint=record.args[0],
            arguments=record.args[1:],
            privileged=record.privileged,
            user=wire.said(record.user),
        ),
        open_stdin=record.attach_stdin,
        open_stderr=record.attach_stderr,
        open_stdout=record.attach_stdout,
        can_remove=record.exit_code is not None,
        container_id=record.container_id,
        detach_keys=record.detach_keys,
        pid=record.pid,
    )
