"""The embedded name server: containers by their names, everything else from the resolvers it is told.

One ``NameServer`` listens on each network's gateway. What comes from a guest is hostile: only a header and one question
are parsed, each guest has so many questions a second and so many under way, each of these has a deadline, answers are
relayed only when they fit the question. (Most of a flood is dropped before it comes here: ``rules``.)

Source: RFC 1035 (4.1 format, 4.2 transport), RFC 2308 (no data).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from ipaddress import IPv4Address
from typing import Final, cast

from dnslib import (
    AAAA,
    PTR,
    QTYPE,
    RCODE,
    RR,
    A,
    DNSBuffer,
    DNSError,
    DNSHeader,
    DNSQuestion,
    DNSRecord,
)

from hyper.errors import HyperError
from hyper.network.bridge.budget import MAX_QUESTIONS_A_SECOND, MAX_QUESTIONS_AT_ONCE, Budget
from hyper.network.names import View
from hyper.system import socket as sockets

logger = logging.getLogger(__name__)

PORT: Final = 53
#: As Docker's: long enough to matter to nobody, since names are asked for anew on each connect.
TTL_S: Final = 600
MAX_QUERY: Final = 4096
MAX_ANSWERS: Final = 16
#: Questions that wait for a resolver, of all guests and of one.
MAX_PENDING: Final = 512
MAX_PENDING_OF_ONE: Final = 64
#: Over TCP, of all guests of a network and of one.
MAX_CONNECTIONS: Final = 64
MAX_CONNECTIONS_OF_ONE: Final = 8
RESOLVER_TIMEOUT_S: Final = 3.0
MAX_RESOLVERS: Final = 3
IDLE_TIMEOUT_S: Final = 10.0
_SUFFIX: Final = ".in-addr.arpa"
#: What a resolver says that another one may know better.
_UNHELPFUL: Final = frozenset({RCODE.SERVFAIL, RCODE.REFUSED})


class BadQuery(ValueError):
    """A query that is no question we can even refuse."""


def answer(query: bytes, view: View) -> bytes | None:
    """The answer to ``query`` if it is ours to give; None: a resolver knows.

    Raises:
        BadQuery: the query is not to be answered at all.
    """
    header, question = _parse(query)
    if header.opcode != 0:
        return _reply(header, question, RCODE.NOTIMP)
    name = str(question.qname).rstrip(".").lower()
    if question.qclass != 1 or not name:
        return None
    if question.qtype == QTYPE.PTR and name.endswith(_SUFFIX):
        found = _reverse(name, view)
        if found is None:
            return None
        return _reply(header, question, records=[PTR(found)])
    addresses = view.addresses(name)
    if addresses is None:
        return None
    # The name exists: it has no other records.
    kinds = {4: (QTYPE.A, QTYPE.ANY), 6: (QTYPE.AAAA, QTYPE.ANY)}
    wanted = [address for address in addresses if question.qtype in kinds[address.version]]
    chosen = random.sample(wanted, min(len(wanted), MAX_ANSWERS))
    records = [(A if address.version == 4 else AAAA)(str(address)) for address in chosen]
    return _reply(header, question, records=records)


def failure(query: bytes) -> bytes:
    """The answer that no resolver could be asked. Raises: BadQuery."""
    return _reply(*_parse(query), RCODE.SERVFAIL)


def _parse(query: bytes) -> tuple[DNSHeader, DNSQuestion]:
    if not 12 < len(query) <= MAX_QUERY:
        raise BadQuery("of a wrong size")
    try:
        buffer = DNSBuffer(query)
        header = DNSHeader.parse(buffer)
        if header.qr or header.q != 1:
            raise BadQuery("no single question")
        return header, DNSQuestion.parse(buffer)
    except (DNSError, UnicodeError) as error:
        raise BadQuery(str(error)) from None


def _reverse(name: str, view: View) -> str | None:
    try:
        address = IPv4Address(".".join(reversed(name.removesuffix(_SUFFIX).split("."))))
    except ValueError:
        return None
    return view.name(address)


def _reply(
    header: DNSHeader,
    question: DNSQuestion,
    rcode: int = RCODE.NOERROR,
    *,
    records: Sequence[A | AAAA | PTR] = (),
) -> bytes:
    head = DNSHeader(id=header.id, qr=1, aa=0, ra=1, rd=header.rd, rcode=rcode)
    made = DNSRecord(head, q=question)
    kind = {A: QTYPE.A, AAAA: QTYPE.AAAA, PTR: QTYPE.PTR}
    for record in records:
        made.add_answer(RR(question.qname, kind[type(record)], ttl=TTL_S, rdata=record))
    return bytes(made.pack())


def _fits(query: bytes, reply: bytes) -> bool:
    """Whether ``reply`` is a response to ``query``. Only the resolver could send it: the socket is connected."""
    return len(reply) >= 12 and reply[:2] == query[:2] and bool(reply[2] & 0x80)


class Relay:
    """The relay that asks resolvers on behalf of guests, within bounds that all name servers share."""

    def __init__(self) -> None:
        self._pending: Counter[IPv4Address] = Counter()

    async def ask(
        self, client: IPv4Address, query: bytes, resolvers: Sequence[str], *, tcp: bool
    ) -> bytes:
        """The first resolver's answer that is one; else an unhelpful one, or that none came. Raises: BadQuery."""
        full = self._pending.total() >= MAX_PENDING
        if full or self._pending[client] >= MAX_PENDING_OF_ONE:
            return failure(query)
        self._pending[client] += 1
        unhelpful: bytes | None = None
        try:
            for resolver in resolvers[:MAX_RESOLVERS]:
                with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                    async with asyncio.timeout(RESOLVER_TIMEOUT_S):
                        reply = await (_by_tcp if tcp else _by_udp)(query, resolver)
                    if reply[3] & 0x0F not in _UNHELPFUL:
                        return reply
                    unhelpful = unhelpful or reply
        finally:
            self._pending[client] -= 1
            if not self._pending[client]:
                del self._pending[client]
        return unhelpful or failure(query)


