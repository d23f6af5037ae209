"""A guest's program for the tests of the engine's output, and what became of its output."""

from __future__ import annotations

from hyper.engine.output.log_file import LogFile
from hyper.engine.output.output import Subscription
from hyper.guest.process import GuestProcess
from hyper.proto.frame import FrameDecoder, FrameType, decode_ack
from hyper.proto.log_record import LogFlag
from hyper.proto.message import ProcessExit


class Program:
    """A guest's program and the link to it; ``acked`` is what was acknowledged of each stream."""

    def __init__(self) -> None:
        self.acked = {1: 0, 2: 0}
        self._decoder = FrameDecoder()
        self._offsets = {1: 0, 2: 0}
        self.process = GuestProcess(1, tty=False, link=self, start={})

    carrier = None

    def moved(self, count: int) -> None:
        """No test is in a rush."""

    def send(self, data: bytes) -> None:
        """The host says something."""
        for frame in self._decoder.feed(data):
            assert frame.type is FrameType.ACK
            self.acked[frame.stream % 4] = decode_ack(frame)

    def write(self, data: bytes, *, fd: int = 1, fin: bool = False) -> None:
        """The program wrote ``data``."""
        for at in range(0, max(1, len(data)), 32768):
            piece = data[at : at + 32768]
            last = fin and at + len(piece) >= len(data)
            self.process.on_data(fd, self._offsets[fd], piece, fin=last)
            self._offsets[fd] += len(piece)

    def end(self) -> None:
        """Both streams end and so does the program."""
        self.write(b"", fd=1, fin=True)
        self.write(b"", fd=2, fin=True)
        self.process.on_exit(ProcessExit(1, 0, 0, False, 0))


def records(log: LogFile) -> list[tuple[int, bytes, bool]]:
    """(stream, payload, whether the line goes on) of everything logged."""
    return [
        (item.stream, item.payload, bool(item.flags & LogFlag.PARTIAL))
        for item in log.records(0, log.size)
    ]


async def collect(subscription: Subscription) -> bytes:
    """Everything a subscription gets."""
    return b"".join([piece.data async for piece in subscription])
