"""HTTP/1.1 over one socket: one request, one response, then the socket is closed or handed over.

Hyper's own and not ``http.client``, because that imports ``email`` and costs 15 ms of the 40 a command may take
(docs/decisions/0005-cli.md). It knows exactly what the Engine API uses: Content-Length, chunked, until-close,
and 101 with the raw socket afterwards. Everything the peer sends is bounded.
"""

from __future__ import annotations

from hyper.client.errors import ConnectionLost
from hyper.client.light import MSG_NOSIGNAL
from hyper.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator, Sequence

MAX_HEAD = 64 * 1024
MAX_LINE = 8 * 1024
MAX_HEADERS = 128
#: Of a response read as a whole; streams have no bound.
MAX_BODY = 64 * 1024 * 1024
READ_SIZE = 64 * 1024
_NO_BODY = (204, 304)


def send_request(
    connection: socket.socket,
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes | None = None,
) -> None:
    """Write one request. ``target`` is already quoted.

    Raises:
        ConnectionLost: the peer closed the connection.
    """
    lines = [f"{method} {target} HTTP/1.1", "Host: hyper", "User-Agent: hyper"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body or b'')}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1:
        raise ProtocolError("a header of the request contains a line break")
    data = head.encode("latin-1", "replace") + b"\r\n\r\n" + (body or b"")
    try:
        connection.sendall(data, MSG_NOSIGNAL)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise ConnectionLost(
            "the daemon closed the connection before the request was sent"
        ) from error


def send_stream(
    connection: socket.socket,
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    pieces: Iterable[bytes],
) -> None:
    """Write one request whose body is ``pieces``, chunked, taken one by one as they fit.

    A peer that stops reading has answered or is gone: then the rest is not sent, and reading its answer tells which.
    """
    lines = [f"{method} {target} HTTP/1.1", "Host: hyper", "User-Agent: hyper"]
    lines += [f"{name}: {value}" for name, value in (*headers, ("Transfer-Encoding", "chunked"))]
    try:
        connection.sendall("\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n")
        for piece in pieces:
            if piece:
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece), MSG_NOSIGNAL)
        connection.sendall(b"0\r\n\r\n", MSG_NOSIGNAL)
    except (BrokenPipeError, ConnectionResetError):
        return


class Response:
    """The answer on ``connection``: head read on construction, body when asked for.

    Owns the socket until :meth:`detach`; a context manager closes it.
    """

    def __init__(self, connection: socket.socket, *, bodiless: bool = False) -> None:
        """Read the answer's head. ``bodiless``: no body follows, whatever the head says (the answer to a HEAD).

        Raises:
            ConnectionLost: the peer closed instead of answering.
            ProtocolError: the bytes it sent are not HTTP/1.1, or exceed the bounds.
        """
        self._connection = connection
        self._bodiless = bodiless
        self._buffer = b""
        self.status, self.headers = _parse_head(self._read_head())

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. May be called again."""
        self._connection.close()

    def fileno(self) -> int:
        """The socket's descriptor, to poll on."""
        return self._connection.fileno()

    def detach(self) -> tuple[socket.socket, bytes]:
        """The raw socket and the bytes already read past the head; both are the caller's from now on."""
        early, self._buffer = self._buffer, b""
        return self._connection, early

    def read(self) -> bytes:
        """The whole body, at most ``MAX_BODY`` bytes; the connection is closed afterwards.

        Raises:
            ConnectionLost: it ended early.
            ProtocolError: broken framing, or too long.
        """
        pieces = []
        total = 0
        with self:
            for piece in self.pieces():
                total += len(piece)
                if total > MAX_BODY:
                    raise ProtocolError(f"the daemon's answer exceeds {MAX_BODY} bytes")
                pieces.append(piece)
        return b"".join(pieces)

    def pieces(self) -> Iterator[bytes]:
        """The body in pieces as they arrive, transfer coding removed.

        Raises:
            ConnectionLost: it ended early.
            ProtocolError: broken framing.
        """
        if self._bodiless or self.status in _NO_BODY or self.status < 200:
            return iter(())
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return self._chunks()
        length = self.headers.get("content-length")
        if length is None:
            return self._until_close()
        if not length.isdecimal():
            raise ProtocolError(f"invalid Content-Length from the daemon: {length!r}")
        return self._exactly(int(length))

    def _until_close(self) -> Iterator[bytes]:
        while piece := self._take(READ_SIZE):
            yield piece

    def _exactly(self, length: int) -> Iterator[bytes]:
        while length > 0:
            piece = self._take(min(length, READ_SIZE))
            if not piece:
                raise ConnectionLost("the daemon closed the connection in mid-answer")
            length -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while length := self._chunk_length():
            yield from self._exactly(length)
            if self._read_line() != b"":
                raise ProtocolError("a chunk of the daemon's answer is longer than announced")
        # Trailers are read and dropped, so that the framing is seen to be whole.
        while self._read_line():
            pass

    def _chunk_length(self) -> int:
        digits = self._read_line().partition(b";")[0].strip()
        if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
            raise ProtocolError(f"invalid chunk length from the daemon: {digits[:40]!r}")
        return int(digits, 16)

    def _read_head(self) -> bytes:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise ProtocolError(f"the head of the daemon's answer exceeds {MAX_HEAD} bytes")
            self._fill("the daemon closed the connection without an answer")
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return head

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > MAX_LINE:
                raise ProtocolError(f"a line of the daemon's answer exceeds {MAX_LINE} bytes")
            self._fill("the daemon closed the connection in mid-answer")
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def _fill(self, complaint: str) -> None:
        piece = _receive(self._connection)
        if not piece:
            raise ConnectionLost(complaint)
        self._buffer += piece

    def _take(self, limit: int) -> bytes:
        """At most ``limit`` bytes; b"" at the end of the stream."""
        if not self._buffer:
            self._buffer = _receive(self._connection)
        piece, self._buffer = self._buffer[:limit], self._buffer[limit:]
        return piece


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(READ_SIZE)
    except ConnectionResetError:
        return b""


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """The status and the headers of a head (names in lower case; of a repeated one the last)."""
    start, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = start.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdecimal() or len(rest) < 3:
        raise ProtocolError(f"not an HTTP answer: {start[:80]!r}", hint="is this hyperd's address?")
    if len(lines) > MAX_HEADERS or any(len(line) > MAX_LINE for line in lines):
        raise ProtocolError("too many or too long headers in the daemon's answer")
    pairs = [line.partition(":") for line in lines]
    if any(not mark for _, mark, _ in pairs):
        raise ProtocolError("a header of the daemon's answer has no colon")
    return int(rest[:3]), {name.strip().lower(): value.strip() for name, _, value in pairs}
