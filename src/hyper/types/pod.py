"""Bodies of /hyper/v1/pods: several containers in one machine. Docker has no word for these.

A pod's containers are what POST /containers/create takes, so everything a container can be, one of a pod can be too;
what they share is the pod's. docs/pods.md tells the words of pod files, which the command line turns into these.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import field

from hyper.types.container import CreateBody, Healthcheck, PortBinding
from hyper.types.wire import Wire

#: Labels of a pod's containers: the pod's name, its id, and the container's name in it.
POD_LABEL: Final = "hyper.pod"
POD_ID_LABEL: Final = "hyper.pod.id"
CONTAINER_LABEL: Final = "hyper.pod.container"

#: Kinds of a pod's volumes. EMPTY: made with the pod and removed with it, on disk; MEMORY: the same in memory, gone
#: with each run of the machine; VOLUME: a volume by its name (made if missing); HOST: a directory of the host.
EMPTY, MEMORY, VOLUME, HOST = "empty", "memory", "volume", "host"
#: Networks of each white list, services of a pod, hosts of each service, at most.
MAX_NETWORKS, MAX_SERVICES, MAX_HOSTS = 256, 64, 64


class PodVolume(Wire):
    """A volume that containers of the pod mount by ``name``.

    ``source``: the name of a VOLUME, the path of a HOST directory. ``create``: make that directory if it is missing.
    ``size_bytes`` bounds MEMORY (0: half of the machine's). ``driver_opts``: of a VOLUME that has to be made, as
    POST /volumes/create has them (``type=nfs``, ``o=addr=…``, ``device=:/path`` is a client of NFS).
    """

    name: str
    kind: str = EMPTY
    source: str = ""
    read_only: bool = False
    create: bool = False
    size_bytes: int = 0
    driver_opts: dict[str, str] | None = None


class PodMount(Wire):
    """A mount in a container, of a volume of the pod or of the directory ``sub_path`` in it."""

    volume: str
    target: str
    read_only: bool = False
    sub_path: str = ""


class PodFile(Wire):
    """A file put over ``path`` before the container's program starts; ``content`` in base64, at most 256 KiB.

    ``mode`` are permission bits (0o644 is 420).
    """

    path: str
    content: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


class PodContainer(Wire):
    """A container of a pod. ``name`` is unique in it; the Engine API knows it as POD-NAME.

    ``body``: as for POST /containers/create. Not its ``Hostname``, ``NetworkingConfig`` and ``MacAddress``, and of
    HostConfig neither network nor names nor ports nor sysctls: they are the pod's. Its health check is its readiness.
    ``liveness``: a container that fails this check is killed, and its restart policy says what follows.
    """

    name: str
    body: CreateBody
    mounts: list[PodMount] = field(default_factory=list)
    files: list[PodFile] = field(default_factory=list)
    liveness: Healthcheck | None = None


class PodWhiteLists(Wire):
    """The callers that may reach a pod, by their addresses: networks in CIDR notation, at most 256 in each list.

    ``internal_networks`` reach all its ports, ``external_networks`` those that it publishes; other callers reach none.
    Both empty: any caller that can reach a pod without lists. A published port's caller is the host port's.
    """

    internal_networks: list[str] = field(default_factory=list)
    external_networks: list[str] = field(default_factory=list)


class PodServiceHost(Wire):
    """A destination of a service's connections: an IPv4 address and a port."""

    ip: str
    port: int


class PodService(Wire):
    """A service that a pod finds at ``ip`` and ``port``: each new connection goes to the next of ``hosts``, at most 64.

    ``ip`` is an IPv4 address outside of the pod's networks that only the pod sees so; ``protocol``: ``tcp``, ``udp``.
    """

    ip: str
    port: int
    protocol: str = "tcp"
    hosts: list[PodServiceHost] = field(default_factory=list)


class PodBody(Wire):
    """The body of POST /hyper/v1/pods.

    ``memory``: bytes of the machine, ``cpus`` of it; 0: the daemon's default. ``share_pid``: containers see each
    other's processes. ``init``: containers that run before the others, one after the other, each to its end.
    ``exposed_ports``, ``port_bindings``: as in ContainerConfig and HostConfig. ``white_lists``: its callers.
    ``services``: at most 64.
    """

    name: str = ""
    hostname: str = ""
    labels: dict[str, str] | None = None
    cpus: int = 0
    memory: int = 0
    share_pid: bool = False
    network: str = "default"
    dns: list[str] | None = None
    dns_search: list[str] | None = None
    dns_options: list[str] | None = None
    extra_hosts: list[str] | None = None
    exposed_ports: dict[str, dict[str, Any]] | None = None
    port_bindings: dict[str, list[PortBinding] | None] | None = None
    white_lists: PodWhiteLists | None = None
    services: list[PodService] = field(default_factory=list)
    sysctls: dict[str, str] | None = None
    volumes: list[PodVolume] = field(default_factory=list)
    init: list[PodContainer] = field(default_factory=list)
    containers: list[PodContainer] = field(default_factory=list)


class PodMade(Wire):
    """The answer to POST /hyper/v1/pods."""

    id: str
    name: str
    warnings: list[str]


class PodContainerMade(Wire):
    """The answer to POST /hyper/v1/pods/{id}/containers."""

    id: str
    warnings: list[str]


class PodContainerView(Wire):
    """A container of a pod as it is now. ``ready``: it runs, and is healthy if it has a health check."""

    id: str
    name: str
    init: bool
    image: str
    status: str
    ready: bool
    exit_code: int
    restarts: int
    error: str


class PodView(Wire):
    """A pod as it is now.

    ``status``: ``created``, ``starting`` (init containers run), ``running``, ``exited`` (its machine is gone).
    ``ready``: it runs and all its containers are ready. ``ip``: of its machine; "" without a network.
    """

    id: str
    name: str
    hostname: str
    created: str
    labels: dict[str, str]
    status: str
    ready: bool
    cpus: int
    memory: int
    ip: str
    network: str
    ports: dict[str, list[PortBinding] | None]
    white_lists: PodWhiteLists | None
    services: list[PodService]
    volumes: list[PodVolume]
    containers: list[PodContainerView]
    error: str
