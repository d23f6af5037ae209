"""The container that a client asks for: the Engine API's ContainerConfig, HostConfig and their parts.

Source: engine-api v1.47, definitions ContainerConfig, HostConfig, Resources, PortMap, RestartPolicy.
Names are snake case here and Docker's on the wire. Unknown members are ignored, as dockerd does. A JSON null stands for
the member's default (clients of every age send both).
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType, field

from hyper.types.mount import MountSpec
from hyper.types.wire import Wire

#: A list of strings that may be one string on the wire, as Docker's strslice.
StrSlice = Annotated[list[str], msgspec.Meta(extra={"or": "one string"})]


class AuthBody(Wire, rename=None):
    """Credentials for a registry, as POST /auth has them."""

    username: str = ""
    password: str = ""
    email: str = ""
    serveraddress: str = ""
    identitytoken: str = ""


class PortBinding(Wire):
    """The address and port of the host where a container's port is published ("": every address, any free port)."""

    host_ip: str = ""
    host_port: str = ""


class LogConfig(Wire):
    #: "": nothing was said.
    type: str = ""
    config: dict[str, str] | None = None


class RestartPolicy(Wire):
    #: "": nothing was said.
    name: str = ""
    maximum_retry_count: int = 0


class Ulimit(Wire):
    name: str
    soft: int
    hard: int


class DeviceMapping(Wire):
    """A device that a container is given; empty: the same path, and all of "rwm"."""

    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = ""


class Healthcheck(Wire, omit_defaults=True):
    """A check of whether the program works. Times in ns; 0 or empty: the image's, else Docker's default."""

    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(Wire):
    """A container's configuration as far as it depends on image and program only. Lists None: the image's."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, dict[str, Any]] | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: StrSlice | None = None
    image: str = ""
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    entrypoint: StrSlice | None = None
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    stop_timeout: int | None = None
    healthcheck: Healthcheck | None = None
    shell: StrSlice | None = None


class HostConfig(Wire):
    """A container's configuration as far as it depends on this host."""

    binds: list[str] | None = None
    mounts: list[MountSpec] | None = None
    volumes_from: list[str] | None = None
    volume_driver: str = ""
    log_config: LogConfig = field(default_factory=LogConfig)
    network_mode: str = "default"
    port_bindings: dict[str, list[PortBinding] | None] | None = None
    restart_policy: RestartPolicy = field(default_factory=RestartPolicy)
    auto_remove: bool = False
    cap_add: StrSlice | None = None
    cap_drop: StrSlice | None = None
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    tmpfs: dict[str, str] | None = None
    #: Bytes; 0: nothing was said.
    shm_size: int = 0
    sysctls: dict[str, str] | None = None
    memory: int = 0
    nano_cpus: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    ulimits: list[Ulimit] | None = None
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    cpu_shares: int = 0
    console_size: list[int] | None = None
    links: list[str] | None = None
    isolation: str = ""
    runtime: str = ""
    cgroupns_mode: str = ""
    ipc_mode: str = ""
    pid_mode: str = ""
    uts_mode: str = field(default="", name="UTSMode")
    userns_mode: str = ""
    init: bool | None = None
    memory_swap: int = 0
    memory_reservation: int = 0
    memory_swappiness: int | UnsetType = UNSET
    pids_limit: int | None = None
    cpuset_cpus: str = ""
    oom_kill_disable: bool = False
    oom_score_adj: int = 0
    storage_opt: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    devices: list[DeviceMapping] | None = None
    device_cgroup_rules: list[str] | None = None
    # What has no effect here, or cannot be: see IGNORED and IMPOSSIBLE.
    device_requests: list[Any] | None = None
    cgroup_parent: str = ""
    cgroup: str = ""
    blkio_weight: int = 0
    blkio_weight_device: list[Any] | None = None
    blkio_device_read_bps: list[Any] | None = None
    blkio_device_write_bps: list[Any] | None = None
    blkio_device_read_iops: list[Any] | None = field(name="BlkioDeviceReadIOps", default=None)
    blkio_device_write_iops: list[Any] | None = field(name="BlkioDeviceWriteIOps", default=None)
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_mems: str = ""
    kernel_memory: int = 0
    kernel_memory_tcp: int = field(name="KernelMemoryTCP", default=0)
    cpu_count: int = 0
    cpu_percent: int = 0
    io_maximum_iops: int = field(name="IOMaximumIOps", default=0)
    io_maximum_bandwidth: int = field(name="IOMaximumBandwidth", default=0)
    container_id_file: str = field(default="", name="ContainerIDFile")


class EndpointIpamConfig(Wire):
    """The addresses that a client asks for an endpoint."""

    ipv4_address: str = field(name="IPv4Address", default="")
    ipv6_address: str = field(name="IPv6Address", default="")
    link_local_ips: list[str] | None = field(name="LinkLocalIPs", default=None)


class EndpointAsked(Wire):
    """The endpoint that a client asks for."""

    ipam_config: EndpointIpamConfig | None = field(name="IPAMConfig", default=None)
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str = ""
    driver_opts: dict[str, str] | None = None


class NetworkingConfig(Wire):
    """The endpoints of a new container."""

    endpoints_config: dict[str, EndpointAsked | None] | None = None


class CreateBody(ContainerConfig):
    """The body of POST /containers/create."""

    host_config: HostConfig | None = None
    networking_config: NetworkingConfig | None = None
    #: Of its first endpoint; newer clients ask for it there.
    mac_address: str = ""
    #: Where docker-py's create_container says it (dockerd does not look there).
    runtime: str = ""
    #: Older clients' word for the network mode "none".
    network_disabled: bool = False


class ExecBody(Wire):
    """The body of POST /containers/{id}/exec."""

    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    console_size: list[int] | None = None
    detach_keys: str = ""
    tty: bool = False
    env: list[str] | None = None
    cmd: list[str] | None = None
    privileged: bool = False
    user: str = ""
    working_dir: str = ""


class ExecStartBody(Wire):
    """The body of POST /exec/{id}/start."""

    detach: bool = False
    tty: bool = False
    console_size: list[int] | None = None


#: Members of HostConfig that can mean nothing in a machine of one's own: asking for them is refused with the reason.
IMPOSSIBLE = {
    "DeviceRequests": "a virtual machine has no devices of the host, graphics cards included",
}
#: Members that are accepted and have no effect; asking for them is answered with a warning.
IGNORED = (
    "CpusetMems CpuRealtimePeriod CpuRealtimeRuntime BlkioWeight BlkioWeightDevice "
    "BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps "
    "CgroupParent Cgroup KernelMemory KernelMemoryTCP MemoryReservation "
    "CpuCount CpuPercent IOMaximumIOps IOMaximumBandwidth"
).split()


def without_nulls(value: Any) -> Any:
    """``value`` (parsed JSON) with every object member that is null left out, at any depth."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def is_asked_for(value: Any) -> bool:
    """Whether a HostConfig member's value says anything (Docker's clients send the empty ones too)."""
    return value not in (None, False, 0, "", [], {}, -1)


def to_json(value: Any) -> Any:
    """A struct as plain dicts and lists with its wire names."""
    return msgspec.to_builtins(value)
