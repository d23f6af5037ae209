"""TLS for a server's connections, as a transport that can be half-closed and taken over.

asyncio's own TLS transport closes the whole connection when the peer closes its half. Docker's clients do that at the
end of their input and then wait for the output (`docker exec -i`), so TLS is terminated here, on memory buffers,
between a plain TCP transport and the protocol above (docs/decisions/0012-tls.md).

What a client can make us hold is bounded: HANDSHAKES_MAX handshakes of HANDSHAKE_S, and one read of the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from hyper.errors import InvalidRequest

logger = logging.getLogger(__name__)

#: From the connection to the end of its handshake.
HANDSHAKE_S: Final = 10.0
#: Handshakes under way at once; a connection above that is dropped.
HANDSHAKES_MAX: Final = 256
#: How long a closed connection still takes what the peer sends: closing at once would make the kernel
#: answer with a reset, and that takes from the peer what it has not read yet.
LINGER_S: Final = 2.0
#: The most one TLS record holds; no read returns more.
_RECORD_SIZE: Final = 16 * 1024
_MORE: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


def server_context(*, certificate: Path, key: Path, clients_ca: Path | None) -> ssl.SSLContext:
    """A server's context: TLS 1.2 or newer, no renegotiation. With ``clients_ca`` only clients it signed are let in.

    Raises:
        InvalidRequest: a file is unreadable or does not hold what it should.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        # An encrypted key would be asked for on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise InvalidRequest(
            f"could not load X509 key pair (cert: {str(certificate)!r}, key: {str(key)!r}): {error}"
        ) from None
    if clients_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(clients_ca)
        except (OSError, ValueError) as error:
            raise InvalidRequest(
                f"could not read CA certificate {str(clients_ca)!r}: {error}"
            ) from None
    return context


