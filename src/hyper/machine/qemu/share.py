"""The server of a machine's shared paths: one virtiofsd, in a jail whose /share holds these paths and nothing else.

It is started before QEMU, is in the machine's control group, and ends with it: QEMU's end of their socket is the only
one there is. docs/decisions/0008-volumes.md.

Source: virtiofsd(1) of QEMU 7.2 (C) and of Debian 13 (Rust), vhost-user protocol.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyper.errors import MachineError
from hyper.machine.spec import MachineSpec
from hyper.system import files, jail, launch
from hyper.system import socket as sockets
from hyper.system.cgroup import Group
from hyper.system.jail import Bind, JailSpec, View
from hyper.system.pidfd import Pidfd
from hyper.system.process import Process

#: Where Debian 12 (C, part of QEMU) and Debian 13 (Rust) have it.
C_SERVER: Final = Path("/usr/lib/qemu/virtiofsd")
RUST_SERVER: Final = Path("/usr/libexec/virtiofsd")
#: What it may take beside the machine's own.
SERVER_MIB: Final = 128
SERVER_PIDS: Final = 128
RECORD_FILE: Final = "share.json"
_SOCKET: Final = "share.sock"
_TREE: Final = Path("/share")
#: It holds one descriptor a file the guest knows of.
_MAX_FILES: Final = 1_000_000
#: Those it keeps (files of every owner, as every owner), and two it gives up when it has entered /share.
_CAPABILITIES: Final = (
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid"),
    *("setuid", "setgid", "mknod", "setfcap", "setpcap", "sys_chroot"),
)
#: It enters /share, makes device nodes for guests, and gives each thread a working directory of its own.
_CALLS: Final = frozenset({"chroot", "mknod", "mknodat", "unshare"})


@dataclass(frozen=True, slots=True)
class ShareServer:
    """A running virtiofsd. ``outer``: our child around it; None if an earlier daemon started it. Close it."""

    process: Pidfd
    outer: Process | None

    def on_exit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` from the loop once it ended."""
        self.process.on_exit(callback)

    def last_words(self) -> str:
        """The last line it wrote to standard error, "" if none is known."""
        return "" if self.outer is None else self.outer.stderr_tail().strip().rpartition("\n")[2]

    def close(self) -> None:
        """Let go; it goes on."""
        self.process.close()


def find_binary() -> Path:
    """The server of this host.

    Raises:
        MachineError: there is none.
    """
    for path in (C_SERVER, RUST_SERVER):
        if path.exists():
            return path
    raise MachineError(
        "cannot share files of the host: there is no virtiofsd",
        hint="apt-get install qemu-system-common (Debian 12) or virtiofsd (Debian 13)",
    )


def command(binary: Path, fd: int) -> list[str]:
    """What is run within the jail: serve /share to who connects to ``fd``."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    common = [str(binary), f"--fd={fd}", f"--rlimit-nofile={limit}"]
    # The page cache is used (programs map files), and every look at a file asks the host first: what the host or
    # another machine changed is seen at once.
    if binary == RUST_SERVER:
        rust = ["--sandbox=chroot", "--cache=auto", "--xattr", "--log-level=warn"]
        return [*common, f"--shared-dir={_TREE}", *rust]
    options = (f"source={_TREE}", "sandbox=chroot", "cache=auto", "timeout=0", "xattr")
    return [*common, "-f", "-o", ",".join((*options, "log_level=warn"))]


def jail_for(spec: MachineSpec, binary: Path) -> JailSpec:
    """Its walls: no network, no path but what it serves, root only as far as files go."""
    return JailSpec(
        views=(*jail.library_views(), View(binary)),
        uid=None if spec.uid is None else 0,
        binds=tuple(
            Bind(shared.host, _TREE / str(number), shared.read_only)
            for number, shared in enumerate(spec.shared)
        ),
        capabilities=_CAPABILITIES,
        allowed=_CALLS,
        proc=True,
        network=False,
    )


async def start(spec: MachineSpec, group: Group) -> tuple[ShareServer, socket.socket]:
    """The server of ``spec.shared`` runs in ``group``; with the stream for QEMU, which the caller closes.

    Raises:
        MachineError: there is no virtiofsd. LaunchFailed, ProcessFailed, OSError: as `launch.start`. Nothing is left.
    """
    binary = find_binary()
    path = spec.run_dir / _SOCKET
    with contextlib.ExitStack() as undo:
        with sockets.listen(path) as listener:
            stream = undo.enter_context(sockets.connect(path))
            # Both ends are there: nobody else will connect.
            path.unlink()
            undo.callback((spec.run_dir / RECORD_FILE).unlink, missing_ok=True)

            def keep(pid: int, start_ticks: int) -> None:
                data = json.dumps({"pid": pid, "start_ticks": start_ticks}).encode()
                files.write_atomically(spec.run_dir / RECORD_FILE, data, durable=False)

            jailed = await launch.start(
                jail_for(spec, binary),
                command(binary, listener.fileno()),
                pass_fds=(listener.fileno(),),
                group=group,
                note=keep,
            )
        undo.pop_all()
    stream.setblocking(True)
    return ShareServer(jailed.inner, jailed.outer), stream


def find(run_dir: Path) -> ShareServer | None:
    """The server that was started for the machine of ``run_dir``, if it runs."""
    try:
        kept = json.loads((run_dir / RECORD_FILE).read_bytes())
        held = Pidfd.open_same(int(kept["pid"]), int(kept["start_ticks"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return None if held is None else ShareServer(held, None)


async def end(run_dir: Path) -> None:
    """The server for the machine of ``run_dir`` is gone, and its record."""
    server = find(run_dir)
    if server is not None:
        server.process.send(signal.SIGKILL)
        await server.process.wait()
        server.close()
    (run_dir / RECORD_FILE).unlink(missing_ok=True)
