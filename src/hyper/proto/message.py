"""Messages: requests in frames, replies, events. The names of a whole conversation are here.

Source: docs/protocol.md, "Requests" and "Replies and events".
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, Self

from hyper.errors import ProtocolError
from hyper.proto.container import (
    ALL_NUMBERS,
    ContainerCreate,
    ContainerFiles,
    ContainerFlag,
    ContainerRemove,
    Device,
    DeviceType,
    File,
)
from hyper.proto.frame import Flag, Frame, FrameType, encode_frame
from hyper.proto.hello import GuestHello, HostHello, ProcessInfo, ProcessState
from hyper.proto.limits import MAX_BODY, MAX_REQUEST, MAX_TEXT
from hyper.proto.mount import (
    MS_BIND,
    DiskSource,
    KernelSource,
    Mount,
    MountFlag,
    MountSource,
    NfsSource,
    RootSource,
    ShareSource,
    decode_source,
    encode_source,
)
from hyper.proto.process import (
    ProcessFlag,
    ProcessReap,
    ProcessResize,
    ProcessSignal,
    ProcessStart,
    Rlimit,
    SignalFlag,
    read_process,
    split_stream_id,
    stream_id,
    write_process,
)
from hyper.proto.request import Op, Request
from hyper.proto.resources import (
    UNLIMITED,
    ContainerStats,
    ContainerTop,
    ContainerUpdate,
    Processes,
    ProcessLine,
    StatFile,
    Stats,
    UpdateFlag,
)
from hyper.proto.setup import (
    CarrierChange,
    Interface,
    InterfaceAdd,
    InterfaceRemove,
    Ip,
    Route,
    SandboxClock,
    SandboxSetup,
    ShareLost,
    Shutdown,
)
from hyper.proto.wire import Reader, Writer

__all__ = [
    "ALL_NUMBERS",
    "MS_BIND",
    "UNLIMITED",
    "CarrierChange",
    "ContainerCreate",
    "ContainerFiles",
    "ContainerFlag",
    "ContainerRemove",
    "ContainerStats",
    "ContainerTop",
    "ContainerUpdate",
    "Device",
    "DeviceType",
    "DiskSource",
    "Event",
    "EventKind",
    "File",
    "GuestError",
    "GuestHello",
    "HostHello",
    "Interface",
    "InterfaceAdd",
    "InterfaceRemove",
    "Ip",
    "KernelSource",
    "Mount",
    "MountFlag",
    "MountSource",
    "NfsSource",
    "OomKill",
    "Op",
    "ProcessExit",
    "ProcessFlag",
    "ProcessInfo",
    "ProcessLine",
    "ProcessReap",
    "ProcessResize",
    "ProcessSignal",
    "ProcessStart",
    "ProcessState",
    "Processes",
    "Reply",
    "ReplyCode",
    "Request",
    "RequestAssembler",
    "Rlimit",
    "RootSource",
    "Route",
    "SandboxClock",
    "SandboxSetup",
    "ShareLost",
    "ShareSource",
    "Shutdown",
    "SignalFlag",
    "StatFile",
    "Stats",
    "UpdateFlag",
    "decode_event",
    "decode_request",
    "decode_source",
    "encode_event",
    "encode_hello",
    "encode_reply",
    "encode_request",
    "encode_source",
    "split_stream_id",
    "stream_id",
]

_REQUESTS: Final[dict[int, type[Request]]] = {
    kind.op: kind
    for kind in (
        SandboxSetup,
        ContainerCreate,
        ProcessStart,
        ProcessSignal,
        ProcessResize,
        ProcessReap,
        Shutdown,
        ContainerStats,
        ContainerTop,
        ContainerUpdate,
        InterfaceAdd,
        InterfaceRemove,
        ContainerFiles,
        ContainerRemove,
        CarrierChange,
        ShareLost,
        SandboxClock,
    )
}


class ReplyCode(IntEnum):
    """The outcome of a request."""

    OK = 0
    MALFORMED = 1
    UNKNOWN_OP = 2
    NO_SUCH = 3
    EXISTS = 4
    LIMIT = 5
    MOUNT = 6
    NETWORK = 7
    USER = 8
    CWD = 9
    NOT_FOUND = 10
    NOT_EXECUTABLE = 11
    STATE = 12
    SYSTEM = 13


@dataclass(frozen=True, slots=True)
class Reply:
    """The guest's answer to one request; ``result`` is the operation's own."""

    code: ReplyCode
    errno: int = 0
    text: str = ""
    result: bytes = b""

    def encode(self) -> bytes:
        """Return the reply's body. Raises: ProtocolError."""
        to = Writer()
        to.u16(self.code)
        to.u16(self.errno)
        to.string(self.text, limit=MAX_TEXT)
        to.raw(self.result, len(self.result))
        return bytes(to)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Return the reply that the body holds. Raises: ProtocolError if malformed or of unknown code."""
        source = Reader(body)
        code, errno, text = source.u16(), source.u16(), source.text(limit=MAX_TEXT)
        try:
            known = ReplyCode(code)
        except ValueError:
            raise ProtocolError(f"reply with unknown code {code}") from None
        return cls(known, errno, text, source.rest())

    def pid(self) -> int:
        """Return the result of PROCESS_START. Raises: ProtocolError if it is no pid."""
        source = Reader(self.result)
        pid = source.u32()
        source.end()
        return pid


class EventKind(IntEnum):
    """The number of an event."""

    PROCESS_EXIT = 1
    GUEST_ERROR = 2
    OOM_KILL = 3


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """A process was waited for. ``status`` is 128 + ``signal`` if a signal ended it."""

    kind: ClassVar[EventKind] = EventKind.PROCESS_EXIT
    process: int
    status: int
    signal: int
    oom: bool
    realtime_ns: int

    def encode(self) -> bytes:
        """Return the event's body. Raises: ProtocolError."""
        to = Writer()
        to.u16(self.kind)
        write_process(to, self.process)
        to.u32(self.status)
        to.u32(self.signal)
        to.u8(self.oom)
        to.u64(self.realtime_ns)
        return bytes(to)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError if out of range."""
        process, status, signal = read_process(source), source.u32(), source.u32()
        oom, realtime_ns = source.u8(), source.u64()
        if status > 255 or signal > 127 or oom > 1:
            raise ProtocolError(
                f"process {process} ended with status {status}, signal {signal}, oom {oom}"
            )
        return cls(process, status, signal, bool(oom), realtime_ns)


@dataclass(frozen=True, slots=True)
class GuestError:
    """An error in the guest that the host should log; no state changes."""

    kind: ClassVar[EventKind] = EventKind.GUEST_ERROR
    text: str

    def encode(self) -> bytes:
        """Return the event's body. Raises: ProtocolError."""
        to = Writer()
        to.u16(self.kind)
        to.string(self.text, limit=MAX_TEXT)
        return bytes(to)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(source.text(limit=MAX_TEXT))


