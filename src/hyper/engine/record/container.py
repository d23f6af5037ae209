"""What is kept of a container and of an exec: plain data, one JSON document each."""

from __future__ import annotations

from msgspec import Struct, field

from hyper.engine.record.mount import MountPoint
from hyper.engine.record.network import EndpointRecord
from hyper.engine.record.state import Status
from hyper.machine.driver import MachineRecord
from hyper.proto.message import Mount
from hyper.sandbox.sandbox import MAIN_CONTAINER, MAIN_PROCESS
from hyper.types.container import ContainerConfig, Healthcheck, HostConfig
from hyper.types.pod import PodMount, PodService, PodVolume, PodWhiteLists


class PublishedPort(Struct, frozen=True):
    """A port of the container that is reachable on the host."""

    protocol: str
    container_port: int
    host_address: str
    host_port: int


class ProbeResult(Struct, frozen=True):
    """What one run of a health check found. Times in ns since the epoch."""

    start_ns: int
    end_ns: int
    exit_code: int
    output: str


class Health(Struct):
    """How a container with a health check is: see engine/spec/health.py."""

    status: str = "starting"
    failing_streak: int = 0
    log: list[ProbeResult] = field(default_factory=list)


class Seat(Struct, frozen=True):
    """A container's place in a machine: its number there and that of its own program.

    ``owner``: the id of the container whose machine it shares; "": the machine is its own. ``disks``: those that were
    brought into that machine for it.
    """

    owner: str = ""
    container: int = MAIN_CONTAINER
    process: int = MAIN_PROCESS
    disks: tuple[str, ...] = ()


class PodRecord(Struct):
    """What makes a container a pod's first one: its machine is the pod's, its program only waits.

    ``share_pid``: its containers see each other's processes. ``whole``: all of them have been made. ``mounts``: the
    pod's volumes in its machine, while that runs. ``starting``: somebody wanted it to start, and not all of it has.
    ``error``: why it did not.
    ``removing``: somebody wanted it to be removed. ``white_lists``: who may reach it; None: whoever can.
    ``services``: where some of what it sends goes.
    """

    volumes: list[PodVolume] = field(default_factory=list)
    share_pid: bool = False
    whole: bool = False
    mounts: list[Mount] = field(default_factory=list)
    starting: bool = False
    error: str = ""
    removing: bool = False
    white_lists: PodWhiteLists | None = None
    services: list[PodService] = field(default_factory=list)


class Member(Struct):
    """What makes a container one of a pod's. ``pod``: the id of its first; ``order``: among the others, from 0.

    ``init``: it runs before the others, to its end. ``files``: where files were put into it.
    """

    pod: str
    name: str
    order: int
    init: bool = False
    share_pid: bool = False
    mounts: list[PodMount] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    liveness: Healthcheck | None = None


class ContainerRecord(Struct):
    """A container. ``config`` is what the client asked for merged with the image's defaults.

    Times are ns since the epoch, 0 for never. ``remove_volumes``: while it is removed, so are its own.
    """

    id: str
    name: str
    created_ns: int
    image_id: str
    image_ref: str
    config: ContainerConfig
    host_config: HostConfig
    vcpus: int
    memory_mib: int
    mounts: list[MountPoint] = field(default_factory=list)
    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_ns: int = 0
    finished_ns: int = 0
    restart_count: int = 0
    #: Somebody has stopped or killed it since its start; the second: so that its end is final.
    manually_stopped: bool = False
    stays_down: bool = False
    health: Health | None = None
    #: Which of the identities of the daemon's machines is its, from 0; None: we are no root.
    identity: int | None = None
    machine: MachineRecord | None = None
    #: Counts while it runs; else it is that of a machine of its own.
    seat: Seat = Seat()
    boot_ms: float | None = None
    ports: list[PublishedPort] = field(default_factory=list)
    remove_volumes: bool = False
    endpoints: list[EndpointRecord] = field(default_factory=list)
    #: Links of the default network: ids of containers by alias, and what they told the program at its start.
    links: dict[str, str] = field(default_factory=dict)
    link_variables: list[str] = field(default_factory=list)
    #: What the system calls of its programs are held to, as BPF; empty: to nothing.
    seccomp: bytes = b""
    pod: PodRecord | None = None
    member: Member | None = None
    #: What its liveness probe has found out.
    liveness: Health | None = None
    #: What runs before and after its program, as the agent is told (see engine/spec/app_image.py).
    handlers: list[str] = field(default_factory=list)

    @property
    def command(self) -> list[str]:
        """The whole argument list of its program."""
        return [*(self.config.entrypoint or []), *(self.config.cmd or [])]


class ExecRecord(Struct):
    """A program run beside a container's own. ``process`` is its number in the guest, 0 before the start.

    ``ended_ns``: since the epoch; 0 before its end (and of those that ended under an older Hyper).
    """

    id: str
    container_id: str
    args: list[str]
    env: list[str]
    cwd: str
    user: str
    tty: bool
    privileged: bool
    attach_stdin: bool
    attach_stdout: bool
    attach_stderr: bool
    detach_keys: str = ""
    #: Rows and columns it begins with, if its start does not say.
    console_size: list[int] | None = None
    process: int = 0
    pid: int = 0
    running: bool = False
    exit_code: int | None = None
    ended_ns: int = 0

    @property
    def ended(self) -> bool:
        """Whether it ran to its end, or could not be started."""
        return not self.running and self.exit_code is not None

    @property
    def waits(self) -> bool:
        """Whether it was made and nobody has started it."""
        return not self.process and self.exit_code is None
