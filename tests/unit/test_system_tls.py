"""TLS on memory buffers: half-close, flow control, take-over, and what strangers may try. Client: Hyper's own relay."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hyper.client.errors import ConnectionLost, DaemonUnreachable
from hyper.client.tls import TlsFiles, TlsSocket, secure
from hyper.errors import InvalidRequest
from hyper.system import tls
from tests.support.certificates import Authority, authority

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("tls") / "stranger")


def client_files(ours: Authority, *, trusts: Authority, known: bool = True) -> TlsFiles:
    certificate = str(ours.folder / "cert.pem") if known else None
    key = str(ours.folder / "key.pem") if known else None
    return TlsFiles(ca=str(trusts.folder / "ca.pem"), certificate=certificate, key=key, verify=True)


class Server:
    """A listening server; each connection is given to ``handler`` as streams."""

    def __init__(self, ca: Authority, handler: Handler) -> None:
        folder = ca.folder
        self.context = tls.server_context(
            certificate=folder / "server.pem",
            key=folder / "server-key.pem",
            clients_ca=folder / "ca.pem",
        )
        self.listener = tls.TlsListener(self.context, self._protocol)
        self._handler = handler
        self.port = 0

    def _protocol(self) -> asyncio.BaseProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._handler)

    def connect(self, files: TlsFiles) -> socket.socket:
        """A client's plain-looking socket. Blocks: call it in a thread."""
        return secure(socket.create_connection(("127.0.0.1", self.port), 10), "127.0.0.1", files)

    def tcp(self) -> socket.socket:
        """A TCP connection on which nothing was said."""
        return socket.create_connection(("127.0.0.1", self.port), 10)


@asynccontextmanager
async def serving(ca: Authority, handler: Handler) -> AsyncIterator[Server]:
    made = Server(ca, handler)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(made.listener, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.listener.abort()
        await asyncio.sleep(0)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything back; the output ends after the input did."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write(b"end")
    writer.close()


def exchange(sock: socket.socket, data: bytes) -> bytes:
    """Send all, close our half, and only then read."""
    with sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def exchange_at_once(sock: socket.socket, data: bytes) -> bytes:
    """Send and read at the same time."""
    received = bytearray()
    with sock:
        sock.setblocking(False)
        left = memoryview(data)
        closed = False
        while True:
            try:
                if left:
                    left = left[sock.send(left[:65536]) :]
                elif not closed:
                    sock.shutdown(socket.SHUT_WR)
                    closed = True
            except BlockingIOError:
                pass
            try:
                piece = sock.recv(65536)
            except BlockingIOError:
                continue
            if not piece:
                return bytes(received)
            received += piece


async def test_our_half_may_close_first(ca: Authority) -> None:
    """What Go's clients do: end of input, then the output. asyncio's own TLS loses it."""
    async with serving(ca, echo) as server:
        sock = await asyncio.to_thread(server.connect, client_files(ca, trusts=ca))
        assert await asyncio.to_thread(exchange, sock, b"hello ") == b"hello end"


async def test_thirty_megabytes_both_ways(ca: Authority) -> None:
    """Byte-exact, with both ends held up by each other on the way."""
    data = os.urandom(MEGABYTE) * 30
    async with serving(ca, echo) as server:
        sock = await asyncio.to_thread(server.connect, client_files(ca, trusts=ca))
        answer = await asyncio.to_thread(exchange_at_once, sock, data)
    assert hashlib.sha256(answer).digest() == hashlib.sha256(data + b"end").digest()


async def test_the_server_may_close_its_half_first(ca: Authority) -> None:
    """write_eof tells the client, and what it then says still arrives, also what came before that and was not read."""
    heard = asyncio.get_running_loop().create_future()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(3) == b"one"
        writer.write(b"bye")
        writer.write_eof()
        heard.set_result(await reader.read())
        writer.close()

    def client(sock: socket.socket) -> bytes:
        with sock:
            sock.sendall(b"onetwo")
            said = b"".join(iter(lambda: sock.recv(100), b""))
            sock.sendall(b"three")
            sock.shutdown(socket.SHUT_WR)
            return said

    async with serving(ca, talk) as server:
        sock = await asyncio.to_thread(server.connect, client_files(ca, trusts=ca))
        assert await asyncio.to_thread(client, sock) == b"bye"
        assert await heard == b"twothree"


async def test_a_reader_that_pauses_holds_the_sender_up(ca: Authority) -> None:
    """A server that does not read takes a bounded amount, whatever the client sends."""
    go = asyncio.Event()
    total = asyncio.get_running_loop().create_future()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        total.set_result(len(await reader.read()))
        writer.close()

    def push(sock: socket.socket) -> int:
        sock.settimeout(0.5)
        sent = 0
        try:
            while True:
                sent += sock.send(b"x" * 65536)
        except TimeoutError:
            return sent

    async with serving(ca, slow) as server:
        sock = await asyncio.to_thread(server.connect, client_files(ca, trusts=ca))
        sent = await asyncio.to_thread(push, sock)
        # The relay's and the kernel's buffers, and StreamReader's limit.
        assert sent < 16 * MEGABYTE
        go.set()
        sock.shutdown(socket.SHUT_WR)
        assert await total == sent
        sock.close()


async def test_what_was_written_before_close_arrives(ca: Authority) -> None:
    """Also while the client still sends: no reset takes it away."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"y" * MEGABYTE)
        writer.close()

    async with serving(ca, answer) as server:
        sock = await asyncio.to_thread(server.connect, client_files(ca, trusts=ca))
        sock.sendall(b"x" * 100_000)
        got = await asyncio.to_thread(lambda: b"".join(iter(lambda: sock.recv(65536), b"")))
        sock.close()
    assert got == b"y" * MEGABYTE


async def test_who_gets_in(
    ca: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No certificate, or another authority's: told, and nothing above ever hears of it. So for the server's."""
    heard: list[bytes] = []
    gone: asyncio.Queue[tls.TlsProtocol] = asyncio.Queue()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()

    async with serving(ca, note) as server:
        forget = server.listener.forget

        def forgotten(connection: tls.TlsProtocol) -> None:
            forget(connection)
            gone.put_nowait(connection)

        monkeypatch.setattr(server.listener, "forget", forgotten)
        for files in (
            client_files(stranger, trusts=ca),
            client_files(ca, trusts=ca, known=False),
        ):
            # With TLS 1.3 the client has shaken hands before the server looks at its certificate.
            sock = await asyncio.to_thread(server.connect, files)
            with pytest.raises(ConnectionLost, match=r"(?i)alert|certificate"):
                await asyncio.to_thread(sock.recv, 1)
            sock.close()
        with pytest.raises(DaemonUnreachable, match="certificate verify failed"):
            await asyncio.to_thread(server.connect, client_files(ca, trusts=stranger))
        for _ in range(3):  # a client knows before the server whose certificate it refuses
            await gone.get()
        assert heard == []
        assert server.listener.handshakes == 0


@pytest.mark.parametrize("asked", [b"", b"GET / HTTP/1.1"])
def test_the_reason_is_told_whatever_was_on_its_way(asked: bytes) -> None:
    """The daemon's alert may come before the relay has taken the request from its end, which is reset then."""
    ours, theirs = socket.socketpair()
    with TlsSocket(fileno=theirs.detach()) as end:
        end.sendall(asked)
        end.failure = "certificate required"
        ours.close()
        with pytest.raises(ConnectionLost, match="certificate required"):
            end.recv(1)
        with pytest.raises(ConnectionLost, match="certificate required"):
            end.sendall(b"x")


async def test_old_protocols_are_refused(ca: Authority) -> None:
    """TLS 1.2 works, 1.1 does not."""
    async with serving(ca, echo) as server:
        for version, works in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)):
            context = client_files(ca, trusts=ca).context()
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.options &= ~ssl.OP_NO_TLSv1_1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of naming 1.1
                context.minimum_version = context.maximum_version = version
            assert await asyncio.to_thread(_shakes_hands, server, context) is works


