"""The server of a machine's shared paths: one virtiofsd, in a jail whose /share holds these paths and nothing else.

It is started before the hypervisor, is in the machine's control group, and ends with it: the hypervisor's end of their
socket is the only one there is. docs/decisions/0008-volumes.md, docs/decisions/0025-file-servers.md.

Source: vhost-user protocol.
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

from hyper.errors import MachineError, reason
from hyper.machine.process.file_server import FileServer
from hyper.machine.spec import MachineSpec
from hyper.system import files, launch
from hyper.system import socket as sockets
from hyper.system.cgroup import Group
from hyper.system.jail import Bind, JailSpec
from hyper.system.launch import LaunchFailed
from hyper.system.pidfd import Pidfd
from hyper.system.process import Process, ProcessFailed

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
        """Call ``callback`` from the loop once the server has ended."""
        self.process.on_exit(callback)

    def last_words(self) -> str:
        """The last line that the server wrote to standard error, "" if none is known."""
        return "" if self.outer is None else self.outer.stderr_tail().strip().rpartition("\n")[2]

    def close(self) -> None:
        """Let go of the server; it goes on."""
        self.process.close()


def command(server: FileServer, fd: int) -> list[str]:
    """The command that runs within the jail: serve /share to the client that connects to ``fd``."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    return server.command(_TREE, fd, max_files=limit)


def jail_for(spec: MachineSpec, server: FileServer) -> JailSpec:
    """The server's jail: no network, no path but what it serves, root only as far as files go."""
    return JailSpec(
        views=server.views,
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


async def start(
    spec: MachineSpec, group: Group, server: FileServer
) -> tuple[ShareServer, socket.socket]:
    """The file server ``server`` runs and serves ``spec.shared`` in ``group``; with the stream for the hypervisor.

    The caller closes that stream.

    Raises:
        LaunchFailed, ProcessFailed, OSError: as `launch.start`. Nothing is left.
    """
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
                jail_for(spec, server),
                command(server, listener.fileno()),
                pass_fds=(listener.fileno(),),
                group=group,
                note=keep,
            )
        undo.pop_all()
    stream.setblocking(True)
    return ShareServer(jailed.inner, jailed.outer), stream


async def serve(
    spec: MachineSpec,
    group: Group,
    choose: Callable[[], FileServer],
    ours: contextlib.ExitStack,
    undo: contextlib.AsyncExitStack,
) -> tuple[ShareServer | None, int | None]:
    """The server of the shared paths of ``spec`` and the hypervisor's stream to it; nothing where there are none.

    ``ours`` closes our copy of the stream, ``undo`` ends the server.

    Raises:
        MachineError: there is no server (``choose`` says so), or it does not start.
    """
    if not spec.shared:
        return None, None
    try:
        server, stream = await start(spec, group, choose())
    except OSError as error:
        raise MachineError(f"machine {spec.name} cannot share files: {reason(error)}") from error
    except (LaunchFailed, ProcessFailed) as error:
        raise MachineError(f"machine {spec.name} cannot share files: {error.message}") from error
    ours.callback(stream.close)
    undo.callback(server.close)
    undo.push_async_callback(end, spec.run_dir)
    return server, stream.fileno()


def find(run_dir: Path) -> ShareServer | None:
    """The file server that was started for the machine of ``run_dir``, if it runs."""
    try:
        kept = json.loads((run_dir / RECORD_FILE).read_bytes())
        held = Pidfd.open_same(int(kept["pid"]), int(kept["start_ticks"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return None if held is None else ShareServer(held, None)


def is_lost(run_dir: Path) -> bool:
    """Whether a file server was started for the machine of ``run_dir`` and does not run any more."""
    server = find(run_dir)
    if server is not None:
        server.close()
    return server is None and (run_dir / RECORD_FILE).exists()


async def end(run_dir: Path) -> None:
    """The file server for the machine of ``run_dir`` is gone, and its record."""
    server = find(run_dir)
    if server is not None:
        server.process.send(signal.SIGKILL)
        await server.process.wait()
        server.close()
    (run_dir / RECORD_FILE).unlink(missing_ok=True)
