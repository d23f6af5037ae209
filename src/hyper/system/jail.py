"""The jail of a program that runs other people's code: bubblewrap's arguments as a pure function.

Inside there is an empty read-only root with the few host paths the program needs, no /proc, no /sys, no /dev beyond
what is named; own mount, PID, IPC, UTS and cgroup namespaces; an unprivileged identity without capabilities; a system
call filter (seccomp.py). A program that needs the host's network (user-mode networking) stays in it, see nft.py for
that wall; all others have an empty one. docs/decisions/0003-jail.md.

Source: bwrap(1), setpriv(1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Identities of machines: a range systemd's UIDS-GIDS page lists as unused.
FIRST_MACHINE_UID = 0x70000000
MACHINE_UID_COUNT = 65536

#: What a dynamically linked program of the host needs to start (those that exist are shown to it).
LIBRARY_FOLDERS = (
    Path("/usr/lib/x86_64-linux-gnu"),
    Path("/usr/lib64"),
    Path("/lib/x86_64-linux-gnu"),
    Path("/lib64"),
)
LOADER_CACHE = Path("/etc/ld.so.cache")
SETPRIV = Path("/usr/bin/setpriv")
SHELL = Path("/usr/bin/sh")
#: Waits, already within walls and filter, for a line on standard input, and runs the rest of its arguments; without one
#: (we were killed before the limits were set) it ends. bubblewrap's --block-fd takes our death for the go-ahead.
_GATE = (str(SHELL), "-c", 'read -r _ && exec "$@"', "gate")
OPEN_GATE = b"\n"


@dataclass(frozen=True, slots=True)
class View:
    """A host path shown read-only inside at ``inside`` (the same path if None)."""

    host: Path
    inside: Path | None = None

    @property
    def target(self) -> Path:
        """The path inside at which the view is."""
        return self.inside or self.host


@dataclass(frozen=True, slots=True)
class Bind:
    """A host path (a directory with all below it, or a file) at ``inside``, to be written to or not."""

    host: Path
    inside: Path
    read_only: bool


@dataclass(frozen=True, slots=True)
class JailSpec:
    """The jail of one program."""

    views: tuple[View, ...]
    #: The program's user, also used as gid; None: ours, in a user namespace (we are no root).
    uid: int | None
    #: Device nodes that the program may open.
    devices: tuple[View, ...] = ()
    #: Supplementary groups that it needs for them; for root only.
    groups: tuple[int, ...] = ()
    #: The program may bind ports below 1024; for root only.
    low_ports: bool = False
    binds: tuple[Bind, ...] = ()
    #: Capabilities that a program of uid 0 (ours, or root of its user namespace) keeps, without ``cap_``.
    capabilities: tuple[str, ...] = ()
    #: System calls off the filter's list (`seccomp.program`).
    allowed: frozenset[str] = frozenset()
    #: The program sees its PID namespace's /proc.
    proc: bool = False
    #: The program may use the host's network.
    network: bool = True


@dataclass(frozen=True, slots=True)
class JailFds:
    """The descriptors bubblewrap itself uses: the filter to read, the news of its child to write."""

    seccomp: int
    info: int


def library_views() -> tuple[View, ...]:
    """The views of the dynamic loader, its cache and the library folders of this host."""
    return tuple(View(path) for path in (*LIBRARY_FOLDERS, LOADER_CACHE) if path.exists())


def argv(spec: JailSpec, command: Sequence[str], fds: JailFds) -> list[str]:
    """The command that runs ``command`` within ``spec``. Each flag has its reason."""
    helpers = [View(SHELL.resolve(), SHELL)]
    if spec.uid is not None:
        helpers.append(View(SETPRIV))
    views = (*helpers, *spec.views)
    return [
        "bwrap",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup",
        *([] if spec.network else ["--unshare-net"]),
        # The program is PID 1 of its namespace: one process fewer, and its death is the namespace's.
        "--as-pid-1",
        # No terminal of ours to push characters into (TIOCSTI).
        "--new-session",
        *_user_namespace(spec),
        *_root(views, spec),
        *("--seccomp", str(fds.seccomp)),
        *("--info-fd", str(fds.info)),
        # No --die-with-parent: machines outlive the daemon.
        "--",
        *_GATE,
        *_identity(spec),
        *command,
    ]


def _user_namespace(spec: JailSpec) -> list[str]:
    # Root stays in the host's user namespace: a real foreign uid is a stronger wall than a mapped own one.
    # (--disable-userns would need /proc inside; the system call filter denies new namespaces anyway.)
    if spec.uid is not None:
        return []
    if not spec.capabilities:
        return ["--unshare-user"]
    kept = [word for name in spec.capabilities for word in ("--cap-add", f"cap_{name}")]
    return ["--unshare-user", *("--uid", "0"), *("--gid", "0"), *kept]


def _root(views: Sequence[View], spec: JailSpec) -> list[str]:
    devices, binds = spec.devices, spec.binds
    targets = [*(view.target for view in (*views, *devices)), *(bind.inside for bind in binds)]
    arguments: list[str] = []
    for folder in _parents(targets):
        # bwrap makes parents 0700: another identity could not pass.
        arguments += ["--perms", "0755", "--dir", str(folder)]
    for view in views:
        arguments += ["--ro-bind", str(view.host), str(view.target)]
    for device in devices:
        arguments += ["--dev-bind", str(device.host), str(device.target)]
    for bind in binds:
        how = "--ro-bind" if bind.read_only else "--bind"
        arguments += [how, str(bind.host), str(bind.inside)]
    if spec.proc:
        arguments += ["--proc", "/proc"]
    return [*arguments, "--remount-ro", "/"]


def _parents(targets: Sequence[Path]) -> list[Path]:
    folders = {parent for target in targets for parent in target.parents} - {Path("/")}
    # A folder that is itself shown must not be made first.
    return sorted(folders - set(targets), key=lambda folder: (len(folder.parts), str(folder)))


def _identity(spec: JailSpec) -> list[str]:
    if spec.uid is None:
        return []
    ambient = ["+net_bind_service"] if spec.low_ports else []
    kept = [*ambient, *(f"+{name}" for name in spec.capabilities)]
    return [
        str(SETPRIV),
        *("--reuid", str(spec.uid)),
        *("--regid", str(spec.uid)),
        *(["--groups", ",".join(map(str, spec.groups))] if spec.groups else ["--clear-groups"]),
        "--no-new-privs",
        "--inh-caps=" + ",".join(["-all", *ambient]),
        *(["--ambient-caps=" + ",".join(["-all", *ambient])] if ambient else []),
        "--bounding-set=" + ",".join(["-all", *kept]),
    ]
