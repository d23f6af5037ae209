"""Flow control of one stream, each direction a state machine without I/O.

Source: docs/protocol.md, "Streams and flow control". Offsets count the stream's bytes from 0;
FIN occupies the offset after the last byte.
"""

from dataclasses import dataclass
from typing import Final

from hyper.errors import ProtocolError
from hyper.proto.limits import CARRIER_WINDOW, MAX_DATA, WINDOW

ACK_AFTER: Final = WINDOW // 4
"""A receiver acknowledges after so many bytes, and at once after FIN."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The content of one DATA frame."""

    offset: int
    payload: bytes
    fin: bool


class SendWindow:
    """The sender of a stream: keeps what is not acknowledged, at most ``window`` bytes.

    ``window`` is WINDOW, and CARRIER_WINDOW while there is a carrier.
    """

    __slots__ = ("_acked", "_buffer", "_fin_at", "_next", "_paused", "window")

    def __init__(self, start: int = 0) -> None:
        """Begin at offset ``start``: what the receiver said it expects next, or 0."""
        self.window = WINDOW
        self._buffer = bytearray()
        self._acked = start
        self._next = start
        self._fin_at: int | None = None
        self._paused = False

    @property
    def end(self) -> int:
        """The offset after everything given so far, FIN included."""
        if self._fin_at is not None:
            return self._fin_at + 1
        return self._acked + len(self._buffer)

    @property
    def room(self) -> int:
        """How many bytes ``append`` takes now; 0 after ``finish``."""
        return max(0, self.window - len(self._buffer)) if self._fin_at is None else 0

    @property
    def in_flight(self) -> int:
        """How many bytes were sent and are not acknowledged."""
        return self._next - self._acked

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent, FIN not counted."""
        return max(0, self._acked + len(self._buffer) - self._next)

    @property
    def finished(self) -> bool:
        """Whether ``finish`` was called."""
        return self._fin_at is not None

    @property
    def done(self) -> bool:
        """Whether everything is acknowledged, FIN included."""
        return self._fin_at is not None and self._acked == self._fin_at + 1

    def append(self, data: bytes | bytearray | memoryview) -> int:
        """Take bytes to send; return how many there was room for."""
        count = min(len(data), self.room)
        self._buffer += data[:count]
        return count

    def finish(self) -> None:
        """Say that no byte of the stream follows. A second call changes nothing."""
        if self._fin_at is None:
            self._fin_at = self._acked + len(self._buffer)

    def pop(self, limit: int = MAX_DATA) -> Chunk | None:
        """Return the chunk to be sent now, at most ``limit`` bytes; None if nothing is to be sent.

        The chunk counts as sent. One of more than MAX_DATA does not fit in a DATA frame.
        """
        if self._paused or self._next == self.end:
            return None
        at = self._next - self._acked
        with memoryview(self._buffer) as buffer:
            payload = bytes(buffer[at : at + limit])
        after = self._next + len(payload)
        fin = after == self._fin_at
        chunk = Chunk(self._next, payload, fin)
        self._next = after + fin
        return chunk

    def on_ack(self, offset: int) -> None:
        """Forget everything before ``offset``. An older ACK than the last changes nothing.

        While paused, sending continues from exactly ``offset``.

        Raises:
            ProtocolError: the offset was never sent; while paused, it is not held any more.
        """
        if self._paused:
            self.resume(offset)
        elif offset > self._next:
            raise ProtocolError(f"ACK of {offset}, but only {self._next} was sent")
        self._forget(offset)

    def pause(self) -> None:
        """Send nothing until the receiver has said where it stands (the guest at HELLO)."""
        self._paused = True

    def resume(self, offset: int) -> None:
        """Continue sending from ``offset``, the receiver's next expected one, on a new connection.

        Nothing is acknowledged: bytes that are kept stay kept.

        Raises:
            ProtocolError: the offset is not held any more or was never given.
        """
        if not self._acked <= offset <= self.end:
            raise ProtocolError(
                f"cannot resume from {offset}: only {self._acked} to {self.end} is held"
            )
        self._next = offset
        self._paused = False

    def _forget(self, offset: int) -> None:
        if offset <= self._acked:
            return
        del self._buffer[: offset - self._acked]
        self._acked = offset


class ReceiveWindow:
    """The receiver of a stream. ``expected`` ≥ ``taken`` ≥ last ACK, at most CARRIER_WINDOW apart."""

    __slots__ = ("_acked", "_expected", "_fin", "_taken")

    def __init__(self, start: int = 0) -> None:
        """Begin at offset ``start``: everything before it has been taken over earlier."""
        self._acked = start
        self._expected = start
        self._taken = start
        self._fin = False

    @property
    def expected(self) -> int:
        """The offset the next DATA must carry."""
        return self._expected

    @property
    def taken(self) -> int:
        """The offset up to which everything is taken over (durable)."""
        return self._taken

    @property
    def finished(self) -> bool:
        """Whether FIN has arrived."""
        return self._fin

    def on_data(self, offset: int, payload: bytes, *, fin: bool) -> bytes:
        """Check a DATA frame against the window and return its payload, to be taken over.

        Raises:
            ProtocolError: not the next offset, more than the window, or something after FIN.
        """
        if self._fin:
            raise ProtocolError(f"DATA at {offset} after the stream's end")
        if offset != self._expected:
            raise ProtocolError(f"DATA at {offset}, expected {self._expected}")
        after = offset + len(payload)
        if after - self._acked > CARRIER_WINDOW:
            raise ProtocolError(
                f"DATA up to {after}, but the window ends at {self._acked + CARRIER_WINDOW}"
            )
        if not payload and not fin:
            raise ProtocolError(f"empty DATA at {offset}")
        self._expected = after + fin
        self._fin = fin
        return payload

    def take(self, count: int) -> None:
        """Say that ``count`` more bytes were taken over; the last ones take FIN along.

        Raises:
            ValueError: so many have not been received.
        """
        last = self._expected - self._fin
        if not 0 <= count <= max(0, last - self._taken):
            raise ValueError(f"{count} bytes taken, {last - self._taken} were there")
        self._taken += count
        if self._taken == last:
            self._taken = self._expected

    def ack(self, *, after: int = ACK_AFTER) -> int | None:
        """Return the offset to acknowledge now, or None if it can wait.

        It can wait while fewer than ``after`` bytes were taken over since the last, unless FIN
        was. With ``after=1`` everything is acknowledged at once. The offset counts as sent.
        """
        grown = self._taken - self._acked
        ended = self._fin and self._taken == self._expected
        if grown == 0 or (grown < after and not ended):
            return None
        self._acked = self._taken
        return self._acked

    def rewind(self) -> int:
        """Start over on a new connection; return the offset to acknowledge first.

        Bytes received and not taken over are forgotten: the sender sends them again.
        """
        if self._expected != self._taken:
            self._fin = False
        self._expected = self._taken
        self._acked = self._taken
        return self._acked