class TlsListener:
    """The maker of the protocols of one listening socket, which owns their connections."""

    def __init__(
        self, context: ssl.SSLContext, factory: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        """A listener whose ``factory`` makes the protocol above TLS, once the handshake is done."""
        self._context = context
        self._factory = factory
        self._connections: set[TlsProtocol] = set()
        self.handshakes = 0

    def __call__(self) -> TlsProtocol:
        """The protocol for one TCP connection."""
        made = TlsProtocol(self._context, self._factory, self)
        self._connections.add(made)
        return made

    def forget(self, connection: TlsProtocol) -> None:
        """The connection of ``protocol`` is gone."""
        self._connections.discard(connection)

    def abort(self) -> None:
        """The connections are all gone."""
        for connection in list(self._connections):
            connection.abort()


class TlsProtocol(asyncio.Protocol):
    """The protocol between a TCP transport below and a :class:`TlsTransport`, whose protocol knows nothing of TLS."""

    def __init__(
        self,
        context: ssl.SSLContext,
        factory: Callable[[], asyncio.BaseProtocol],
        owner: TlsListener,
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._factory = factory
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._below: asyncio.Transport | None = None
        self._handshaking = False
        self._transport: TlsTransport | None = None
        self._paused = False
        self._read_all = False
        self._shut = False
        self._closing = False
        #: Decrypted, and not delivered before our half was closed.
        self._stash = bytearray()

    # What the TCP transport tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._below = transport
        if self._owner.handshakes >= HANDSHAKES_MAX:
            transport.abort()
            return
        self._owner.handshakes += 1
        self._handshaking = True
        self._timer = self._loop.call_later(HANDSHAKE_S, self._give_up, "no handshake in time")

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return  # lingering: taken, so that the peer gets to read what we sent
        self._incoming.write(data)
        if self._transport is None:
            self._shake_hands()
        if self._transport is not None:
            self._deliver()

    def eof_received(self) -> bool:
        if self._closing:
            return False
        if not self._read_all:
            # Without TLS's own goodbye this may be anybody's end, not the peer's.
            self.abort()
            return False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.forget(self)
        self._end_handshake()
        self._stop_timer()
        self._below = None
        if self._transport is not None:
            self._lose(exc)

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.protocol.resume_writing()

    # What the transport above asks for.

    @property
    def below(self) -> asyncio.Transport | None:
        """The TCP transport, None once it is gone."""
        return self._below

    @property
    def tls(self) -> ssl.SSLObject:
        """The TLS state (peer's certificate, cipher)."""
        return self._tls

    @property
    def closing(self) -> bool:
        """Whether the connection is closing: nothing is written any more."""
        return self._closing or self._below is None

    @property
    def reading(self) -> bool:
        """Whether bytes of the peer's are delivered."""
        return not (self._paused or self.closing)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """The bytes ``data`` are encrypted and on their way."""
        if self.closing or self._shut:
            return
        view = memoryview(data).cast("B")
        try:
            while view:
                view = view[self._tls.write(view) :]
        except ssl.SSLError as error:
            self._give_up(str(error))
            return
        self._flush()

    def shut(self) -> None:
        """Our half of the connection is closed (close_notify); the peer's may go on."""
        if self.closing or self._shut:
            return
        self._shut = True
        # OpenSSL reads on while it says goodbye, and would stumble over data that still waits to be decrypted.
        self._stash += self._decrypt_all()
        with contextlib.suppress(ssl.SSLError):  # want-read: the peer has not said goodbye yet
            self._tls.unwrap()
        self._flush()

    def pause(self) -> None:
        """Delivery is stopped until :meth:`resume`, and the peer is held up."""
        self._paused = True
        if self._below is not None and not self._closing:
            self._below.pause_reading()

    def resume(self) -> None:
        """Delivery goes on, soon."""
        if self._paused:
            self._paused = False
            self._loop.call_soon(self._resume)

    def close(self) -> None:
        """The peer is told; once what was written is sent, it has LINGER_S to close its half."""
        if not self.closing:
            self.shut()
            self._leave()

    def abort(self) -> None:
        """The connection is gone at once."""
        if self._below is not None:
            self._below.abort()

    # Inside.

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except _MORE:
            self._flush()
            return
        except ssl.SSLError as error:
            self._flush()  # the alert says why
            self._give_up(str(error))
            return
        self._flush()
        self._end_handshake()
        self._stop_timer()
        protocol = self._factory()
        self._transport = TlsTransport(self, protocol)
        protocol.connection_made(self._transport)

    def _deliver(self) -> None:
        """The bytes that have arrived go to the protocol above, until it is paused."""
        assert self._transport is not None
        while self.reading and not self._read_all:
            data = self._take()
            if not data:
                break
            self._transport.protocol.data_received(data)

    def _take(self) -> bytes:
        if self._stash:
            data = bytes(self._stash)
            self._stash.clear()
            return data
        try:
            data = self._tls.read(_RECORD_SIZE)
        except _MORE:
            self._flush()  # an answer to a key update
            return b""
        except ssl.SSLZeroReturnError:
            data = b""
        except ssl.SSLError as error:
            self._give_up(str(error))
            return b""
        if not data:
            self._end_of_input()
        return data

    def _decrypt_all(self) -> bytes:
        pieces = []
        with contextlib.suppress(
            ssl.SSLError
        ):  # want-read, or an end that the next read finds again
            while piece := self._tls.read(_RECORD_SIZE):
                pieces.append(piece)
        return b"".join(pieces)

    def _end_of_input(self) -> None:
        self._read_all = True
        assert self._transport is not None
        if not self._transport.protocol.eof_received():
            self.close()

    def _resume(self) -> None:
        if self._transport is None or not self.reading:
            return
        self._deliver()
        if self.reading and self._below is not None:
            self._below.resume_reading()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and self._below is not None:
            self._below.write(data)

    def _give_up(self, why: str) -> None:
        if self._below is not None and not self._closing:
            logger.debug("TLS: %s: %s", self._below.get_extra_info("peername"), why)
            self._leave()

    def _leave(self) -> None:
        """The connection is left: no more is written or delivered; what was written is sent."""
        self._closing = True
        self._end_handshake()
        self._stop_timer()
        self._stash.clear()
        self._loop.call_soon(self._lose, None)
        if self._below is not None and not self._below.is_closing():
            self._below.write_eof()
            self._below.resume_reading()
            self._timer = self._loop.call_later(LINGER_S, self._end_linger)

    def _end_linger(self) -> None:
        if self._below is None:
            return
        if self._below.get_write_buffer_size():
            self._timer = self._loop.call_later(LINGER_S, self._end_linger)
        else:
            self._below.abort()

    def _end_handshake(self) -> None:
        if self._handshaking:
            self._handshaking = False
            self._owner.handshakes -= 1

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lose(self, exc: Exception | None) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.protocol.connection_lost(exc)


class TlsTransport(asyncio.Transport):
    """A TLS connection after its handshake, as one of asyncio's transports.

    It does not tell its ``sslcontext``: asyncio's streams take a transport that does for one that cannot half-close.
    """

    def __init__(self, connection: TlsProtocol, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._connection = connection
        self.set_protocol(protocol)

    @property
    def protocol(self) -> asyncio.Protocol:
        """The protocol that is told of what happens here."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._connection.tls
        if name == "peercert":
            return self._connection.tls.getpeercert()
        below = self._connection.below
        return default if below is None else below.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._connection.closing

    def is_reading(self) -> bool:
        return self._connection.reading

    def pause_reading(self) -> None:
        self._connection.pause()

    def resume_reading(self) -> None:
        self._connection.resume()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._connection.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self._connection.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._connection.shut()

    def get_write_buffer_size(self) -> int:
        below = self._connection.below
        return 0 if below is None else below.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        below = self._connection.below
        return (0, 0) if below is None else below.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._connection.below is not None:
            self._connection.below.set_write_buffer_limits(high, low)

    def close(self) -> None:
        self._connection.close()

    def abort(self) -> None:
        self._connection.abort()
