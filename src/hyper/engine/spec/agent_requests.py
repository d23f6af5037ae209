"""Requests to a container's agent, made of its spec and its placement. Pure, but for the host's own name."""

from __future__ import annotations

import posixpath
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hyper.engine.record.container import ContainerRecord, ExecRecord
from hyper.engine.record.container_spec import (
    HOST_GATEWAY,
    ContainerSpec,
    NetworkWish,
    Program,
)
from hyper.engine.record.lead import Lead
from hyper.engine.record.sandbox import Placement
from hyper.engine.spec import mount_options
from hyper.engine.spec.capabilities import ALL_CAPABILITIES, mask
from hyper.errors import InvalidRequest, ProtocolError
from hyper.ids import short_id
from hyper.network.guest_config import GuestConfig
from hyper.proto.message import (
    ContainerCreate,
    ContainerFlag,
    File,
    KernelSource,
    Mount,
    ProcessFlag,
    ProcessStart,
    Request,
    SandboxSetup,
    encode_request,
)
from hyper.sandbox.sandbox import MAIN_CONTAINER
from hyper.sandbox.shape import SCRATCH_DISK, layer_disk
from hyper.system.resolv_conf import NO_LOOKUP
from hyper.units import parse_size

SHM: Final = "/dev/shm"  # noqa: S108 (in the guest)
DEFAULT_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: HOST_NAME_MAX of Linux, which holds for both names.
_MAX_HOSTNAME: Final = 64
#: Digits of a layer's digest in the name of its disk: all that a name of 20 characters has room for.
#: With twelve (48 bits) a layer could be made that begins as another image's does, and is seen in its place.
_DIGITS: Final = 19


def check_paths(record: Lead) -> None:
    """The paths of ``record`` that must be absolute are so, and host and domain name are such as the kernel takes.

    Raises:
        InvalidRequest: not so.
    """
    spec = record.spec
    check_working_dir(spec.program.cwd)
    for target, _ in spec.tmpfs:
        if not target.startswith("/"):
            raise InvalidRequest(
                f"invalid mount path: '{target[:100]}' mount path must be absolute"
            )
        if target.strip("/.") == "":
            raise InvalidRequest("invalid specification: destination can't be '/'")
    if spec.hostname and spec.hostname_of_host:
        raise InvalidRequest("conflicting options: hostname and the UTS mode")
    if len(hostname(record).encode(errors="replace")) > _MAX_HOSTNAME:
        raise InvalidRequest(f"invalid hostname: more than {_MAX_HOSTNAME} bytes")
    if len(spec.domainname.encode(errors="replace")) > _MAX_HOSTNAME:
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


def hostname(record: Lead) -> str:
    """The container's host name: as asked, the host's own in its UTS mode, else the short id."""
    if record.spec.hostname_of_host:
        return socket.gethostname()
    return record.spec.hostname or short_id(record.id)


def sandbox_setup(record: Lead, network: GuestConfig | None) -> SandboxSetup:
    """The agent's instructions for the machine as a whole."""
    return SandboxSetup(
        hostname=hostname(record),
        interfaces=network.interfaces if network else (),
        sysctls=(*_domain(record.spec.domainname), *record.spec.sysctls),
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
        return f"l{path.stem[:_DIGITS]}"
    return layer_disk(index)


def scratch_name(placement: Placement) -> str:
    """The name under which the guest looks for the scratch disk."""
    return disk_name(placement, SCRATCH_DISK)


def disk_name(placement: Placement, name: str) -> str:
    """The disk's name ``name``, made such that no other container of the machine has a disk of that name."""
    return f"{placement.container}-{name}" if placement.joined else name


def container_create(
    record: Lead,
    placement: Placement,
    layers: list[Path],
    files: tuple[File, ...],
    mounts: tuple[Mount, ...] = (),
) -> ContainerCreate:
    """The agent's instructions for the container's root; ``files``, ``mounts``: those from outside of it."""
    spec, member = record.spec, record.member
    privileges = spec.privileges
    flags = ContainerFlag.READ_ONLY if spec.root.read_only else ContainerFlag.NONE
    if member is not None and member.share_pid:
        flags |= ContainerFlag.SHARE_PID
    if privileges.privileged:
        flags |= ContainerFlag.PRIVILEGED
    return ContainerCreate(
        container=placement.container,
        flags=flags,
        hostname=hostname(record),
        layers=tuple(layer_name(placement, index, path) for index, path in enumerate(layers)),
        scratch=scratch_name(placement),
        mounts=tuple(sorted((*_mounts(spec), *mounts), key=_depth)),
        files=files,
        masked=privileges.masked,
        readonly=privileges.readonly,
        joins=MAIN_CONTAINER if member is not None else 0,
        devices=privileges.devices,
    )


def _depth(mount: Mount) -> int:
    """The depth of a mount's target: a mount within another one comes after it."""
    return posixpath.normpath(mount.target).count("/")


def _mounts(spec: ContainerSpec) -> list[Mount]:
    mounts = []
    if spec.shm_size:
        options = f"mode=1777,size={spec.shm_size}"
        mounts.append(Mount("tmpfs", KernelSource("shm"), SHM, mount_options.SAFE, options))
    mounts += [tmpfs(target, options) for target, options in spec.tmpfs]
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
    return Mount("tmpfs", KernelSource("tmpfs"), target, flags, ",".join(data))


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"invalid size: {text[:100]!r}") from None


