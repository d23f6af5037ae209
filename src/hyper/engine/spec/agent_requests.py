"""Requests to a container's agent, made from its record. Pure, but for the host's own name."""

from __future__ import annotations

import posixpath
import re
import resource
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hyper.config import DEFAULT_SHM_SIZE
from hyper.engine.record.container import ContainerRecord, ExecRecord
from hyper.engine.record.sandbox import Placement
from hyper.engine.spec import devices, mount_options
from hyper.engine.spec.capabilities import ALL_CAPABILITIES, mask
from hyper.errors import InvalidRequest, ProtocolError
from hyper.ids import short_id
from hyper.network.guest_config import GuestConfig
from hyper.proto.message import (
    ContainerCreate,
    ContainerFlag,
    File,
    Mount,
    ProcessFlag,
    ProcessStart,
    Request,
    Rlimit,
    SandboxSetup,
    encode_request,
)
from hyper.sandbox.sandbox import MAIN_CONTAINER
from hyper.sandbox.shape import SCRATCH_DISK, layer_disk
from hyper.system.resolv_conf import NO_LOOKUP
from hyper.types.container import HostConfig, Ulimit
from hyper.units import parse_size

SHM: Final = "/dev/shm"  # noqa: S108 (in the guest)
DEFAULT_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: moby, oci/defaults.go.
MASKED: Final = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY: Final = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)
_RLIMITS: Final = {
    name.removeprefix("RLIMIT_").lower(): getattr(resource, name)
    for name in dir(resource)
    if name.startswith("RLIMIT_")
}
_UNLIMITED: Final = 2**64 - 1
#: HOST_NAME_MAX of Linux, which holds for both names.
_MAX_HOSTNAME: Final = 64
#: Of a layer's digest in the name of its disk: names have at most 20 characters.
_DIGITS: Final = 12


def check_paths(record: ContainerRecord) -> None:
    """The paths of ``record`` that must be absolute are so, and host and domain name are such as the kernel takes.

    Raises:
        InvalidRequest: not so.
    """
    config = record.config
    check_working_dir(config.working_dir)
    for target in record.host_config.tmpfs or {}:
        if not target.startswith("/"):
            raise InvalidRequest(
                f"invalid mount path: '{target[:100]}' mount path must be absolute"
            )
        if target.strip("/.") == "":
            raise InvalidRequest("invalid specification: destination can't be '/'")
    if config.hostname and record.host_config.uts_mode == "host":
        raise InvalidRequest("conflicting options: hostname and the UTS mode")
    if len(hostname(record).encode(errors="replace")) > _MAX_HOSTNAME:
        raise InvalidRequest(f"invalid hostname: more than {_MAX_HOSTNAME} bytes")
    if len(config.domainname.encode(errors="replace")) > _MAX_HOSTNAME:
        raise InvalidRequest(f"invalid domainname: more than {_MAX_HOSTNAME} bytes")


def check_working_dir(path: str) -> None:
    """The working directory ``path`` is empty or absolute.

    Raises:
        InvalidRequest: it is neither (Docker's words).
    """
    if path and not path.startswith("/"):
        raise InvalidRequest(
            f"the working directory {path[:100]!r} is invalid, it needs to be an absolute path"
        )


def check_encodes(*requests: Request) -> None:
    """The requests ``requests`` can be encoded for the agent.

    Raises:
        InvalidRequest: one holds a NUL byte, a number out of range, or more than fits.
    """
    for request in requests:
        try:
            encode_request(1, request)
        except ProtocolError as error:
            raise InvalidRequest(f"this cannot be passed on to the machine: {error}") from error


def hostname(record: ContainerRecord) -> str:
    """The container's host name: as asked, the host's own in its UTS mode, else the short id."""
    if record.host_config.uts_mode == "host":
        return socket.gethostname()
    return record.config.hostname or short_id(record.id)


def sandbox_setup(record: ContainerRecord, network: GuestConfig | None) -> SandboxSetup:
    """The agent's instructions for the machine as a whole."""
    return SandboxSetup(
        hostname=hostname(record),
        interfaces=network.interfaces if network else (),
        sysctls=(*_domain(record.config.domainname), *(record.host_config.sysctls or {}).items()),
    )


def _domain(name: str) -> tuple[tuple[str, str], ...]:
    """The kernel's domain name: containers get the UTS name space of the machine, or a copy of it."""
    return (("kernel.domainname", name),) if name else ()


def layer_name(placement: Placement, index: int, path: Path) -> str:
    """The name under which the guest looks for layer ``index`` (0 is the lowest); the image store has it at ``path``.

    Containers that come into another's machine share the layers they have in common: theirs are called by their digest,
    which is the file's name, and not by the file's place on this host.
    """
    if placement.joined:
        return f"layer-{path.stem[:_DIGITS]}"
    return layer_disk(index)


