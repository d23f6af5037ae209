"""Docker's multiplexed stream: stdout and stderr in one connection.

Each piece has a header of eight bytes: the stream's number, three zeros, the length as a
big-endian u32.

Source: Docker Engine API, "Attach to a container", "Stream format".
"""

from __future__ import annotations

import struct

from hyper.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:  # the client imports this module, and typing would cost it 2 ms
    from typing import Final

HEADER_SIZE: Final = 8
MAX_PAYLOAD: Final = 16 * 1024 * 1024
"""The longest piece the decoder accepts, unless told otherwise."""

_HEADER: Final = struct.Struct(">B3sI")


#: Where a piece came from. (Numbers: an enumeration would cost the client 5 ms.)
STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2


def encode_piece(stream: int, payload: bytes) -> bytes:
    """Return one piece with its header; b"" for an empty payload.

    Raises:
        ProtocolError: the payload's length does not fit in 32 bits.
    """
    if not payload:
        return b""
    if len(payload) > 0xFFFFFFFF:
        raise ProtocolError(f"piece of {len(payload)} bytes is too long")
    return _HEADER.pack(stream, b"\0\0\0", len(payload)) + payload


class DockerStreamDecoder:
    """Decoder of a multiplexed stream. After a ``ProtocolError`` it is dead."""

    __slots__ = ("_buffer", "_error", "_limit", "_need")

    def __init__(self, *, limit: int = MAX_PAYLOAD) -> None:
        """``limit`` is the longest payload accepted, in bytes."""
        self._buffer = bytearray()
        self._limit = limit
        self._need = HEADER_SIZE
        self._error: ProtocolError | None = None

    @property
    def idle(self) -> bool:
        """Whether the stream may end here: no piece is half received."""
        return not self._buffer

    def feed(self, data: bytes | bytearray | memoryview) -> list[tuple[int, bytes]]:
        """Take the next bytes; return the pieces they complete.

        Raises:
            ProtocolError: the header is malformed or announces more than the limit.
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

    def _drain(self) -> list[tuple[int, bytes]]:
        pieces: list[tuple[int, bytes]] = []
        at = 0
        while True:
            stream, size = self._header(at)
            self._need = HEADER_SIZE + size
            if stream is None or len(self._buffer) - at < self._need:
                break
            pieces.append((stream, bytes(self._buffer[at + HEADER_SIZE : at + self._need])))
            at += self._need
        del self._buffer[:at]
        return pieces

    def _header(self, at: int) -> tuple[int | None, int]:
        if len(self._buffer) - at < HEADER_SIZE:
            return None, 0
        number, zeros, size = _HEADER.unpack_from(self._buffer, at)
        if number > STDERR or zeros != b"\0\0\0":
            raise ProtocolError(f"not a Docker stream header: {number:02x}{zeros.hex()}")
        if size > self._limit:
            raise ProtocolError(f"piece of {size} bytes is longer than {self._limit}")
        return int(number), size
