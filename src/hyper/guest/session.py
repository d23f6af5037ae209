"""The session with one agent: a handshake, requests with answers, processes with streams.

Pipelined on purpose: HELLO and requests are written at once, before the guest has booted, and are answered when it has.
A start costs no round trip more than the boot itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from hyper.errors import GuestError, HyperError, MachineError, OutdatedAgent, ProtocolError
from hyper.guest.carrier import Carrier
from hyper.guest.process import GuestProcess
from hyper.proto import message
from hyper.proto.frame import (
    Flag,
    Frame,
    FrameDecoder,
    FrameType,
    Resync,
    decode_ack,
    decode_carried,
    decode_data,
)
from hyper.proto.limits import ENTROPY_SIZE, MAX_PROCESSES, NONCE_SIZE, RESYNC
from hyper.proto.message import (
    GuestHello,
    HostHello,
    OomKill,
    ProcessExit,
    Reply,
    ReplyCode,
    Request,
)

logger = logging.getLogger(__name__)

#: A guest that logs more lines than this in one session is not listened to any more.
MAX_GUEST_LOG: Final = 100
#: Nor is one whose processes were killed more often than this for want of memory, until they end.
MAX_OOM_KILLS: Final = 1000
#: Bytes that may wait for a guest that does not read, and one request more: two of the largest ones.
MAX_UNREAD: Final = 8 * 1024 * 1024
#: Streams that move so many bytes in so many seconds are in a rush: a carrier is worth its cost.
RUSH: Final = 4 * 1024 * 1024
RUSH_S: Final = 0.5

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Connect(Protocol):
    """The way to an agent: a new stream, with the protocol that ``make`` made at this end of it."""

    async def __call__(self, make: Callable[[], P], /) -> P: ...


class Session(asyncio.Protocol):
    """A session: the connection to an agent. ``closed`` resolves to the reason once it is over (never raises)."""

    def __init__(self, *, resync: bool) -> None:
        loop = asyncio.get_running_loop()
        self.hello: asyncio.Future[GuestHello] = loop.create_future()
        self.closed: asyncio.Future[HyperError] = loop.create_future()
        self.hello_ns = 0
        self._nonce = os.urandom(NONCE_SIZE)
        self._resync = Resync(self._nonce)
        self._decoder: FrameDecoder | None = None
        self._padding = RESYNC if resync else 0
        self._transport: asyncio.Transport | None = None
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._processes: dict[int, GuestProcess] = {}
        self._exits: dict[int, ProcessExit] = {}
        #: Forgotten by us and not by the guest yet: what it has sent meanwhile is nobody's.
        self._reaping: set[int] = set()
        self._last_request = 0
        self._logged = 0
        #: Takes large pieces to the guest; what the guest sends by it is read from ``carrier_in``.
        self.carrier: Carrier | None = None
        self.carrier_in: Carrier | None = None
        #: Called again and again while streams are in a rush.
        self.on_rush: Callable[[], None] = _nothing
        self._rush_began = 0.0
        self._rush = 0
        self._oom_kills = 0

    @classmethod
    async def open(cls, connect: Connect, *, resync: bool) -> Session:
        """A session over a new stream by ``connect``; our HELLO is written, the guest's not awaited.

        ``resync``: the guest may have been talked to before.

        Raises:
            MachineError: the machine is gone.
        """
        return await connect(lambda: cls(resync=resync))

    async def meet(self, *, timeout_s: float) -> GuestHello:
        """The guest's HELLO.

        Raises:
            MachineError: none came in time, or the machine went away.
            OutdatedAgent: the HELLO is of a lower version.
            ProtocolError: the HELLO is of a higher version.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self.hello)
        except TimeoutError:
            raise MachineError(
                f"the agent in the machine did not answer in {timeout_s:g} s"
            ) from None

    def post(self, request: Request) -> asyncio.Future[Reply]:
        """Send a request now; the future has its answer, good or bad."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self.closed.done():
            future.set_exception(self.closed.result())
            return future
        if self._transport is not None and self._transport.get_write_buffer_size() > MAX_UNREAD:
            future.set_exception(MachineError("the agent in the machine does not read"))
            return future
        self._last_request += 1
        self._pending[self._last_request] = future
        self.send(message.encode_request(self._last_request, request))
        return future

    async def call(self, request: Request, *, timeout_s: float) -> Reply:
        """The answer to ``request``.

        Raises:
            GuestError: the agent refused or failed it.
            MachineError: no answer in time, or the machine went away.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return checked(await self.post(request))
        except TimeoutError:
            raise MachineError(
                f"the agent did not answer {request.op.name} in {timeout_s:g} s",
                hint="its host has no time for it, or it was made deaf from within: kill and rm -f end it",
            ) from None

    def process(
        self,
        number: int,
        *,
        tty: bool,
        start: dict[int, int] | None = None,
        ended: frozenset[int] = frozenset(),
    ) -> GuestProcess:
        """The handle of process ``number``; ``start`` are its streams' offsets when it is older than we.

        ``ended``: those of its outputs whose end was acknowledged before.
        """
        handle = GuestProcess(number, tty=tty, link=self, start=start or {}, ended=ended)
        self._processes[number] = handle
        if self.closed.done():
            handle.fail(self.closed.result())
        elif number in self._exits:
            handle.on_exit(self._exits.pop(number))
        return handle

    def forget(self, number: int) -> None:
        """Have the guest forget an exited process; its number may not be used again."""
        self._processes.pop(number, None)
        if self.carrier is not None:
            self.carrier.acknowledged(message.stream_id(number, 0), 1 << 64)
        if not self.closed.done():
            self._reaping.add(number)
            reaped = self.post(message.ProcessReap(number))
            reaped.add_done_callback(lambda _: self._reaping.discard(number))
            reaped.add_done_callback(_log_refusal)

    def drop(self, number: int) -> None:
        """The process, which could not be started, is none of the session's any more."""
        self._processes.pop(number, None)

    def abort(self, reason: HyperError) -> None:
        """End the session; tasks that wait on it get ``reason``."""
        self._end(reason)

    def send(self, data: bytes) -> None:
        """The bytes ``data`` are on their way to the guest, or nowhere if the connection was lost."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def moved(self, count: int) -> None:
        """The number of bytes of a stream that came or went is counted."""
        now = time.monotonic()
        if now - self._rush_began > RUSH_S:
            self._rush_began, self._rush = now, 0
        self._rush += count
        if self._rush >= RUSH:
            self._rush = 0
            self.on_rush()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._padding:
            transport.write(bytes(self._padding))
        hello = HostHello(self._nonce, time.time_ns(), os.urandom(ENTROPY_SIZE))
        transport.write(message.encode_hello(hello))

    def data_received(self, data: bytes) -> None:
        try:
            if self._decoder is None:
                rest = self._resync.feed(data)
                if rest is None:
                    return
                self._decoder, data = FrameDecoder(), rest
            for frame in self._decoder.feed(data):
                self._dispatch(frame)
        except OutdatedAgent as error:
            self._end(error)
        except ProtocolError as error:
            self._end(ProtocolError(f"the agent broke its protocol: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(MachineError("the connection to the machine's agent was lost"))

    # Frames

    def _dispatch(self, frame: Frame) -> None:
        match frame.type:
            case FrameType.DATA:
                self._on_data(frame)
            case FrameType.CARRIED:
                self._on_carried(frame)
            case FrameType.ACK:
                self._on_ack(frame)
            case FrameType.REPLY:
                self._on_reply(frame)
            case FrameType.EVENT:
                self._on_event(message.decode_event(frame.body))
            case FrameType.HELLO:
                self._on_hello(GuestHello.decode(frame.body))
            case FrameType.REQUEST:
                raise ProtocolError("REQUEST from the guest")

    def _on_hello(self, hello: GuestHello) -> None:
        if self.hello.done():
            raise ProtocolError("a second HELLO")
        hello.require_version()
        self.hello_ns = time.monotonic_ns()
        self.hello.set_result(hello)

    def _on_data(self, frame: Frame) -> None:
        if message.split_stream_id(frame.stream)[0] in self._reaping:
            return
        process, fd = self._output_of(frame)
        offset, payload = decode_data(frame)
        process.on_data(fd, offset, payload, fin=bool(frame.flags & Flag.FIN))

    def _on_carried(self, frame: Frame) -> None:
        if message.split_stream_id(frame.stream)[0] in self._reaping:
            return
        process, fd = self._output_of(frame)
        carried = decode_carried(frame)
        if self.carrier_in is None:
            raise ProtocolError(f"CARRIED of stream {frame.stream}, and there is no carrier")
        payload = self.carrier_in.get(carried)
        process.on_data(fd, carried.offset, payload, fin=bool(frame.flags & Flag.FIN))

    def _output_of(self, frame: Frame) -> tuple[GuestProcess, int]:
        number, fd = message.split_stream_id(frame.stream)
        process = self._processes.get(number)
        if process is None or not process.has_stream(fd):
            raise ProtocolError(f"DATA of stream {frame.stream}, which nobody opened")
        return process, fd

    def _on_ack(self, frame: Frame) -> None:
        number, fd = message.split_stream_id(frame.stream)
        offset = decode_ack(frame)
        if fd != 0:
            raise ProtocolError(f"ACK of stream {frame.stream}, which the guest sends")
        process = self._processes.get(number)
        if process is not None:
            process.on_ack(offset)

    def _on_reply(self, frame: Frame) -> None:
        future = self._pending.get(frame.stream)
        if future is None:
            raise ProtocolError(f"REPLY to request {frame.stream}, which is not open")
        # First: if it is malformed, the request is still open and fails with the session.
        reply = Reply.decode(frame.body)
        del self._pending[frame.stream]
        if not future.done():
            future.set_result(reply)

    def _on_event(self, event: message.Event) -> None:
        if isinstance(event, ProcessExit):
            self._on_exit(event)
            return
        if isinstance(event, OomKill):
            self._on_oom_kill(event)
            return
        self._logged += 1
        if self._logged <= MAX_GUEST_LOG:
            logger.warning("the agent says: %r", event.text)  # quoted: it may be anything

    def _on_oom_kill(self, event: OomKill) -> None:
        """The process's kill for want of memory is told on, up to a number: each is an event for clients."""
        self._oom_kills += 1
        process = self._processes.get(event.process)
        if process is not None and self._oom_kills <= MAX_OOM_KILLS:
            process.oom_kill()

    def _on_exit(self, event: ProcessExit) -> None:
        """The exit is told on, or kept: after a reconnect exits come again, maybe before their process is asked for."""
        process = self._processes.get(event.process)
        if process is not None:
            process.on_exit(event)
        elif len(self._exits) < MAX_PROCESSES:
            self._exits[event.process] = event

    def _end(self, reason: HyperError) -> None:
        if self.closed.done():
            return
        self.closed.set_result(reason)
        for future in self._pending.values():
            _fail(future, reason)
        _fail(self.hello, reason)
        self._pending.clear()
        for process in self._processes.values():
            process.fail(reason)
        if self._transport is not None:
            self._transport.abort()


def _nothing() -> None:
    """The callback where there are no carriers to bring."""


def checked(reply: Reply) -> Reply:
    """The reply ``reply`` if it is a good one.

    Raises:
        GuestError: the reply is not good.
    """
    if reply.code is ReplyCode.OK:
        return reply
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in reply.text)
    raise GuestError(text or reply.code.name, code=reply.code, errno=reply.errno)


def _fail(future: asyncio.Future[Any], reason: HyperError) -> None:
    if not future.done():
        future.set_exception(reason)
        future.exception()  # nobody may be waiting; that is no unheard failure


def _log_refusal(future: asyncio.Future[Reply]) -> None:
    if future.cancelled() or future.exception() is not None:
        return
    reply = future.result()
    if reply.code is not ReplyCode.OK:
        logger.warning("the agent refused: %s %s", reply.code.name, reply.text)