def scratch_name(placement: Placement) -> str:
    """The name under which the guest looks for the scratch disk."""
    return disk_name(placement, SCRATCH_DISK)


def disk_name(placement: Placement, name: str) -> str:
    """The disk's name ``name``, made such that no other container of the machine has a disk of that name."""
    return f"{placement.container}-{name}" if placement.joined else name


def container_create(
    record: ContainerRecord,
    placement: Placement,
    layers: list[Path],
    files: tuple[File, ...],
    mounts: tuple[Mount, ...] = (),
) -> ContainerCreate:
    """The agent's instructions for the container's root; ``files``, ``mounts``: those from outside of it."""
    host, member = record.host_config, record.member
    shown = host.privileged
    flags = ContainerFlag.READ_ONLY if host.readonly_rootfs else ContainerFlag.NONE
    if member is not None and member.share_pid:
        flags |= ContainerFlag.SHARE_PID
    if shown:
        flags |= ContainerFlag.PRIVILEGED
    return ContainerCreate(
        container=placement.container,
        flags=flags,
        hostname=hostname(record),
        layers=tuple(layer_name(placement, index, path) for index, path in enumerate(layers)),
        scratch=scratch_name(placement),
        mounts=tuple(sorted((*_mounts(host), *mounts), key=_depth)),
        files=files,
        masked=() if shown else tuple(MASKED if host.masked_paths is None else host.masked_paths),
        readonly=()
        if shown
        else tuple(READONLY if host.readonly_paths is None else host.readonly_paths),
        joins=MAIN_CONTAINER if member is not None else 0,
        devices=devices.given(host),
    )


def _depth(mount: Mount) -> int:
    """The depth of a mount's target: a mount within another one comes after it."""
    return posixpath.normpath(mount.target).count("/")


def _mounts(host: HostConfig) -> list[Mount]:
    mounts = []
    if host.shm_size != DEFAULT_SHM_SIZE:
        mounts.append(
            Mount("tmpfs", "shm", SHM, mount_options.SAFE, f"mode=1777,size={host.shm_size}")
        )
    for target, options in (host.tmpfs or {}).items():
        mounts.append(tmpfs(target, options))
    return mounts


def tmpfs(target: str, options: str) -> Mount:
    """The mount that ``--tmpfs target:options`` asks for (Docker's default: nosuid, nodev, noexec).

    Raises:
        InvalidRequest: an option tmpfs does not have.
    """
    flags, own = mount_options.parse(options, flags=mount_options.SAFE)
    data = []
    for option in own:
        name, _, value = option.partition("=")
        if name == "size":
            data.append(f"size={_size(value)}")
        elif name in ("mode", "uid", "gid", "nr_inodes", "nr_blocks"):
            data.append(option)
        else:
            raise InvalidRequest(f"invalid tmpfs option {option!r} for {target}")
    return Mount("tmpfs", "tmpfs", target, flags, ",".join(data))


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"invalid size: {text[:100]!r}") from None


def network_files(
    record: ContainerRecord,
    network: GuestConfig | None,
    *,
    reader: ContainerRecord | None = None,
) -> tuple[File, ...]:
    """The files hostname, hosts and resolv.conf of ``record``'s /etc, but those that the container brings itself.

    ``reader``: another container, which gets these files with ``record``'s names and addresses.
    """
    reader = reader or record
    own = {point.target for point in reader.mounts}
    if reader.member is not None:
        own |= {*reader.member.files, *(mount.target for mount in reader.member.mounts)}
    name = hostname(record)
    files = (
        File("/etc/hostname", f"{name}\n".encode()),
        File("/etc/hosts", _hosts(record, name, network).encode()),
        File("/etc/resolv.conf", _resolv_conf(record.host_config, network).encode()),
    )
    return tuple(file for file in files if file.path not in own)


def _hosts(record: ContainerRecord, name: str, network: GuestConfig | None) -> str:
    lines = [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::\tip6-localnet",
        "ff00::\tip6-mcastprefix",
        "ff02::1\tip6-allnodes",
        "ff02::2\tip6-allrouters",
    ]
    for extra in record.host_config.extra_hosts or []:
        host, address = split_extra_host(extra)
        if address == "host-gateway":
            address = network.gateway if network is not None else ""
            if not address:  # no network leads there
                continue
        lines.append(f"{address}\t{host}")
    if network is not None:
        names = _own_names(name, record.config.domainname)
        lines += [f"{address}\t{names}" for address in network.addresses]
        lines += [f"{address}\t{known}" for address, known in network.known]
    return "\n".join(lines) + "\n"


def _own_names(name: str, domain: str) -> str:
    """The full name and, if that has parts, its first one (moby, libnetwork/sandbox_dns_unix.go)."""
    full = f"{name}.{domain}" if domain else name
    first, dot, _ = full.partition(".")
    return f"{full} {first}" if dot else full


