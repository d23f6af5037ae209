"""Calls of the Engine API: a path, a query, a body; JSON back, or a stream, or the raw socket."""

from __future__ import annotations

from hyper.client.errors import ApiError, DaemonUnreachable
from hyper.client.http import Response, send_request, send_stream
from hyper.client.light import dumps, loads
from hyper.client.quote import encode_query, quote
from hyper.errors import InvalidRequest, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from hyper.client.address import Address

#: Of one JSON message in a stream.
MAX_MESSAGE = 4 * 1024 * 1024
_UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "tcp"))


class Engine:
    """The client of one daemon. Paths carry no version: every Engine API serves its newest there.

    ``start`` is called when no daemon listens at the address, once; it returns when one does.
    ``trace`` is called with a line for each request.
    """

    def __init__(
        self,
        address: Address,
        *,
        start: Callable[[], None] | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.address = address
        self._start = start
        self._trace = trace

    def get(self, path: str, **query: object) -> Any:
        """The decoded JSON answer.

        Raises (as do all calls here):
            ApiError: the daemon answered with an error.
            DaemonUnreachable, ConnectionLost, ProtocolError: it did not answer.
        """
        return _decode(self.open("GET", path, query))

    def post(self, path: str, body: object = None, **query: object) -> Any:
        """The decoded JSON answer, None where it has no body."""
        return _decode(self.open("POST", path, query, body))

    def delete(self, path: str, **query: object) -> Any:
        """The decoded JSON answer, None where it has no body."""
        return _decode(self.open("DELETE", path, query))

    def request_json(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: object = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Any:
        """The decoded JSON answer to a request with headers of its own."""
        return _decode(self.open(method, path, query, body, headers))

    def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: object = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """The answer once its head is here and no error; the caller closes it."""
        connection = self.send(method, path, query, body, headers)
        return self.receive(connection, bodiless=method == "HEAD")

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: object = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> socket.socket:
        """The connection on which a request is under way; give it to :meth:`receive`, or close it."""
        target = path + encode_query(query or {})
        data = None if body is None else dumps(body).encode()
        if data is not None:
            headers += (("Content-Type", "application/json"),)
        if self._trace:
            self._trace(f"{method} {target} {data.decode() if data else ''}".rstrip())
        connection = self._connect()
        try:
            send_request(connection, method, target, headers, data)
        except BaseException:
            connection.close()
            raise
        return connection

    def receive(self, connection: socket.socket, *, bodiless: bool = False) -> Response:
        """The answer to :meth:`send`, once its head is here."""
        try:
            response = Response(connection, bodiless=bodiless)
            if self._trace:
                self._trace(f"  -> {response.status}")
            if response.status >= 400:
                raise _api_error(response)
        except BaseException:
            connection.close()
            raise
        return response

    def upload(
        self,
        method: str,
        path: str,
        pieces: Iterable[bytes],
        query: Mapping[str, object] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """The answer to a request whose body is the tar archive ``pieces``; the caller closes it.

        Not all of ``pieces`` are taken when the daemon refuses them in the middle.
        """
        target = path + encode_query(query or {})
        if self._trace:
            self._trace(f"{method} {target} (a stream)")
        connection = self._connect()
        try:
            send_stream(
                connection,
                method,
                target,
                (*headers, ("Content-Type", "application/x-tar")),
                pieces,
            )
        except BaseException:
            connection.close()
            raise
        return self.receive(connection)

    def hijack(
        self, path: str, body: object = None, **query: object
    ) -> tuple[socket.socket, bytes]:
        """The raw duplex socket behind a POST (attach, exec), and its first bytes; the caller closes it."""
        response = self.open("POST", path, query, body, _UPGRADE)
        if response.status not in (101, 200):
            response.close()
            raise ProtocolError(f"the daemon answered {response.status} instead of a stream")
        return response.detach()

    def _connect(self) -> socket.socket:
        try:
            return self.address.connect()
        except DaemonUnreachable as error:
            if self._start is None or not error.refused:
                raise
            start, self._start = self._start, None
            start()
        return self.address.connect()


def container_path(name: str, rest: str = "") -> str:
    """The path of a container: ``/containers/NAME`` + ``rest``.

    Raises:
        InvalidRequest: the name is empty (the path would mean something else).
    """
    if not name.strip():
        raise InvalidRequest("a container's name or id must not be empty")
    return f"/containers/{quote(name)}{rest}"


def object_path(kind: str, name: str, rest: str = "") -> str:
    """The path of a volume or network: ``/KIND/NAME`` + ``rest``.

    Raises:
        InvalidRequest: the name is empty (the path would mean something else).
    """
    if not name.strip():
        raise InvalidRequest(f"the name of one of the {kind} must not be empty")
    return f"/{kind}/{quote(name)}{rest}"


def image_path(name: str, rest: str = "") -> str:
    """The path of an image: ``/images/NAME`` + ``rest``; slashes, colons and @ of the name stay as they are.

    Raises:
        InvalidRequest: the name is empty.
    """
    if not name.strip():
        raise InvalidRequest("an image's name or id must not be empty")
    return f"/images/{quote(name, '/:@')}{rest}"


def messages(response: Response) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream (pull, events), one by one as they arrive; closes the response.

    Raises:
        ProtocolError: not JSON, or a message longer than ``MAX_MESSAGE``.
    """
    import json  # 5 ms that only streams of messages need

    decoder = json.JSONDecoder()
    pending = ""
    with response:
        for piece in _text_pieces(response):
            pending = (pending + piece).lstrip()
            while pending:
                try:
                    message, end = decoder.raw_decode(pending)
                except json.JSONDecodeError:
                    break
                pending = pending[end:].lstrip()
                yield message
            if len(pending) > MAX_MESSAGE:
                raise ProtocolError("a message of the daemon's stream is too long or no JSON")
    if pending:
        raise ProtocolError(f"the daemon's stream ended in mid-message: {pending[:80]!r}")


def _text_pieces(response: Response) -> Iterator[str]:
    import codecs

    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    return (decode(piece) for piece in response.pieces())


def _decode(response: Response) -> Any:
    data = response.read()
    if not data:
        return None
    try:
        return loads(data)
    except ValueError as error:
        raise ProtocolError(f"the daemon's answer is no JSON: {data[:80]!r}") from error


def _api_error(response: Response) -> ApiError:
    data = response.read()
    kind = ""
    try:
        body = loads(data)
        message, kind = str(body["message"]), str(body.get("kind", ""))
    except (ValueError, KeyError, TypeError):
        message = data.decode(errors="replace").strip() or f"HTTP status {response.status}"
    if not kind and not response.headers.get("server", "").startswith("Hyper/"):
        from hyper.client.foreign import kind_of  # for other daemons only

        kind = kind_of(message)
    return ApiError(message, status=response.status, kind=kind)
