"""The daemon's address: ``-H``, then HYPER_HOST, then DOCKER_HOST, then the default socket."""

from __future__ import annotations

import os

from hyper.client.errors import DaemonUnreachable
from hyper.client.light import Stream
from hyper.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from hyper.client.tls import TlsFiles

DEFAULT_TCP_PORT = 2375
DEFAULT_TLS_PORT = 2376
_CONNECT_TIMEOUT_S = 10


class Address:
    """One daemon's address. ``chosen`` is False for the default, which a client may start a daemon at."""

    __slots__ = ("chosen", "path", "peer", "text", "tls")

    def __init__(
        self,
        text: str,
        *,
        path: str = "",
        peer: tuple[str, int] = ("", 0),
        tls: TlsFiles | None = None,
        chosen: bool,
    ) -> None:
        self.text = text
        self.path = path
        self.peer = peer
        self.tls = tls
        self.chosen = chosen

    def connect(self) -> socket.socket:
        """A connected, blocking socket; the caller closes it.

        Raises:
            DaemonUnreachable: no daemon listens there, or the user may not speak to it.
            InvalidRequest: the files for TLS cannot be used.
        """
        try:
            return self._connect_unix() if self.path else self._connect_tcp()
        except OSError as error:
            raise self._unreachable(error) from error

    def _connect_unix(self) -> socket.socket:
        connection = Stream()
        try:
            connection.connect(self.path)
        except OSError:
            connection.close()
            raise
        return connection

    def _connect_tcp(self) -> socket.socket:
        import socket  # 10 ms that a unix socket need not pay

        connection = socket.create_connection(self.peer, _CONNECT_TIMEOUT_S)
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is None:
            return connection
        from hyper.client.tls import secure  # 10 ms that most commands need not pay

        return secure(connection, self.peer[0], self.tls)

    def _unreachable(self, error: OSError) -> DaemonUnreachable:
        if isinstance(error, PermissionError):
            return DaemonUnreachable(
                f"Permission denied while connecting to hyperd at {self.text}",
                hint="become root, or join the group that owns the socket",
            )
        refused = isinstance(error, FileNotFoundError | ConnectionRefusedError)
        cause = "" if refused else f" ({error.strerror or error})"
        return DaemonUnreachable(
            f"Cannot connect to hyperd at {self.text}{cause}. Is the daemon running?",
            hint="start one with: hyperd" + (f" -H {self.text}" if self.chosen else ""),
            refused=refused,
        )


def find_address(
    flag: str | None, environ: Mapping[str, str], *, tls: TlsFiles | None = None
) -> Address:
    """The daemon's address: ``flag``, else HYPER_HOST, else DOCKER_HOST, else the default socket.

    ``tls``: the files for TLS if it is a TCP address.

    Raises:
        InvalidRequest: not an address that can be spoken to.
    """
    text = flag or environ.get("HYPER_HOST") or environ.get("DOCKER_HOST")
    if text:
        return parse_address(text, tls=tls)
    path = default_socket(os.getuid(), environ)
    return Address(f"unix://{path}", path=path, chosen=False)


def parse_address(text: str, *, tls: TlsFiles | None = None) -> Address:
    """The address that ``text`` has: ``unix:///path``, ``tcp://host[:port]`` or ``http://host[:port]``.

    Raises:
        InvalidRequest: anything else.
    """
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = ("unix", text) if text.startswith("/") else ("tcp", text)
    if scheme == "unix" and rest:
        return Address(f"unix://{rest}", path=rest, chosen=True)
    if scheme in ("tcp", "http") and rest:
        port = DEFAULT_TCP_PORT if tls is None else DEFAULT_TLS_PORT
        return Address(text, peer=_parse_peer(rest.rstrip("/"), text, port), tls=tls, chosen=True)
    raise InvalidRequest(
        f"cannot speak to {text!r}", hint="use unix:///path/to/socket or tcp://host:port"
    )


def _parse_peer(rest: str, text: str, default: int) -> tuple[str, int]:
    host, mark, port = rest.rpartition(":")
    if not mark or rest.endswith("]"):
        host, port = rest, str(default)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidRequest(f"invalid port in address {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def default_socket(uid: int, environ: Mapping[str, str]) -> str:
    """The path of ``hyper.config.default_socket``, without that module's 13 ms of imports.

    A test holds the two together.
    """
    if uid == 0:
        return "/run/hyper/hyper.sock"
    runtime = environ.get("XDG_RUNTIME_DIR")
    folder = f"{runtime}/hyper" if runtime else f"/tmp/hyper-{uid}"  # noqa: S108 (as config says)
    return f"{folder}/hyper.sock"