def split_extra_host(extra: str) -> tuple[str, str]:
    """Name and address of ``--add-host name:address`` (or ``name=address``).

    Raises:
        InvalidRequest: it is not of that form.
    """
    match = re.fullmatch(r"([^:=\s]+)[:=](\S+)", extra)
    if match is None:
        raise InvalidRequest(f'bad format for add-host: "{extra[:100]}"')
    return match[1], match[2].strip("[]")


def _resolv_conf(host: HostConfig, network: GuestConfig | None) -> str:
    servers = network.nameservers if network else host.dns or ()
    lines = [f"nameserver {server}" for server in servers]
    theirs = network.lookup if network else NO_LOOKUP
    search = [domain for domain in host.dns_search or theirs.search if domain != "."]
    options = list(host.dns_options or theirs.options)
    if network is not None and network.embedded and not any("ndots" in item for item in options):
        options.append("ndots:0")  # a bare name is a container's, as in Docker
    if search:
        lines.append("search " + " ".join(search))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def main_program(record: ContainerRecord, placement: Placement) -> ProcessStart:
    """The agent's instructions for the container's own program."""
    config, host = record.config, record.host_config
    flags = ProcessFlag.INIT
    if config.tty:
        flags |= ProcessFlag.TTY
    if config.open_stdin:
        flags |= ProcessFlag.STDIN
    if host.init or record.handlers:
        flags |= ProcessFlag.REAPER
    flags |= _no_new_privileges(host)
    rows, columns = console_size(host.console_size)
    return ProcessStart(
        process=placement.process,
        container=placement.container,
        args=(*record.handlers, *record.command),
        flags=flags,
        env=environment(record, tty=config.tty),
        cwd=config.working_dir or "/",
        user=config.user,
        groups=tuple(host.group_add or ()),
        capabilities=mask(host),
        rlimits=tuple(rlimit(limit) for limit in host.ulimits or []),
        rows=rows,
        columns=columns,
        seccomp=record.seccomp,
    )


def _no_new_privileges(host: HostConfig) -> ProcessFlag:
    said = {option.replace(":", "=") for option in host.security_opt or []}
    asked = said & {"no-new-privileges", "no-new-privileges=true"}
    return ProcessFlag.NO_NEW_PRIVS if asked else ProcessFlag.NONE


def exec_program(
    record: ContainerRecord,
    exec_: ExecRecord,
    process: int,
    size: list[int] | None,
    *,
    container: int,
) -> ProcessStart:
    """The agent's instructions for a program beside the one of ``record``, the machine's container ``container``."""
    flags = ProcessFlag.TTY if exec_.tty else ProcessFlag.NONE
    if exec_.attach_stdin:
        flags |= ProcessFlag.STDIN
    flags |= _no_new_privileges(record.host_config)
    base = environment(record, tty=exec_.tty)
    rows, columns = console_size(size)
    return ProcessStart(
        process=process,
        container=container,
        args=tuple(exec_.args),
        flags=flags,
        env=_overlaid(base, exec_.env),
        cwd=exec_.cwd or record.config.working_dir or "/",
        user=exec_.user or record.config.user,
        groups=tuple(record.host_config.group_add or ()),
        capabilities=ALL_CAPABILITIES if exec_.privileged else mask(record.host_config),
        rlimits=tuple(rlimit(limit) for limit in record.host_config.ulimits or []),
        rows=rows,
        columns=columns,
        seccomp=record.seccomp,
    )


def environment(record: ContainerRecord, *, tty: bool) -> tuple[str, ...]:
    """The program's variables: Docker's, overridden by those of image and client."""
    env = [DEFAULT_PATH, f"HOSTNAME={hostname(record)}"]
    if tty:
        env.append("TERM=xterm")
    env += record.link_variables
    return _overlaid(env, record.config.env or [])


def _overlaid(base: Sequence[str], over: Sequence[str]) -> tuple[str, ...]:
    """The variables ``base`` with those of ``over`` in their place; a name without ``=`` takes the variable away."""
    names = {item.partition("=")[0] for item in over}
    kept = (item for item in base if item.partition("=")[0] not in names)
    return (*kept, *(item for item in over if "=" in item))


def console_size(size: list[int] | None) -> tuple[int, int]:
    """The console's (rows, columns), as the API's ``[height, width]`` says; (0, 0): unknown."""
    if size is None or len(size) != 2:
        return 0, 0
    return min(max(size[0], 0), 65535), min(max(size[1], 0), 65535)


def rlimit(limit: Ulimit) -> Rlimit:
    """The agent's form of ``--ulimit``; -1 is unlimited.

    Raises:
        InvalidRequest: no such limit.
    """
    number = _RLIMITS.get(limit.name.lower())
    if number is None:
        raise InvalidRequest(f"invalid ulimit type: {limit.name}")
    soft, hard = (_UNLIMITED if value < 0 else value for value in (limit.soft, limit.hard))
    return Rlimit(number, soft, hard)
