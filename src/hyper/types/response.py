"""Bodies of the Engine API's answers.

Source: engine-api v1.47, definitions ContainerInspectResponse, ContainerState, ContainerSummary, Port, MountPoint,
NetworkSettings, ImageInspect, ImageSummary, SystemVersion, SystemInfo, EventMessage, and those of exec and wait.
``Hyper`` members are extensions, for facts that Docker has no word for.

Which members are there, null, or empty is part of the contract: clients tell "none" from "not said" by it. Members that
dockerd leaves out when empty are UNSET here (``said``). ``tests/conformance/test_shapes.py`` compares both daemons.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import UNSET, UnsetType, field

from hyper.types.aci import Aci
from hyper.types.container import Healthcheck, PortBinding
from hyper.types.fast import StartView
from hyper.types.mount import VolumeView
from hyper.types.wire import Wire

T = TypeVar("T")

ZERO_TIME = "0001-01-01T00:00:00Z"


def said(value: T | None) -> T | UnsetType:
    """The member's ``value``; UNSET where it is empty, so that it is left out (Go's ``omitempty``)."""
    return value or UNSET


class ErrorBody(Wire, rename=None, omit_defaults=True):
    """A failure. ``kind``: for programs (Hyper's own member): see HyperError."""

    message: str
    kind: str = ""


class OriginView(Wire):
    """The origin of an image. ``from_``: registry, docker, podman, engine, archive or made (on this host)."""

    from_: str = field(name="From")
    place: str
    took_ms: int
    at: str


class VmView(Wire):
    """The machine behind a container. ``boot_ms``: hypervisor spawned to agent's hello."""

    driver: str = field(name="Driver")
    accelerator: str
    vcpus: int = field(name="VCPUs")
    memory_mib: int = field(name="MemoryMiB")
    boot_ms: float | None = None
    pid: int = 0
    sandbox: str = ""
    start: StartView | None = None
    image: OriginView | None = None


class ProbeView(Wire):
    start: str
    end: str
    exit_code: int
    output: str


class HealthView(Wire):
    status: str
    failing_streak: int
    log: list[ProbeView]


class ContainerState(Wire):
    status: str
    running: bool
    paused: bool
    restarting: bool
    oom_killed: bool = field(name="OOMKilled")
    dead: bool
    pid: int
    exit_code: int
    error: str
    started_at: str = ZERO_TIME
    finished_at: str = ZERO_TIME
    health: HealthView | UnsetType = UNSET


class Port(Wire, omit_defaults=True):
    private_port: int
    type: str
    ip: str | None = field(name="IP", default=None)
    public_port: int | None = None


class Mount(Wire):
    """A mount of a container; ``name`` and ``driver`` are a volume's."""

    type: str
    source: str
    destination: str
    mode: str
    rw: bool = field(name="RW")
    propagation: str = ""
    name: str | UnsetType = UNSET
    driver: str | UnsetType = UNSET


class EndpointIpam(Wire, omit_defaults=True):
    ipv4_address: str = field(name="IPv4Address", default="")
    ipv6_address: str = field(name="IPv6Address", default="")


class Endpoint(Wire):
    ipam_config: EndpointIpam | None = field(name="IPAMConfig", default=None)
    links: list[str] | None = None
    aliases: list[str] | None = None
    driver_opts: dict[str, str] | None = None
    ip_address: str = field(name="IPAddress", default="")
    ip_prefix_len: int = field(name="IPPrefixLen", default=0)
    gateway: str = ""
    mac_address: str = ""
    network_id: str = field(name="NetworkID", default="")
    endpoint_id: str = field(name="EndpointID", default="")
    ipv6_gateway: str = field(name="IPv6Gateway", default="")
    global_ipv6_address: str = field(name="GlobalIPv6Address", default="")
    global_ipv6_prefix_len: int = field(name="GlobalIPv6PrefixLen", default=0)
    dns_names: list[str] | None = field(name="DNSNames", default=None)


class NetworkSettings(Wire):
    sandbox_id: str = field(name="SandboxID")
    ports: dict[str, list[PortBinding] | None]
    ip_address: str = field(name="IPAddress")
    ip_prefix_len: int = field(name="IPPrefixLen")
    gateway: str
    mac_address: str
    networks: dict[str, Endpoint]
    bridge: str = ""
    hairpin_mode: bool = False
    sandbox_key: str = ""
    endpoint_id: str = field(name="EndpointID", default="")
    global_ipv6_address: str = field(name="GlobalIPv6Address", default="")
    global_ipv6_prefix_len: int = field(name="GlobalIPv6PrefixLen", default=0)
    ipv6_gateway: str = field(name="IPv6Gateway", default="")
    link_local_ipv6_address: str = field(name="LinkLocalIPv6Address", default="")
    link_local_ipv6_prefix_len: int = field(name="LinkLocalIPv6PrefixLen", default=0)
    secondary_ip_addresses: list[dict[str, Any]] | None = field(
        name="SecondaryIPAddresses", default=None
    )
    secondary_ipv6_addresses: list[dict[str, Any]] | None = field(
        name="SecondaryIPv6Addresses", default=None
    )


class DriverData(Wire):
    name: str
    data: dict[str, str] | None


class ContainerInspect(Wire):
    id: str
    created: str
    path: str
    args: list[str]
    state: ContainerState
    image: str
    resolv_conf_path: str
    hostname_path: str
    hosts_path: str
    log_path: str
    name: str
    restart_count: int
    driver: str
    platform: str
    mount_label: str
    process_label: str
    app_armor_profile: str
    exec_ids: list[str] | None = field(name="ExecIDs")
    #: HostConfig and ContainerConfig, without what dockerd leaves out when it is empty.
    host_config: dict[str, Any]
    graph_driver: DriverData
    mounts: list[Mount]
    config: dict[str, Any]
    network_settings: NetworkSettings
    hyper: VmView | None
    size_rw: int | UnsetType = UNSET
    size_root_fs: int | UnsetType = UNSET


class SummaryHostConfig(Wire):
    """The part of HostConfig that lists show; ``annotations``: since 1.46."""

    network_mode: str
    annotations: dict[str, str] | UnsetType = UNSET


class SummaryNetworks(Wire):
    networks: dict[str, Endpoint]


class ContainerSummary(Wire):
    id: str
    names: list[str]
    image: str
    image_id: str = field(name="ImageID")
    command: str
    created: int
    ports: list[Port]
    labels: dict[str, str]
    state: str
    status: str
    host_config: SummaryHostConfig
    network_settings: SummaryNetworks
    mounts: list[Mount]
    hyper: VmView | None
    size_rw: int | UnsetType = UNSET
    size_root_fs: int | UnsetType = UNSET


class PruneContainersAnswer(Wire):
    containers_deleted: list[str] | None
    space_reclaimed: int


class CreateAnswer(Wire):
    id: str
    warnings: list[str]


class UpdateAnswer(Wire):
    warnings: list[str] | None


class TopAnswer(Wire):
    titles: list[str]
    processes: list[list[str]]


class IdAnswer(Wire):
    id: str


class WaitError(Wire):
    message: str


class WaitAnswer(Wire, omit_defaults=True):
    status_code: int
    error: WaitError | None = None


class ProcessConfig(Wire, rename=None):
    """The process of an exec; Docker writes the members of this one object in lower case."""

    tty: bool
    entrypoint: str
    arguments: list[str]
    privileged: bool
    user: str | UnsetType


class ExecInspect(Wire):
    id: str = field(name="ID")
    running: bool
    exit_code: int | None
    process_config: ProcessConfig
    open_stdin: bool
    open_stderr: bool
    open_stdout: bool
    can_remove: bool
    container_id: str = field(name="ContainerID")
    detach_keys: str
    pid: int


class ImageConfig(Wire):
    """The part of an image's configuration that containers inherit, as the API shows it."""

    user: str = ""
    exposed_ports: dict[str, dict[str, Any]] | None = None
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    healthcheck: Healthcheck | None = None


class ImageConfigView(Wire):
    """An image's configuration as inspect shows it; what dockerd leaves out when it is empty is UNSET."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, dict[str, Any]] | UnsetType = UNSET
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: list[str] | None = None
    healthcheck: Healthcheck | UnsetType = UNSET
    args_escaped: bool | UnsetType = UNSET
    image: str = ""
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    entrypoint: list[str] | None = None
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | UnsetType = UNSET
    stop_timeout: int | UnsetType = UNSET
    shell: list[str] | UnsetType = UNSET


class RootFs(Wire):
    type: str
    layers: list[str]


class ImageView(Wire):
    """Facts of an image that Docker has no word for."""

    origin: OriginView | None


class ImageInspect(Wire):
    id: str
    repo_tags: list[str]
    repo_digests: list[str]
    parent: str
    comment: str
    created: str
    docker_version: str
    author: str
    config: ImageConfigView
    architecture: str
    variant: str | UnsetType
    os: str
    size: int
    graph_driver: DriverData
    root_fs: RootFs = field(name="RootFS")
    metadata: dict[str, str]
    hyper: ImageView
    #: Of a committed image. dockerd leaves them out since 1.45; clients of later versions look for them still.
    container: str | UnsetType = UNSET
    container_config: dict[str, Any] | UnsetType = UNSET
    #: Until 1.43.
    virtual_size: int | UnsetType = UNSET
    #: Hyper's own: what an App Container Image says that Docker has no word for.
    aci: Aci | UnsetType = UNSET


class ImageSummary(Wire):
    id: str
    parent_id: str
    repo_tags: list[str]
    repo_digests: list[str]
    created: int
    size: int
    shared_size: int
    labels: dict[str, str] | None
    containers: int
    #: Until 1.43.
    virtual_size: int | UnsetType = UNSET


class ImageHistoryItem(Wire):
    id: str
    created: int
    created_by: str
    tags: list[str] | None
    size: int
    comment: str


class ImagePrune(Wire):
    images_deleted: list[dict[str, str]] | None
    space_reclaimed: int


class BuildPrune(Wire):
    caches_deleted: list[str] | None = None
    space_reclaimed: int = 0


class AuthAnswer(Wire):
    status: str
    identity_token: str


class OciDescriptor(Wire, rename=None):
    media_type: str = field(name="mediaType")
    digest: str
    size: int


class OciPlatform(Wire, rename=None, omit_defaults=True):
    architecture: str
    os: str
    variant: str | None = None


class Distribution(Wire):
    descriptor: OciDescriptor
    platforms: list[OciPlatform]


class DiskUsage(Wire):
    """The answer to GET /system/df; members are null where the client did not ask for them."""

    layers_size: int = 0
    images: list[ImageSummary] | None = None
    containers: list[ContainerSummary] | None = None
    volumes: list[VolumeView] | None = None
    build_cache: list[dict[str, Any]] | None = None


class Component(Wire):
    name: str
    version: str
    details: dict[str, str] | None = None


class Platform(Wire):
    name: str


class VersionAnswer(Wire):
    platform: Platform
    components: list[Component]
    version: str
    api_version: str
    min_api_version: str = field(name="MinAPIVersion")
    git_commit: str
    go_version: str
    os: str
    arch: str
    kernel_version: str
    build_time: str


class HypervisorView(Wire):
    """The verdict of probing one way to run machines, and its reason. ``usable`` None: being probed.

    ``abilities``: what the driver can do beyond the core.
    """

    driver: str
    accelerator: str
    usable: bool | None
    reason: str
    boot_ms: float | None
    abilities: list[str] = field(default_factory=list)


class HyperInfo(Wire):
    """Hyper's own part of /info. ``hypervisor``: the one that machines get that name none."""

    hypervisor: str
    hypervisors: list[HypervisorView]
    kernel: dict[str, str]
    default_memory_mib: int = field(name="DefaultMemoryMiB")


class IndexInfo(Wire):
    """A registry that the daemon has options for."""

    name: str
    mirrors: list[str]
    secure: bool
    official: bool


class RegistryServiceConfig(Wire):
    insecure_registry_cidrs: list[str] = field(name="InsecureRegistryCIDRs")
    index_configs: dict[str, IndexInfo]
    mirrors: list[str] | None


class SwarmInfo(Wire):
    local_node_state: str = "inactive"
    node_id: str = field(name="NodeID", default="")
    node_addr: str = ""
    control_available: bool = False
    error: str = ""
    remote_managers: list[Any] | None = None


class PluginsInfo(Wire):
    volume: list[str]
    network: list[str]
    log: list[str]
    authorization: list[str] | None = None


class ProgramCommit(Wire):
    """A program beside the daemon that dockerd has and Hyper has not."""

    id: str = field(name="ID", default="N/A")


class InfoAnswer(Wire):
    id: str = field(name="ID")
    containers: int
    containers_running: int
    containers_paused: int
    containers_stopped: int
    images: int
    driver: str
    driver_status: list[list[str]]
    docker_root_dir: str
    plugins: PluginsInfo
    memory_limit: bool
    swap_limit: bool
    cpu_cfs_period: bool
    cpu_cfs_quota: bool
    cpu_shares: bool = field(name="CPUShares")
    cpu_set: bool = field(name="CPUSet")
    pids_limit: bool
    oom_kill_disable: bool
    ipv4_forwarding: bool = field(name="IPv4Forwarding")
    debug: bool
    n_fd: int = field(name="NFd")
    n_goroutines: int
    system_time: str
    logging_driver: str
    cgroup_driver: str
    cgroup_version: str
    n_events_listener: int
    kernel_version: str
    operating_system: str
    os_version: str = field(name="OSVersion")
    os_type: str = field(name="OSType")
    architecture: str
    ncpu: int = field(name="NCPU")
    mem_total: int
    index_server_address: str
    registry_config: RegistryServiceConfig
    http_proxy: str
    https_proxy: str
    no_proxy: str
    name: str
    labels: list[str]
    experimental_build: bool
    server_version: str
    runtimes: dict[str, dict[str, str]]
    default_runtime: str
    swarm: SwarmInfo
    live_restore_enabled: bool
    isolation: str
    init_binary: str
    security_options: list[str]
    warnings: list[str] | None
    hyper: HyperInfo
    generic_resources: list[Any] | None = None
    containerd_commit: ProgramCommit = field(default_factory=ProgramCommit)
    runc_commit: ProgramCommit = field(default_factory=ProgramCommit)
    init_commit: ProgramCommit = field(default_factory=ProgramCommit)


class EventActor(Wire):
    id: str = field(name="ID")
    attributes: dict[str, str]


class EventMessage(Wire, kw_only=True):
    """One line of /events; the lower-case members are what older clients read, of containers and images."""

    type: str
    action: str
    actor: EventActor
    scope: str = field(name="scope", default="local")
    time: int = field(name="time")
    time_nano: int = field(name="timeNano")
    status: str | UnsetType = field(name="status", default=UNSET)
    id: str | UnsetType = field(name="id", default=UNSET)
    from_: str | UnsetType = field(name="from", default=UNSET)


class ProgressDetail(Wire, rename=None, omit_defaults=True):
    current: int = 0
    total: int = 0


class ErrorDetail(Wire, rename=None, omit_defaults=True):
    message: str
    code: int = 0


class PushAux(Wire):
    tag: str
    digest: str
    size: int


class LoadAux(Wire):
    """An image that was loaded, or taken from an engine that knows it by another id."""

    id: str = field(name="ID")


class MadeAux(Wire):
    """The image that a stream brought, and a name that it has here ("": none)."""

    id: str = field(name="ID")
    name: str


class TrustedKeyView(Wire):
    """A key whose signatures count; ``prefix`` "": for every image."""

    fingerprint: str
    prefix: str
    user_ids: list[str] = field(name="UserIDs")


class PullLine(Wire, rename="camel", omit_defaults=True):
    """One line of the stream of POST /images/create."""

    status: str = ""
    id: str = ""
    progress: str = ""
    progress_detail: ProgressDetail | None = None
    stream: str = ""
    error: str = ""
    error_detail: ErrorDetail | None = None
    aux: PushAux | LoadAux | MadeAux | None = None
