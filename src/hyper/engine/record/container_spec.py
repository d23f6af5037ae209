"""The container spec: what is to run, and within which limits. Frozen plain data, made once of a client's request.

It has no word of any face: the Engine API, pod files and Kubernetes manifests are read by builders of it (engine/spec),
and so would an OCI bundle be. Members that say nothing have the empty value, which is not kept, so that a value that is
kept means the same to every later Hyper. All of it can be hashed and compared.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from msgspec import Struct

from hyper.engine.record.mount import MountPoint
from hyper.network.port import PortRequest
from hyper.proto.message import Device, Rlimit

Pairs = tuple[tuple[str, str], ...]

#: In place of the address in ``NetworkWish.hosts``: where the host is.
HOST_GATEWAY: Final = "host-gateway"


class Program(Struct, frozen=True, omit_defaults=True):
    """A container's own program, and how it is ended."""

    args: tuple[str, ...]
    #: ``NAME=value``; a name alone takes a variable away that the program would have without it.
    env: tuple[str, ...] = ()
    #: PATH, HOSTNAME and, with a terminal, TERM are set where ``env`` does not name them; also for execs.
    usual_env: bool = False
    #: "": the root directory.
    cwd: str = ""
    #: ``NAME``, ``UID``, ``NAME:GROUP``…, looked up in the container; "": root.
    user: str = ""
    #: Groups beside the user's own, by name or number.
    groups: tuple[str, ...] = ()
    tty: bool = False
    #: Clients can write to its standard input.
    stdin: bool = False
    #: The size the terminal begins with; 0: not known.
    rows: int = 0
    columns: int = 0
    #: Orphaned processes are waited for by the agent.
    reaper: bool = False
    #: Argument lists of what runs before the program and must succeed, and of what runs after its end.
    pre_start: tuple[str, ...] = ()
    post_stop: tuple[str, ...] = ()
    #: The number of the signal that asks it to end; None: SIGTERM.
    stop_signal: int | None = None
    #: Seconds it has to end then; None: as long as is usual, negative: for ever.
    stop_timeout_s: int | None = None


class Privileges(Struct, frozen=True, omit_defaults=True):
    """The rights of a container's programs within the machine."""

    #: Names without ``CAP_``, in the order of their numbers.
    capabilities: tuple[str, ...] = ()
    #: All devices of the machine, and its /sys and /proc as they are.
    privileged: bool = False
    no_new_privileges: bool = False
    #: What their system calls are held to, as BPF; empty: to nothing.
    seccomp: bytes = b""
    #: Paths that are hidden, and those that cannot be written to.
    masked: tuple[str, ...] = ()
    readonly: tuple[str, ...] = ()
    rlimits: tuple[Rlimit, ...] = ()
    devices: tuple[Device, ...] = ()


class Root(Struct, frozen=True, omit_defaults=True):
    """The root file system of a container: the image's layers, and a disk for what is written."""

    #: Bytes of the scratch disk.
    size: int
    read_only: bool = False


class MachineSize(Struct, frozen=True, omit_defaults=True):
    """The size of a machine."""

    vcpus: int
    memory_mib: int


class ResourceLimits(Struct, frozen=True, omit_defaults=True):
    """The limits of a container's memory, processor time and processes; None, 0 and (): none."""

    memory_bytes: int = 0
    #: Processor time, in CPUs.
    cpus: float | None = None
    #: The weight among others that want the same CPU.
    cpu_shares: int = 0
    #: The CPUs of the host that may be used.
    cpu_set: tuple[int, ...] = ()
    pids: int = 0


class Restart(Enum):
    """The wish of whether a container whose program has ended runs again."""

    NEVER = "never"
    ALWAYS = "always"
    #: Unless a client has stopped it.
    UNLESS_STOPPED = "unless-stopped"
    ON_FAILURE = "on-failure"


class RestartRule(Struct, frozen=True, omit_defaults=True):
    """A restart policy; at most ``most`` times in a row on failure, 0: without bound."""

    when: Restart = Restart.NEVER
    most: int = 0


class HealthCheck(Struct, frozen=True, omit_defaults=True):
    """The check of whether a program works; times in ns, 0: what is usual."""

    #: The argument list of a probe.
    args: tuple[str, ...]
    #: The agent makes the probe by itself: ``args`` are its words for it.
    builtin: bool = False
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0


class LogLimits(Struct, frozen=True, omit_defaults=True):
    """The limits of a log: at most ``max_files`` files of about ``max_bytes`` each."""

    #: None: one file without end.
    max_bytes: int | None = None
    max_files: int = 1
    #: False: the output itself is not kept, only its length so far.
    content: bool = True


class NetworkKind(Enum):
    """The kind of network that a container is on."""

    #: Networks of its own machine's: the record's endpoints.
    OWN = "own"
    #: That of another container, whose machine it runs in.
    JOINED = "joined"
    NONE = "none"


class NetworkWish(Struct, frozen=True, omit_defaults=True):
    """The wish of how a container is connected."""

    kind: NetworkKind = NetworkKind.OWN
    #: The id (or name, where there was none yet) of the container whose machine is joined.
    joins: str = ""
    #: Ports of the host's that lead to the container.
    ports: tuple[PortRequest, ...] = ()
    #: Name servers, search domains and options of the resolver; (): those that the networks have.
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    #: Names and addresses for /etc/hosts; the address may be ``HOST_GATEWAY``.
    hosts: Pairs = ()

    @property
    def own(self) -> bool:
        """Whether the container is on networks of its own."""
        return self.kind is NetworkKind.OWN

    @property
    def asks_for_host(self) -> bool:
        """Whether the container has a name for the host, in order to connect to it."""
        return any(address == HOST_GATEWAY for _, address in self.hosts)


class ImageUse(Struct, frozen=True, omit_defaults=True):
    """The image of a container: its id, and the name by which it was asked for."""

    id: str = ""
    reference: str = ""


class ContainerSpec(Struct, frozen=True, omit_defaults=True):
    """The spec of a container: see the module."""

    program: Program
    privileges: Privileges
    #: That of the container's own machine; the size of one that is joined may be another.
    size: MachineSize
    root: Root
    image: ImageUse = ImageUse()
    labels: Pairs = ()
    limits: ResourceLimits = ResourceLimits()
    mounts: tuple[MountPoint, ...] = ()
    #: Options of tmpfs file systems by their places, which are no mounts that clients are shown.
    tmpfs: Pairs = ()
    #: Bytes of /dev/shm; 0: as many as is usual.
    shm_size: int = 0
    #: The hypervisor that runs its machine, by name; "": the daemon's default one.
    hypervisor: str = ""
    #: "": the container's short id.
    hostname: str = ""
    domainname: str = ""
    #: The host name is that of the host, whatever that is at a start.
    hostname_of_host: bool = False
    #: Settings of the machine's kernel.
    sysctls: Pairs = ()
    #: The file of the machine's kernel; "": the daemon's.
    kernel: str = ""
    network: NetworkWish = NetworkWish()
    restart: RestartRule = RestartRule()
    #: The container is removed when its program has ended.
    remove_at_end: bool = False
    health: HealthCheck | None = None
    #: The check whose failure ends the program.
    liveness: HealthCheck | None = None
    log: LogLimits = LogLimits()
