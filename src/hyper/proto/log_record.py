"""Records of a container's log file: exact bytes, when they came, how far each stream has got.

A record is a 32-byte header, the payload, and the payload's length again, so that a reader can walk backwards:

    length u32, stream u8 (0 marker, 1 stdout, 2 stderr), flags u8, mark u16 = 0x4C48,
    time u64 (ns since the epoch), stdout offset u64, stderr offset u64; payload; length u32

Both offsets are the ends of the guest's streams after this record. The last whole record therefore tells what is
durable, and a daemon that was killed asks the guest to go on from there. A marker opens each run of the container.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag

from hyper.errors import HyperError

_HEADER = struct.Struct("<IBBHQQQ")
_TRAILER = struct.Struct("<I")
HEADER_SIZE = _HEADER.size
TRAILER_SIZE = _TRAILER.size
OVERHEAD = HEADER_SIZE + TRAILER_SIZE
MAX_PAYLOAD = 1024 * 1024
MARKER, STDOUT, STDERR = 0, 1, 2
#: So that zeros and text in a torn file are not taken for a header.
_MARK = 0x4C48


class LogFlag(IntFlag):
    """Flags of a log record. ``PARTIAL``: the payload does not end a line."""

    NONE = 0
    PARTIAL = 1


class LogCorrupt(HyperError):
    """The bytes are no log record."""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of a log. ``stream`` is MARKER, STDOUT or STDERR."""

    stream: int
    time_ns: int
    stdout: int
    stderr: int
    payload: bytes = b""
    flags: LogFlag = LogFlag.NONE

    @property
    def size(self) -> int:
        """Bytes that the record takes in the file."""
        return OVERHEAD + len(self.payload)

    def encode(self) -> bytes:
        """The record's bytes."""
        length = len(self.payload)
        header = _HEADER.pack(
            length, self.stream, self.flags, _MARK, self.time_ns, self.stdout, self.stderr
        )
        return b"".join((header, self.payload, _TRAILER.pack(length)))


def decode(buffer: bytes | memoryview, at: int = 0) -> LogRecord | None:
    """The record that begins at ``at``; None when it is not whole.

    Raises:
        LogCorrupt: the bytes there are no record.
    """
    if len(buffer) - at < HEADER_SIZE:
        return None
    length, stream, flags, mark, time_ns, stdout, stderr = _HEADER.unpack_from(buffer, at)
    if length > MAX_PAYLOAD or stream > STDERR or mark != _MARK:
        raise LogCorrupt(f"no log record at byte {at}")
    end = at + HEADER_SIZE + length
    if len(buffer) < end + TRAILER_SIZE:
        return None
    if _TRAILER.unpack_from(buffer, end)[0] != length:
        raise LogCorrupt(f"log record at byte {at} ends wrongly")
    payload = bytes(buffer[at + HEADER_SIZE : end])
    return LogRecord(stream, time_ns, stdout, stderr, payload, LogFlag(flags & 1))


def payload_length(trailer: bytes) -> int:
    """The payload length that a record's last four bytes say.

    Raises:
        LogCorrupt: longer than any record's.
    """
    length = int(_TRAILER.unpack(trailer)[0])
    if length > MAX_PAYLOAD:
        raise LogCorrupt("no log record ends here")
    return length