def _shakes_hands(server: Server, context: ssl.SSLContext) -> bool:
    with server.tcp() as sock:
        try:
            context.wrap_socket(sock, server_hostname="127.0.0.1").close()
        except (ssl.SSLError, ConnectionError):
            return False
        return True


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"\0"]
)
async def test_garbage(ca: Authority, garbage: bytes) -> None:
    """It is closed or waited for, never answered by the server above; others are served meanwhile."""
    async with serving(ca, echo) as server:
        with server.tcp() as bad:
            bad.sendall(garbage)
            sock = await asyncio.to_thread(server.connect, client_files(ca, trusts=ca))
            assert await asyncio.to_thread(exchange, sock, b"x") == b"xend"


async def test_handshakes_end_in_time_and_are_few(
    ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that says nothing is dropped; more of them than HANDSHAKES_MAX at once."""
    monkeypatch.setattr(tls, "HANDSHAKES_MAX", 3)
    monkeypatch.setattr(tls, "HANDSHAKE_S", 0.3)
    monkeypatch.setattr(tls, "LINGER_S", 0.1)
    async with serving(ca, echo) as server:
        socks = [server.tcp() for _ in range(5)]
        ends = await asyncio.gather(*(asyncio.to_thread(_end_of, sock) for sock in socks))
        assert ends == [b""] * 5
        for sock in socks:
            sock.close()
        assert server.listener.handshakes == 0
        monkeypatch.setattr(tls, "HANDSHAKE_S", 10.0)
        sock = await asyncio.to_thread(server.connect, client_files(ca, trusts=ca))
        assert await asyncio.to_thread(exchange, sock, b"x") == b"xend"


def _end_of(sock: socket.socket) -> bytes:
    try:
        return sock.recv(100)
    except ConnectionResetError:
        return b""


async def test_an_end_without_goodbye_is_no_end_of_input(ca: Authority) -> None:
    """A connection that was cut is lost, not half-closed: nobody may end a program's input for the client."""
    closed = asyncio.get_running_loop().create_future()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):  # if the cut left something unread
            assert await reader.read() == b"x"
        closed.set_result(writer.is_closing())
        writer.close()

    async with serving(ca, watch) as server:
        context = client_files(ca, trusts=ca).context()

        def cut() -> None:
            sock = server.tcp()
            wrapped = context.wrap_socket(sock, server_hostname="127.0.0.1")
            wrapped.sendall(b"x")
            wrapped.close()

        await asyncio.to_thread(cut)
        assert await closed


def test_files_that_are_none(ca: Authority, tmp_path: Path) -> None:
    """The error names them, on either side."""
    (tmp_path / "bad").write_text("no certificate")
    key = ca.folder / "server-key.pem"
    good = ca.folder / "server.pem"
    for certificate, authority_file in (
        (tmp_path / "bad", None),
        (good, tmp_path / "bad"),
        (tmp_path / "no", None),
    ):
        with pytest.raises(InvalidRequest, match=r"bad|no"):
            tls.server_context(certificate=certificate, key=key, clients_ca=authority_file)
    with pytest.raises(InvalidRequest, match="bad"):
        TlsFiles(ca=str(tmp_path / "bad"), certificate=None, key=None, verify=True).context()
