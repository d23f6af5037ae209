"""Frames: the outermost layer of the agent protocol.

Source: docs/protocol.md, "Frames" and "Meeting, and meeting again".
"""

import re
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from hyper.errors import ProtocolError
from hyper.proto.limits import (
    CARRIED_HEADER,
    CARRIER_BLOCK,
    CARRIER_SIZE,
    DATA_HEADER,
    END,
    HEADER_SIZE,
    MAGIC,
    MAX_BODY,
    NONCE_SIZE,
    VERSION,
)

_HEADER: Final = struct.Struct("<BBHII")
_CARRIED: Final = struct.Struct("<QQI")
_HELLO_PREFIX: Final = struct.Struct("<IHH")
_PADDING: Final = re.compile(rb"\0+")
_HELLO_FOREIGN_MIN: Final = _HELLO_PREFIX.size + NONCE_SIZE
_HELLO_MIN: Final = _HELLO_FOREIGN_MIN + 8 + 4 + 4


class FrameType(IntEnum):
    """The type of a frame."""

    HELLO = 1
    REQUEST = 2
    REPLY = 3
    EVENT = 4
    DATA = 5
    ACK = 6
    CARRIED = 7


class Flag(IntFlag):
    """Frame flags."""

    NONE = 0
    FIN = 1
    MORE = 2


_FLAGS: Final = {
    FrameType.HELLO: Flag.NONE,
    FrameType.REQUEST: Flag.MORE,
    FrameType.REPLY: Flag.NONE,
    FrameType.EVENT: Flag.NONE,
    FrameType.DATA: Flag.FIN,
    FrameType.ACK: Flag.NONE,
    FrameType.CARRIED: Flag.FIN,
}
"""The flags each type may carry."""