def network_files(
    record: Lead,
    network: GuestConfig | None,
    *,
    reader: Lead | None = None,
) -> tuple[File, ...]:
    """The files hostname, hosts and resolv.conf of ``record``'s /etc, but those that the container brings itself.

    ``reader``: another container, which gets these files with ``record``'s names and addresses.
    """
    whose = reader or record
    own = {point.target for point in whose.mounts}
    if whose.member is not None:
        own |= {*whose.member.files, *(mount.target for mount in whose.member.mounts)}
    name = hostname(record)
    files = (
        File("/etc/hostname", f"{name}\n".encode()),
        File("/etc/hosts", _hosts(record, name, network).encode()),
        File("/etc/resolv.conf", _resolv_conf(record.spec.network, network).encode()),
    )
    return tuple(file for file in files if file.path not in own)


def _hosts(record: Lead, name: str, network: GuestConfig | None) -> str:
    lines = [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::\tip6-localnet",
        "ff00::\tip6-mcastprefix",
        "ff02::1\tip6-allnodes",
        "ff02::2\tip6-allrouters",
    ]
    for host, address in record.spec.network.hosts:
        if address == HOST_GATEWAY:
            address = network.gateway if network is not None else ""
            if not address:  # no network leads there
                continue
        lines.append(f"{address}\t{host}")
    if network is not None:
        names = _own_names(name, record.spec.domainname)
        lines += [f"{address}\t{names}" for address in network.addresses]
        lines += [f"{address}\t{known}" for address, known in network.known]
    return "\n".join(lines) + "\n"


def _own_names(name: str, domain: str) -> str:
    """The full name and, if that has parts, its first one (moby, libnetwork/sandbox_dns_unix.go)."""
    full = f"{name}.{domain}" if domain else name
    first, dot, _ = full.partition(".")
    return f"{full} {first}" if dot else full


def _resolv_conf(wish: NetworkWish, network: GuestConfig | None) -> str:
    servers = network.nameservers if network else wish.dns
    lines = [f"nameserver {server}" for server in servers]
    theirs = network.lookup if network else NO_LOOKUP
    search = [domain for domain in wish.dns_search or theirs.search if domain != "."]
    options = list(wish.dns_options or theirs.options)
    if network is not None and network.embedded and not any("ndots" in item for item in options):
        options.append("ndots:0")  # a bare name is a container's, as in Docker
    if search:
        lines.append("search " + " ".join(search))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def main_program(record: Lead, placement: Placement) -> ProcessStart:
    """The agent's instructions for the container's own program."""
    program, privileges = record.spec.program, record.spec.privileges
    flags = ProcessFlag.INIT
    if program.tty:
        flags |= ProcessFlag.TTY
    if program.stdin:
        flags |= ProcessFlag.STDIN
    handlers = _handlers(program)
    if program.reaper or handlers:
        flags |= ProcessFlag.REAPER
    if privileges.no_new_privileges:
        flags |= ProcessFlag.NO_NEW_PRIVS
    return ProcessStart(
        process=placement.process,
        container=placement.container,
        args=(*handlers, *program.args),
        flags=flags,
        env=environment(record, tty=program.tty),
        cwd=program.cwd or "/",
        user=program.user,
        groups=program.groups,
        capabilities=mask(privileges.capabilities),
        rlimits=privileges.rlimits,
        rows=program.rows,
        columns=program.columns,
        seccomp=privileges.seccomp,
    )


def _handlers(program: Program) -> tuple[str, ...]:
    """The header of a program's words that names what runs before and after it; () where nothing does.

    Source: docs/protocol.md, REAPER.
    """
    before, after = program.pre_start, program.post_stop
    if not (before or after):
        return ()
    return ("", str(len(before)), str(len(after)), *before, *after)


def exec_program(
    record: ContainerRecord,
    exec_: ExecRecord,
    process: int,
    size: tuple[int, int],
    *,
    container: int,
) -> ProcessStart:
    """The agent's instructions for a program beside the one of ``record``, the machine's container ``container``.

    ``size``: rows and columns of its terminal, 0: not known.
    """
    program, privileges = record.spec.program, record.spec.privileges
    flags = ProcessFlag.TTY if exec_.tty else ProcessFlag.NONE
    if exec_.attach_stdin:
        flags |= ProcessFlag.STDIN
    if privileges.no_new_privileges:
        flags |= ProcessFlag.NO_NEW_PRIVS
    base = environment(record, tty=exec_.tty)
    rows, columns = size
    return ProcessStart(
        process=process,
        container=container,
        args=tuple(exec_.args),
        flags=flags,
        env=_overlaid(base, exec_.env),
        cwd=exec_.cwd or program.cwd or "/",
        user=exec_.user or program.user,
        groups=program.groups,
        capabilities=ALL_CAPABILITIES if exec_.privileged else mask(privileges.capabilities),
        rlimits=privileges.rlimits,
        rows=rows,
        columns=columns,
        seccomp=privileges.seccomp,
    )


def environment(record: Lead, *, tty: bool) -> tuple[str, ...]:
    """The program's variables: the usual ones where the spec has them, and links', overridden by those asked for."""
    program = record.spec.program
    env = [DEFAULT_PATH, f"HOSTNAME={hostname(record)}"] if program.usual_env else []
    if tty and program.usual_env:
        env.append("TERM=xterm")
    env += record.link_variables
    return _overlaid(env, program.env)


def _overlaid(base: Sequence[str], over: Sequence[str]) -> tuple[str, ...]:
    """The variables ``base`` with those of ``over`` in their place; a name without ``=`` takes the variable away."""
    names = {item.partition("=")[0] for item in over}
    kept = (item for item in base if item.partition("=")[0] not in names)
    return (*kept, *(item for item in over if "=" in item))
