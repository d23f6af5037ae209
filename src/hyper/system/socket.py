"""Sockets made by us: listening unix sockets with the right owner, and whether a port is free.

Source: unix(7) (SIOCOUTQ, which is TIOCOUTQ; SO_PEERCRED), ip(7).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import struct
import termios
from pathlib import Path

from hyper.errors import Conflict, InvalidRequest

#: sizeof(sun_path) − 1.
UNIX_PATH_MAX = 107
#: Connections that wait to be taken; more are refused by the kernel at once.
BACKLOG = 1024


def unread(sock: socket.socket) -> bool:
    """Whether the peer of a unix socket has not read all yet that was written to it; False for other sockets."""
    if sock.family != socket.AF_UNIX:
        return False
    (memory,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
    return bool(memory)


def check_path(path: Path) -> None:
    """The path ``path`` fits into a unix socket's address.

    Raises:
        InvalidRequest: it does not.
    """
    if len(os.fsencode(path)) > UNIX_PATH_MAX:
        raise InvalidRequest(
            f"path too long for a unix socket (max {UNIX_PATH_MAX} bytes): {path}",
            hint="choose a shorter --exec-root",
        )


def listen(path: Path, *, mode: int = 0o600, gid: int | None = None) -> socket.socket:
    """A non-blocking listening unix socket at ``path``, never open to more than ``mode``. The caller closes it.

    A socket that no process listens on any more is replaced.

    Raises:
        Conflict: a process listens there, or something that is no socket is in the way.
        InvalidRequest: the path is too long.
    """
    check_path(path)
    _clear(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.setblocking(False)
        # fchmod before bind: at birth the file has this mode less the umask, never more.
        os.fchmod(server.fileno(), mode)
        server.bind(os.fspath(path))
        path.chmod(mode)
        if gid is not None:
            os.chown(path, -1, gid)
        server.listen(BACKLOG)
    except BaseException:
        server.close()
        raise
    return server


def _clear(path: Path) -> None:
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise Conflict(f"cannot listen on {path}: there is something that is no socket")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.setblocking(False)
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass  # a full queue: somebody listens
    raise Conflict(f"cannot listen on {path}: another process does")


def connect(path: Path) -> socket.socket:
    """A non-blocking stream connected to the unix socket at ``path``; the caller closes it.

    Raises:
        OSError: no process listens there (FileNotFoundError, ConnectionRefusedError), or its queue is full.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.setblocking(False)
        stream.connect(os.fspath(path))
    except BaseException:
        stream.close()
        raise
    return stream


def peer(sock: socket.socket) -> tuple[int, int]:
    """The process id and user id at the other end of a unix socket: of a listener's, which process called listen().

    The process id is 0 where that process is in a PID namespace that we do not see into.
    """
    size = struct.calcsize("iII")
    pid, uid, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return pid, uid


def bound(kind: socket.SocketKind, address: tuple[str, int], *, device: str = "") -> socket.socket:
    """A non-blocking IPv4 socket bound to ``address``, that hears ``device`` only ("": all). The caller closes it.

    Raises:
        OSError: the address is taken, or not ours.
    """
    made = socket.socket(socket.AF_INET, kind)
    try:
        made.setblocking(False)
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if device:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


def check_port_is_free(protocol: str, address: str, port: int) -> None:
    """The port ``port`` is free: no socket is bound to it now (port 0 always is free).

    Raises:
        OSError: EADDRINUSE, EADDRNOTAVAIL (address is not ours) or EACCES (privileged port).
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with contextlib.closing(socket.socket(family, kind)) as probe:
        if kind == socket.SOCK_STREAM:
            # Connections in TIME_WAIT do not count; a listener still does.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
        if kind == socket.SOCK_STREAM:
            probe.listen(1)
