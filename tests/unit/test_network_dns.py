"""The embedded name server: what it answers, relays and refuses, over real sockets on the loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import cast

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from hyper.network.bridge import budget as budgets
from hyper.network.bridge import dns
from hyper.network.bridge.budget import Budget
from hyper.network.bridge.dns import BadQuery, NameServer, Relay, answer
from hyper.network.names import View

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
    """A resolver that knows one name, and says nothing of others, or ``rcode`` of all."""

    rcode: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)
        self.asked = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        question = DNSRecord.parse(data)
        if self.rcode is not None:
            refusal = question.reply()
            refusal.header.rcode = self.rcode
            self.transport.sendto(refusal.pack(), addr)
        elif str(question.q.qname) == "example.org.":
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


@pytest.mark.parametrize("rcode", [RCODE.SERVFAIL, RCODE.REFUSED, RCODE.NXDOMAIN])
async def test_who_cannot_answer_is_not_the_last_to_be_asked(
    upstream: Upstream, rcode: int
) -> None:
    """A resolver that fails or refuses leaves the question to the next one; one that knows that a name is none does
    not. If none can answer, the guest hears what the first has said."""
    upstream.rcode = rcode
    port = upstream.transport.get_extra_info("sockname")[1]
    loop = asyncio.get_running_loop()
    query = ask("example.org")
    second, knowing = await loop.create_datagram_endpoint(Upstream, local_addr=("127.0.0.2", port))
    both = ("127.0.0.1", "127.0.0.2")
    reply = parsed(await Relay().ask(LOOPBACK, query, both, tcp=False))
    final = rcode == RCODE.NXDOMAIN
    assert (reply.header.rcode, knowing.asked) == ((rcode, 0) if final else (RCODE.NOERROR, 1))
    second.close()
    alone = parsed(await Relay().ask(LOOPBACK, query, both[:1], tcp=False))
    assert alone.header.rcode == rcode


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


def test_each_guest_has_a_budget() -> None:
    """So much at once, so much a second after that, whatever others do; a debt is paid by waiting."""
    now = 100.0
    budget = Budget(8, 5, clock=lambda: now)
    assert [budget.take("a") for _ in range(7)] == [True] * 5 + [False] * 2
    assert budget.take("b")
    now += 0.125
    assert [budget.take("a"), budget.take("a")] == [True, False]
    assert [budget.debt_s("a") for _ in range(3)] == [0.125, 0.25, 0.375]
    assert not budget.take("a")
    now += 1000.0
    assert [budget.take("a") for _ in range(6)] == [True] * 5 + [False]


def test_guests_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked last is remembered; addresses cannot fill the memory."""
    monkeypatch.setattr(budgets, "MAX_REMEMBERED", 2)
    budget = Budget(1, 1, clock=lambda: 0.0)
    assert [budget.take(name) for name in ("a", "b", "b", "c", "b")] == [
        *(True, True, False, True, False)
    ]
    assert budget.take("a")


class Told(Budget):
    """A budget that knows who has asked it."""

    def __init__(self) -> None:
        super().__init__(1, 1000)
        self.asked: list[Hashable] = []

    def debt_s(self, guest: Hashable) -> float:
        self.asked.append(guest)
        return super().debt_s(guest)


async def test_over_tcp_each_question_counts_and_one_guest_keeps_nobody_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The budget is asked before each question is read; beyond its share of connections a guest's end at once."""
    monkeypatch.setattr(dns, "MAX_CONNECTIONS_OF_ONE", 1)
    server = NameServer(lambda _: view(), Relay())
    budget = server._budget = Told()
    await server.open(LOOPBACK, port=0)
    assert server._server is not None
    port = server._server.sockets[0].getsockname()[1]
    query = ask("web")
    first = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        first[1].write(len(query).to_bytes(2, "big") + query)
        await first[0].readexactly(int.from_bytes(await first[0].readexactly(2), "big"))
    assert budget.asked[:3] == [LOOPBACK] * 3
    second = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionResetError):
        assert await second[0].read(1) == b""
    other = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
    other[1].write(len(query).to_bytes(2, "big") + query)
    assert await other[0].readexactly(2)
    for _, writer in (first, second, other):
        writer.close()
    await server.close()


async def test_strangers_are_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    server = NameServer(lambda _: None, Relay())
    await server.open(LOOPBACK, port=0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await over_udp(server, ask("web"))
    await server.close()
