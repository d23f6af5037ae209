"""TLS to a daemon, behind a socket that looks like any other.

Every caller polls, half-closes and hands over plain sockets, which Python's TLS sockets cannot do. So the caller gets
one end of a socket pair, and a thread here carries the bytes between the other end and the daemon, encrypted.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading

from hyper.client.errors import ConnectionLost, DaemonUnreachable
from hyper.errors import InvalidRequest, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Held at most in either direction.
ROOM = 256 * 1024
HANDSHAKE_S = 10.0
_READ_SIZE = 64 * 1024
_MORE = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TlsFiles:
    """The files of the client's side: ``ca`` (None: the system's), ``certificate`` and ``key`` (None: none)."""

    __slots__ = ("ca", "certificate", "key", "verify")

    def __init__(
        self, *, ca: str | None, certificate: str | None, key: str | None, verify: bool
    ) -> None:
        self.ca = ca
        self.certificate = certificate
        self.key = key
        self.verify = verify

    def context(self) -> ssl.SSLContext:
        """The settings of TLS 1.2 or newer; with ``verify`` the daemon's certificate has to be for its address.

        Raises:
            InvalidRequest: a file is unreadable or malformed.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        try:
            if self.ca is not None:
                context.load_verify_locations(self.ca)
            else:
                context.load_default_certs()
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError) as error:
            files = ", ".join(filter(None, (self.ca, self.certificate, self.key)))
            raise InvalidRequest(f"cannot use the TLS files {files}: {reason(error)}") from error
        return context


class TlsSocket(socket.socket):
    """The caller's end of a TLS connection. ``failure`` says why the connection ended, if not as it should."""

    failure: str | None = None

    def recv(self, size: int, flags: int = 0) -> bytes:
        """The bytes received, as by a plain socket.

        Raises:
            ConnectionLost: the connection ended for a reason that is known.
        """
        try:
            data = super().recv(size, flags)
        except ConnectionResetError as error:  # the other end was closed with something unread
            if self.failure is None:
                raise
            raise self._lost() from error
        if not data and self.failure is not None:
            raise self._lost()
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """The bytes of ``data`` are sent, as by a plain socket.

        Raises:
            ConnectionLost: the connection ended for a reason that is known.
        """
        try:
            super().sendall(data, flags)
        except (BrokenPipeError, ConnectionResetError) as error:
            if self.failure is None:
                raise
            raise self._lost() from error

    def _lost(self) -> ConnectionLost:
        return ConnectionLost(f"the daemon ended the connection: {self.failure}")


def secure(connection: socket.socket, host: str, files: TlsFiles) -> TlsSocket:
    """A socket whose bytes go to the daemon over TLS on ``connection``, which belongs to the thread from now on.

    Raises:
        InvalidRequest: the files cannot be used. DaemonUnreachable: the handshake failed.
    """
    try:
        relay = _Relay(connection, files.context(), host)
        relay.shake_hands()
    except BaseException:
        connection.close()
        raise
    ours, theirs = socket.socketpair()
    end = TlsSocket(fileno=theirs.detach())
    threading.Thread(target=relay.run, args=(ours, end), name="tls", daemon=True).start()
    return end


class _Relay:
    def __init__(self, wire: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._wire = wire
        self._host = host
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._to_wire, self._to_end = bytearray(), bytearray()
        #: "ended": said that nothing follows; "gone": takes nothing any more either.
        self._wire_ended = self._wire_gone = self._end_ended = self._end_gone = False
        self._told_end = False

    def shake_hands(self) -> None:
        """The handshake with the daemon is done. Raises: DaemonUnreachable."""
        self._wire.settimeout(HANDSHAKE_S)
        try:
            while not self._try_handshake():
                data = self._wire.recv(_READ_SIZE)
                if not data:
                    raise ConnectionResetError("the connection was closed")
                self._incoming.write(data)
        except OSError as error:
            raise DaemonUnreachable(
                f"the TLS handshake with {self._host} failed: {error}",
                hint="check --tlscacert, --tlscert and --tlskey (or DOCKER_CERT_PATH)",
            ) from error

    def _try_handshake(self) -> bool:
        try:
            self._tls.do_handshake()
        except _MORE:
            return False
        finally:
            self._wire.sendall(self._outgoing.read())
        return True

    def run(self, ours: socket.socket, end: TlsSocket) -> None:
        """Carry bytes until the daemon has ended and all is delivered, or the caller has closed its end."""
        with self._wire, ours:
            self._wire.setblocking(False)
            ours.setblocking(False)
            try:
                self._decrypt()
                while not self._is_over():
                    self._turn(ours)
            except OSError as error:
                end.failure = _reason(error)

    def _is_over(self) -> bool:
        if self._end_gone:
            return not self._to_wire
        return self._wire_gone and not self._to_end

    def _turn(self, ours: socket.socket) -> None:
        if self._wire_ended and not self._to_end and not self._told_end:
            self._told_end = True
            ours.shutdown(socket.SHUT_WR)
        poll = select.poll()
        listen = not self._end_ended and len(self._to_wire) < ROOM
        if not self._end_gone:
            # Also for nothing: that the caller has closed it all is always told.
            events = (select.POLLIN if listen else 0) | (select.POLLOUT if self._to_end else 0)
            poll.register(ours, events)
        more = not self._wire_gone and len(self._to_end) < ROOM
        events = (select.POLLIN if more else 0) | (select.POLLOUT if self._to_wire else 0)
        if events:
            poll.register(self._wire, events)
        for number, event in poll.poll():
            if number == ours.fileno():
                self._serve_end(ours, event)
            else:
                self._serve_wire(event)

    def _serve_end(self, ours: socket.socket, event: int) -> None:
        if event & select.POLLOUT:
            try:
                del self._to_end[: ours.send(self._to_end, socket.MSG_NOSIGNAL)]
            except BrokenPipeError:
                self._end_gone = True
        if event & select.POLLIN:
            data = ours.recv(_READ_SIZE)
            if data:
                self._encrypt(data)
            else:
                self._say_goodbye()
        elif event & (select.POLLHUP | select.POLLERR):
            self._say_goodbye()
            self._end_gone = True

    def _serve_wire(self, event: int) -> None:
        if event & select.POLLOUT:
            del self._to_wire[: self._wire.send(self._to_wire, socket.MSG_NOSIGNAL)]
        if event & (select.POLLIN | select.POLLHUP | select.POLLERR):
            data = self._wire.recv(_READ_SIZE)
            if data:
                self._incoming.write(data)
                self._decrypt()
            elif self._wire_ended:
                self._wire_gone = True
            else:
                raise ConnectionResetError(0, "it was cut off")

    def _encrypt(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
        self._to_wire += self._outgoing.read()

    def _decrypt(self) -> None:
        try:
            while data := self._tls.read(_READ_SIZE):
                self._to_end += data
            self._wire_ended = True
        except _MORE:
            self._to_wire += self._outgoing.read()
        except ssl.SSLZeroReturnError:
            self._wire_ended = True

    def _say_goodbye(self) -> None:
        if self._end_ended:
            return
        self._end_ended = True
        self._decrypt()
        with contextlib.suppress(ssl.SSLError):  # want-read: the daemon goes on
            self._tls.unwrap()
        self._to_wire += self._outgoing.read()


def _reason(error: OSError) -> str:
    """The reason of ``error`` in words: OpenSSL's names have underscores (``TLSV13_ALERT_CERTIFICATE_REQUIRED``)."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return error.strerror or str(error)