@dataclass(frozen=True, slots=True)
class OomKill:
    """The OOM killer has killed a process of the container whose INIT is ``process``."""

    kind: ClassVar[EventKind] = EventKind.OOM_KILL
    process: int

    def encode(self) -> bytes:
        """Return the event's body. Raises: ProtocolError."""
        to = Writer()
        to.u16(self.kind)
        write_process(to, self.process)
        return bytes(to)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError if out of range."""
        return cls(read_process(source))


Event = ProcessExit | GuestError | OomKill

_EVENTS: Final[dict[int, type[ProcessExit] | type[GuestError] | type[OomKill]]] = {
    EventKind.PROCESS_EXIT: ProcessExit,
    EventKind.GUEST_ERROR: GuestError,
    EventKind.OOM_KILL: OomKill,
}


def encode_hello(hello: HostHello | GuestHello) -> bytes:
    """Return a HELLO frame. Raises: ProtocolError."""
    return encode_frame(FrameType.HELLO, hello.encode())


def encode_request(request_id: int, message: Request) -> bytes:
    """Return the frame or frames of a request.

    Raises:
        ProtocolError: a value is out of bounds or the whole is longer than MAX_REQUEST.
    """
    body = message.encode()
    if len(body) > MAX_REQUEST:
        raise ProtocolError(f"{message.op.name} of {len(body)} bytes is longer than {MAX_REQUEST}")
    frames = []
    for at in range(0, len(body), MAX_BODY):
        flags = Flag.MORE if at + MAX_BODY < len(body) else Flag.NONE
        part = body[at : at + MAX_BODY]
        frames.append(encode_frame(FrameType.REQUEST, part, stream=request_id, flags=flags))
    return b"".join(frames)


def decode_request(body: bytes) -> Request:
    """Return the request a whole body holds. Raises: ProtocolError if malformed or unknown."""
    op = Reader(body).u16()
    kind = _REQUESTS.get(op)
    if kind is None:
        raise ProtocolError(f"unknown request {op}")
    return kind.decode(body)


def encode_reply(request_id: int, reply: Reply) -> bytes:
    """Return a REPLY frame. Raises: ProtocolError."""
    return encode_frame(FrameType.REPLY, reply.encode(), stream=request_id)


def encode_event(event: Event) -> bytes:
    """Return an EVENT frame. Raises: ProtocolError."""
    return encode_frame(FrameType.EVENT, event.encode())


def decode_event(body: bytes) -> Event:
    """Return the event a body holds. Raises: ProtocolError if malformed or unknown."""
    source = Reader(body)
    number = source.u16()
    kind = _EVENTS.get(number)
    if kind is None:
        raise ProtocolError(f"unknown event {number}")
    event = kind.read(source)
    source.end()
    return event


class RequestAssembler:
    """Joiner of a request's fragments: the guest's side, for tests and stand-ins of the guest."""

    __slots__ = ("_id", "_parts")

    def __init__(self) -> None:
        self._id = 0
        self._parts = bytearray()

    def feed(self, frame: Frame) -> tuple[int, bytes] | None:
        """Take a REQUEST frame; return (request id, whole body) with its last fragment.

        Raises:
            ProtocolError: fragments of two requests are mixed, or the whole is too long.
        """
        if frame.type is not FrameType.REQUEST:
            raise ProtocolError(f"{frame.type.name} where a REQUEST is expected")
        if self._id not in (0, frame.stream):
            raise ProtocolError(f"request {frame.stream} begins inside request {self._id}")
        self._parts += frame.body
        if len(self._parts) > MAX_REQUEST:
            raise ProtocolError(f"request {frame.stream} is longer than {MAX_REQUEST}")
        if frame.flags & Flag.MORE:
            self._id = frame.stream
            return None
        body = bytes(self._parts)
        self._id = 0
        self._parts.clear()
        return frame.stream, body
