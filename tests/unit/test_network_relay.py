"""Ports of IPv6 led to addresses of IPv4: streams, datagrams, their bounds and ends, over the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hyper.network import host_ports
from hyper.network.bridge import relay
from hyper.network.bridge.relay import Relay6, Target

NOWHERE = ("127.0.0.1", 1)


@asynccontextmanager
async def led(protocol: str, target: Target) -> AsyncIterator[int]:
    """The port of ::1 that leads to ``target``."""
    sock = host_ports.reserve(protocol, "::1", 0)
    leading = Relay6(sock, target)
    await leading.open()
    try:
        yield int(sock.getsockname()[1])
    finally:
        leading.close()
        leading.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything back once the other side has said its last word."""
    writer.write(await reader.read())
    writer.close()
    await writer.wait_closed()


async def test_streams_go_both_ways_and_end_as_they_do() -> None:
    """Ten megabytes there and, after the end of that direction, back."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    target = server.sockets[0].getsockname()[:2]
    data = bytes(range(250)) * 40000
    async with led("tcp", lambda: target) as port:
        reader, writer = await asyncio.open_connection("::1", port)
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(30):
            assert await reader.read() == data
        writer.close()
        await writer.wait_closed()
    server.close()


@pytest.mark.parametrize("target", [None, NOWHERE])
async def test_a_stream_that_leads_nowhere_ends(target: tuple[str, int] | None) -> None:
    """Whether the container is on no network or nobody listens."""
    async with led("tcp", lambda: target) as port:
        reader, writer = await asyncio.open_connection("::1", port)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()


async def test_clients_beyond_the_bound_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first goes on; and its end is the relay's."""
    monkeypatch.setattr(relay, "MAX_CLIENTS", 1)
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    target = server.sockets[0].getsockname()[:2]
    async with led("tcp", lambda: target) as port:
        first = await asyncio.open_connection("::1", port)
        first[1].write(b"hello")
        second = await asyncio.open_connection("::1", port)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionResetError):
                assert await second[0].read() == b""
        third = await asyncio.open_connection("::1", port)
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            assert await first[0].read() == b""
    for _, writer in (first, second, third):
        writer.close()
    server.close()


class Echo(asyncio.DatagramProtocol):
    """Answers with the sender's port in front."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(b"%d %s" % (addr[1], data), addr)


async def asked(sock: socket.socket, data: bytes) -> tuple[int, bytes]:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, data)
    async with asyncio.timeout(10):
        number, _, rest = (await loop.sock_recv(sock, 100)).partition(b" ")
    return int(number), rest


async def test_datagrams_find_back_to_who_sent_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client has a sender of its own for as long as it speaks; beyond the bound they are dropped, until another
    has been silent for long enough."""
    monkeypatch.setattr(relay, "MAX_CLIENTS", 2)
    monkeypatch.setattr(relay, "UDP_IDLE_S", 0.2)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    target = transport.get_extra_info("sockname")
    async with led("udp", lambda: target) as port:
        clients = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(3)]
        for client in clients:
            client.setblocking(False)
            client.connect(("::1", port))
        one, two = await asked(clients[0], b"a"), await asked(clients[1], b"b")
        assert (one[1], two[1]) == (b"a", b"b")
        assert one[0] != two[0]
        assert await asked(clients[0], b"c") == (one[0], b"c")
        async with asyncio.timeout(10):
            while True:  # dropped as long as both others are remembered
                await loop.sock_sendall(clients[2], b"d")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        assert (await loop.sock_recv(clients[2], 100)).endswith(b" d")
                        break
        for client in clients:
            client.close()
    transport.close()
