"""Records of containers and of execs: plain data, one JSON document each."""

from __future__ import annotations

from msgspec import Struct, field

from hyper.engine.record.container_spec import ContainerSpec
from hyper.engine.record.mount import MountPoint
from hyper.engine.record.network import EndpointRecord
from hyper.engine.record.pod import Member
from hyper.engine.record.state import Status
from hyper.network.port import PublishedPort
from hyper.types.container import ContainerConfig, HostConfig


class ProbeResult(Struct, frozen=True):
    """The result of one run of a health check. Times in ns since the epoch."""

    start_ns: int
    end_ns: int
    exit_code: int
    output: str


class Health(Struct):
    """The health of a container that has a health check: see engine/spec/health.py."""

    status: str = "starting"
    failing_streak: int = 0
    log: list[ProbeResult] = field(default_factory=list)


class ContainerRecord(Struct):
    """The record of a container. Times are ns since the epoch, 0 for never."""

    id: str
    name: str
    created_ns: int
    #: What clients are shown again of what they asked: their words merged with the image's defaults.
    config: ContainerConfig
    host_config: HostConfig
    #: What is to run. An update, and a start in another's machine, put another in its place.
    spec: ContainerSpec
    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_ns: int = 0
    finished_ns: int = 0
    restart_count: int = 0
    #: A client has stopped or killed it since its start; the second: so that its end is final.
    manually_stopped: bool = False
    stays_down: bool = False
    health: Health | None = None
    #: Which of the identities of the daemon's machines is its, from 0; None: the daemon is not root.
    identity: int | None = None
    boot_ms: float | None = None
    ports: list[PublishedPort] = field(default_factory=list)
    #: The container's removal also removes its own volumes.
    remove_volumes: bool = False
    endpoints: list[EndpointRecord] = field(default_factory=list)
    #: Links of the default network: ids of containers by alias, and what they told the program at its start.
    links: dict[str, str] = field(default_factory=dict)
    link_variables: list[str] = field(default_factory=list)
    member: Member | None = None
    #: What its liveness probe has found out.
    liveness: Health | None = None

    @property
    def image_id(self) -> str:
        """The id of the container's image; "": a pod's first container, which has none."""
        return self.spec.image.id

    @property
    def image_ref(self) -> str:
        """The name by which the container's image was asked for."""
        return self.spec.image.reference

    @property
    def mounts(self) -> tuple[MountPoint, ...]:
        """The container's mounts."""
        return self.spec.mounts

    @property
    def command(self) -> list[str]:
        """The whole argument list of the container's program."""
        return list(self.spec.program.args)


class ExecRecord(Struct):
    """The record of an exec: a program run beside a container's own."""

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
    #: The number of the process in the guest, 0 before the start.
    process: int = 0
    pid: int = 0
    running: bool = False
    exit_code: int | None = None
    #: Since the epoch; 0 before the end (and of execs that ended under an older Hyper).
    ended_ns: int = 0

    @property
    def ended(self) -> bool:
        """Whether the exec ran to its end, or could not be started."""
        return not self.running and self.exit_code is not None

    @property
    def waits(self) -> bool:
        """Whether the exec was made and has not been started."""
        return not self.process and self.exit_code is None
