"""The embedded name server: what it answers, relays and refuses, over real sockets on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import cast

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from hyper.network import dns
from hyper.network.dns import BadQuery, NameServer, Relay, View, answer

LOOPBACK = IPv4Address("127.0.0.1")
WEB = [IPv4Address("172.24.0.2"), IPv4Address("172.24.0.3")]


def view(*resolvers: str) -> View:
    return View(
        addresses=lambda name: {"web": WEB, "many": WEB * 50}.get(name),
        name=lambda address: "web.front" if address == WEB[0] else None,
        resolvers=resolvers,
    )


def ask(name: str, kind: str = "A") -> bytes:
    return bytes(DNSRecord.question(name, kind).pack())


def parsed(reply: bytes | None) -> DNSRecord:
    assert reply is not None
    return DNSRecord.parse(reply)


def test_names_are_answered_whatever_their_case() -> None:
    for name in ("web", "WEB", "Web."):
        found = parsed(answer(ask(name), view()))
        assert sorted(str(item.rdata) for item in found.rr) == [str(address) for address in WEB]
        assert found.header.ra == 1


def test_a_name_of_ours_has_no_other_records() -> None:
    """No data, not "no such name": a resolver would give the name up for IPv4 too."""
    for kind in ("AAAA", "MX", "TXT"):
        found = parsed(answer(ask("web", kind), view()))
        assert (found.header.rcode, found.rr) == (RCODE.NOERROR, [])


def test_ipv6_addresses_are_for_who_asks_for_them() -> None:
    """A and AAAA each have their own; ANY has both."""
    six = IPv6Address("fd00::2")
    both = replace(view(), addresses=lambda _: [WEB[0], six])
    for kind, wanted in (
        ("A", {str(WEB[0])}),
        ("AAAA", {str(six)}),
        ("ANY", {str(WEB[0]), str(six)}),
    ):
        assert {str(item.rdata) for item in parsed(answer(ask("x", kind), both)).rr} == wanted


def test_addresses_are_answered_with_names() -> None:
    found = parsed(answer(ask("2.0.24.172.in-addr.arpa", "PTR"), view()))
    assert str(found.rr[0].rdata) == "web.front."
    for other in ("9.0.24.172.in-addr.arpa", "x.in-addr.arpa", "in-addr.arpa", "1.2.in-addr.arpa"):
        assert answer(ask(other, "PTR"), view()) is None


def test_what_is_not_ours_is_for_a_resolver() -> None:
    assert answer(ask("example.org"), view()) is None


def test_answers_fit_into_a_datagram() -> None:
    reply = answer(ask("many"), view())
    assert len(parsed(reply).rr) == dns.MAX_ANSWERS
    assert len(reply or b"") <= 512


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"\0" * 12,
        ask("web")[:-1],
        ask("web")[:2] + b"\x81" + ask("web")[3:],  # a response
        ask("web")[:5] + b"\2" + ask("web")[6:],  # two questions
        ask("web")[:12] + b"\xc0\x0c\0\1\0\1",  # a name that is itself
        ask("web") + bytes(dns.MAX_QUERY),
    ],
)
def test_nonsense_is_not_answered(query: bytes) -> None:
    with pytest.raises(BadQuery):
        answer(query, view())


class Upstream(asyncio.DatagramProtocol):
    """A resolver that knows one name, and says nothing of others."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)
        self.asked = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        question = DNSRecord.parse(data)
        if str(question.q.qname) == "example.org.":
            reply = question.reply()
            reply.add_answer(RR("example.org", QTYPE.A, rdata=A("192.0.2.1"), ttl=1))
            forged = bytearray(reply.pack())
            forged[0] ^= 1
            self.transport.sendto(bytes(forged), addr)
            self.transport.sendto(reply.pack(), addr)


@pytest.fixture
async def upstream(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Upstream]:
    loop = asyncio.get_running_loop()
    transport, resolver = await loop.create_datagram_endpoint(Upstream, local_addr=("127.0.0.1", 0))
    monkeypatch.setattr(dns, "PORT", transport.get_extra_info("sockname")[1])
    monkeypatch.setattr(dns, "RESOLVER_TIMEOUT_S", 0.3)
    yield resolver
    transport.close()


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    def who(client: IPv4Address) -> View | None:
        return view("127.0.0.1") if client == LOOPBACK else None

    made = NameServer(who, Relay())
    await made.open(LOOPBACK, port=0)
    yield made
    await made.close()


async def over_udp(server: NameServer, query: bytes) -> bytes:
    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            reply.set_result(data)

    loop = asyncio.get_running_loop()
    reply: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=server.address)
    try:
        transport.sendto(query)
        async with asyncio.timeout(5):
            return await reply
    finally:
        transport.close()


async def test_relays_what_others_know(server: NameServer, upstream: Upstream) -> None:
    """The right answer comes back, not the forged one before it."""
    query = ask("example.org")
    found = parsed(await over_udp(server, query))
    assert str(found.rr[0].rdata) == "192.0.2.1"
    assert found.header.id == DNSRecord.parse(query).header.id
    assert upstream.asked == 1
    await over_udp(server, ask("web"))
    assert upstream.asked == 1


async def test_a_silent_resolver_is_a_failure_in_time(
    server: NameServer, upstream: Upstream
) -> None:
    found = parsed(await over_udp(server, ask("nobody.example")))
    assert found.header.rcode == RCODE.SERVFAIL


async def test_without_resolvers_nothing_is_asked() -> None:
    reply = await Relay().ask(LOOPBACK, ask("example.org"), (), tcp=False)
    assert parsed(reply).header.rcode == RCODE.SERVFAIL


async def test_one_guest_cannot_take_all(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond its share a guest is told at once; another still gets its answer."""
    monkeypatch.setattr(dns, "MAX_PENDING_OF_ONE", 2)
    relay = Relay()
    silent = [
        asyncio.create_task(relay.ask(LOOPBACK, ask("x.example"), ("127.0.0.1",), tcp=False))
        for _ in range(2)
    ]
    await asyncio.sleep(0)
    refused = await relay.ask(LOOPBACK, ask("example.org"), ("127.0.0.1",), tcp=False)
    assert parsed(refused).header.rcode == RCODE.SERVFAIL
    other = await relay.ask(WEB[0], ask("example.org"), ("127.0.0.1",), tcp=False)
    assert parsed(other).header.rcode == RCODE.NOERROR
    await asyncio.gather(*silent)


async def test_over_tcp() -> None:
    """Several questions on one connection; one that is too long ends it."""
    server = NameServer(lambda _: view(), Relay())
    await server.open(LOOPBACK, port=0)
    assert server._server is not None
    port = server._server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        query = ask("web")
        writer.write(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(await reader.readexactly(2), "big")
        assert len(parsed(await reader.readexactly(size)).rr) == 2
    writer.write(b"\xff\xff" + bytes(dns.MAX_QUERY))
    assert await reader.read(1) == b""
    writer.close()
    await server.close()


async def test_strangers_are_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    server = NameServer(lambda _: None, Relay())
    await server.open(LOOPBACK, port=0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await over_udp(server, ask("web"))
    await server.close()