_STREAMLESS: Final = frozenset({FrameType.HELLO, FrameType.EVENT})
_NUMBERED: Final = frozenset({FrameType.REQUEST, FrameType.REPLY})


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame."""

    type: FrameType
    flags: Flag
    stream: int
    body: bytes


def encode_frame(
    type: FrameType, body: bytes, *, stream: int = 0, flags: Flag = Flag.NONE
) -> bytes:
    """Return the bytes of one frame.

    Raises:
        ProtocolError: the body, the stream or the flags do not fit the type.
    """
    if len(body) > MAX_BODY:
        raise ProtocolError(f"frame body of {len(body)} bytes is longer than {MAX_BODY}")
    if flags & ~int(_FLAGS[type]):
        raise ProtocolError(f"flags {int(flags)} are not allowed in {type.name}")
    if not 0 <= stream <= 0xFFFFFFFF:
        raise ProtocolError(f"stream {stream} does not fit in 32 bits")
    _check_stream(type, stream)
    header = _HEADER.pack(type, flags, 0, stream, len(body))
    return b"".join((header, body, bytes((END,))))


def _check_stream(type: FrameType, stream: int) -> None:
    if type in _STREAMLESS and stream != 0:
        raise ProtocolError(f"{type.name} with stream {stream}, expected 0")
    if type in _NUMBERED and stream == 0:
        raise ProtocolError(f"{type.name} without a request id")


class FrameDecoder:
    """Decoder that cuts a byte stream into frames. Padding and cut frames are dropped silently.

    Holds at most one unfinished frame. After a ``ProtocolError`` it is dead: every further
    ``feed`` raises the same error.
    """

    __slots__ = ("_buffer", "_error", "_need")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._need = 1
        self._error: ProtocolError | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """Take the next bytes, in whatever pieces; return the frames they complete.

        Raises:
            ProtocolError: the bytes are no frame. Frames before the error in the same call
                are lost with it.
        """
        if self._error is not None:
            raise self._error
        self._buffer += data
        if len(self._buffer) < self._need:
            return []
        try:
            return self._drain()
        except ProtocolError as error:
            self._error = error
            self._buffer.clear()
            raise

    def _drain(self) -> list[Frame]:
        frames: list[Frame] = []
        buffer = bytes(self._buffer)
        at = 0
        while True:
            at = _skip_padding(buffer, at)
            size = _frame_size(buffer, at)
            self._need = size
            if len(buffer) - at < size:
                break
            frame = _cut(buffer, at, size)
            if frame is not None:
                frames.append(frame)
            at += size
        del self._buffer[:at]
        return frames


def _skip_padding(buffer: bytes, at: int) -> int:
    """Return the place of the first byte that is not zero, or the end."""
    found = _PADDING.match(buffer, at)
    return found.end() if found else at


def _frame_size(buffer: bytes, at: int) -> int:
    """Return the size of the frame at ``at``, or of its header while that is incomplete."""
    if len(buffer) - at < HEADER_SIZE:
        return HEADER_SIZE if at < len(buffer) else 1
    type_, flags, reserved, _, length = _HEADER.unpack_from(buffer, at)
    if type_ not in _FLAGS:
        raise ProtocolError(f"unknown frame type {type_}")
    if flags & ~int(_FLAGS[FrameType(type_)]):
        raise ProtocolError(f"flags {flags} are not allowed in {FrameType(type_).name}")
    if reserved:
        raise ProtocolError(f"reserved field of a frame is {reserved}, expected 0")
    if length > MAX_BODY:
        raise ProtocolError(f"frame body of {length} bytes is longer than {MAX_BODY}")
    return HEADER_SIZE + int(length) + 1


def _cut(buffer: bytes, at: int, size: int) -> Frame | None:
    """Return the whole frame at ``at``, or None if a reconnect cut it short."""
    end = buffer[at + size - 1]
    if end == 0:
        return None
    if end != END:
        raise ProtocolError(f"frame ends in 0x{end:02x}, expected 0x{END:02x}")
    type_, flags, _, stream, _ = _HEADER.unpack_from(buffer, at)
    _check_stream(FrameType(type_), stream)
    body = buffer[at + HEADER_SIZE : at + size - 1]
    return Frame(FrameType(type_), Flag(flags), stream, body)


class Resync:
    """Search for the guest's HELLO that answers the host's, in a stream that may start anywhere.

    Holds fewer than 36 bytes between calls, whatever the guest sends.
    """

    __slots__ = ("_mark", "_tail")

    def __init__(self, nonce: bytes) -> None:
        """A search for the HELLO with ``nonce``.

        Raises:
            ProtocolError: the nonce is not 16 bytes long.
        """
        if len(nonce) != NONCE_SIZE:
            raise ProtocolError(f"nonce of {len(nonce)} bytes, expected {NONCE_SIZE}")
        self._mark = nonce
        self._tail = b""

    def feed(self, data: bytes | bytearray | memoryview) -> bytes | None:
        """Take the next bytes; return None until the HELLO has begun.

        Then return everything from the HELLO's header on, for a fresh ``FrameDecoder``. The
        HELLO may be of any version, lower or higher: the caller decides what to do with it.
        """
        buffer = self._tail + bytes(data)
        lead = HEADER_SIZE + _HELLO_PREFIX.size
        at = buffer.find(self._mark)
        while at >= 0:
            start = at - lead
            if start >= 0 and _is_hello(buffer, start):
                self._tail = b""
                return buffer[start:]
            at = buffer.find(self._mark, at + 1)
        self._tail = buffer[-(lead + NONCE_SIZE - 1) :]
        return None


def _is_hello(buffer: bytes, at: int) -> bool:
    type_, flags, reserved, stream, length = _HEADER.unpack_from(buffer, at)
    magic, version, reserved2 = _HELLO_PREFIX.unpack_from(buffer, at + HEADER_SIZE)
    return bool(
        type_ == FrameType.HELLO
        and not (flags or reserved or stream or reserved2)
        and (_HELLO_MIN if version == VERSION else _HELLO_FOREIGN_MIN) <= length <= MAX_BODY
        and magic == MAGIC
    )


def encode_data(stream: int, offset: int, payload: bytes, *, fin: bool = False) -> bytes:
    """Return a DATA frame that carries ``payload`` at ``offset`` of ``stream``.

    Raises:
        ProtocolError: the payload is too long or the offset does not fit in 64 bits.
    """
    body = _offset(offset) + payload
    return encode_frame(FrameType.DATA, body, stream=stream, flags=Flag.FIN if fin else Flag.NONE)


def decode_data(frame: Frame) -> tuple[int, bytes]:
    """Return offset and payload of a DATA frame; FIN is in ``frame.flags``.

    Raises:
        ProtocolError: it is no DATA frame or too short for an offset.
    """
    if frame.type is not FrameType.DATA or len(frame.body) < DATA_HEADER:
        raise ProtocolError(f"malformed DATA of stream {frame.stream}")
    return int.from_bytes(frame.body[:DATA_HEADER], "little"), frame.body[DATA_HEADER:]


@dataclass(frozen=True, slots=True)
class Carried:
    """The body of a CARRIED frame: ``length`` bytes of a stream from ``offset`` on are at ``place`` of the carrier."""

    offset: int
    place: int
    length: int


def encode_carried(stream: int, carried: Carried, *, fin: bool = False) -> bytes:
    """Return a CARRIED frame.

    Raises:
        ProtocolError: the offset does not fit in 64 bits.
    """
    place = carried.place.to_bytes(8, "little")
    body = _offset(carried.offset) + place + carried.length.to_bytes(4, "little")
    flags = Flag.FIN if fin else Flag.NONE
    return encode_frame(FrameType.CARRIED, body, stream=stream, flags=flags)


def decode_carried(frame: Frame) -> Carried:
    """Return the body of a CARRIED frame.

    Raises:
        ProtocolError: it is no CARRIED frame, or the bytes are more than a block or outside of the carrier.
    """
    body = frame.body
    if frame.type is not FrameType.CARRIED or len(body) != CARRIED_HEADER:
        raise ProtocolError(f"malformed CARRIED of stream {frame.stream}")
    offset, place, length = _CARRIED.unpack(body)
    if not 0 < length <= CARRIER_BLOCK or place > CARRIER_SIZE - length:
        raise ProtocolError(f"CARRIED of {length} bytes at {place} of the carrier")
    return Carried(offset, place, length)


def encode_ack(stream: int, offset: int) -> bytes:
    """Return an ACK frame: everything before ``offset`` of ``stream`` is taken over.

    Raises:
        ProtocolError: the offset does not fit in 64 bits.
    """
    return encode_frame(FrameType.ACK, _offset(offset), stream=stream)


def decode_ack(frame: Frame) -> int:
    """Return the offset of an ACK frame.

    Raises:
        ProtocolError: it is no ACK frame or its body is not one u64.
    """
    if frame.type is not FrameType.ACK or len(frame.body) != DATA_HEADER:
        raise ProtocolError(f"malformed ACK of stream {frame.stream}")
    return int.from_bytes(frame.body, "little")


def _offset(offset: int) -> bytes:
    if not 0 <= offset < 1 << 64:
        raise ProtocolError(f"offset {offset} does not fit in 64 bits")
    return offset.to_bytes(DATA_HEADER, "little")