class _Question(asyncio.DatagramProtocol):
    def __init__(self, query: bytes) -> None:
        self._query = query
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if _fits(self._query, data) and not self.reply.done():
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)


async def _by_udp(query: bytes, resolver: str) -> bytes:
    loop = asyncio.get_running_loop()
    # A socket for each: its port is one more thing a forger would have to guess.
    transport, question = await loop.create_datagram_endpoint(
        lambda: _Question(query), remote_addr=(resolver, PORT)
    )
    try:
        transport.sendto(query)
        return await question.reply
    finally:
        transport.close()


async def _by_tcp(query: bytes, resolver: str) -> bytes:
    reader, writer = await asyncio.open_connection(resolver, PORT)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        while True:
            size = int.from_bytes(await reader.readexactly(2), "big")
            reply = await reader.readexactly(size)
            if _fits(query, reply):
                return reply
    finally:
        writer.transport.abort()


class NameServer(asyncio.DatagramProtocol):
    """The name server of one network, on its gateway. ``view`` of a guest's address: its view (None: unknown)."""

    def __init__(self, view: Callable[[IPv4Address], View | None], relay: Relay) -> None:
        self._view = view
        self._relay = relay
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: Counter[IPv4Address] = Counter()
        self._budget = Budget(MAX_QUESTIONS_A_SECOND, MAX_QUESTIONS_AT_ONCE)

    async def open(self, gateway: IPv4Address, *, device: str = "", port: int = PORT) -> None:
        """The name server answers on ``gateway`` what comes in by ``device`` ("": by any). Close it.

        Raises:
            HyperError: another server has the port.
        """
        loop = asyncio.get_running_loop()
        where = (str(gateway), port)
        try:
            datagrams = sockets.bound(socket.SOCK_DGRAM, where, device=device)
            await loop.create_datagram_endpoint(lambda: self, sock=datagrams)
            streams = sockets.bound(socket.SOCK_STREAM, where, device=device)
            self._server = await asyncio.start_server(self._serve, sock=streams, limit=MAX_QUERY)
        except OSError as error:
            await self.close()
            why = error.strerror or str(error)
            raise HyperError(f"cannot serve names on {gateway}: {why}") from error

    async def close(self) -> None:
        """The name server answers no more."""
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def address(self) -> tuple[str, int]:
        """The address and port on which the name server answers."""
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        return host, port

    # asyncio.DatagramProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own class is no subclass of what it implements.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        client = IPv4Address(addr[0])
        if not self._budget.take(client):
            return
        view = self._view(client)
        if view is None or self._transport is None:
            return
        try:
            reply = answer(data, view)
            if reply is not None:
                self._transport.sendto(reply, addr)
            elif len(self._tasks) < MAX_PENDING:
                self._spawn(self._relayed(client, data, view, addr))
        except BadQuery as error:
            logger.debug("name query from %s: %s", client, error)

    def error_received(self, exc: Exception) -> None:
        """An error of a guest that is gone: nothing to do."""

    async def _relayed(
        self, client: IPv4Address, query: bytes, view: View, addr: tuple[str, int]
    ) -> None:
        reply = await self._relay.ask(client, query, view.resolvers, tcp=False)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(reply, addr)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        client = IPv4Address(writer.get_extra_info("peername")[0])
        full = self._connections.total() >= MAX_CONNECTIONS
        self._connections[client] += 1
        try:
            if not full and self._connections[client] <= MAX_CONNECTIONS_OF_ONE:
                await self._talk(client, reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, BadQuery) as error:
            logger.debug("name query over TCP: %s", error)
        finally:
            self._connections[client] -= 1
            if not self._connections[client]:
                del self._connections[client]
            self._tasks.discard(task)
            writer.transport.abort()

    async def _talk(
        self, client: IPv4Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            await asyncio.sleep(self._budget.debt_s(client))
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                size = int.from_bytes(await reader.readexactly(2), "big")
                query = await reader.readexactly(min(size, MAX_QUERY))
            view = self._view(client)
            if view is None or size > MAX_QUERY:
                return
            reply = answer(query, view)
            if reply is None:
                reply = await self._relay.ask(client, query, view.resolvers, tcp=True)
            writer.write(len(reply).to_bytes(2, "big") + reply)
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                await writer.drain()
