"""The carrier: a disk of the machine that takes the payload of streams past the agent's port.

Through the port hypervisor and guest move 4 KiB at a time, each with its own interrupt; a disk moves a block with one.
A CARRIED frame says where a piece lies; offsets, windows and acknowledgements are those of any other DATA.

Source: docs/protocol.md, "The carrier".
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from hyper.errors import ProtocolError
from hyper.proto.frame import Carried
from hyper.proto.limits import CARRIER_BLOCK, CARRIER_BLOCKS


@dataclass(slots=True)
class _Block:
    """A block of the host's half of a carrier: the stream that uses it, and the offset whose ACK frees it."""

    place: int
    stream: int = 0
    end: int = 0


class Carrier:
    """A carrier: the file behind the disk. The guest writes to it at will at any time: each piece is read once.

    ``uses`` counts pieces in both directions.
    """

    def __init__(self, fd: int) -> None:
        """A carrier in ``fd``, a file of CARRIER_SIZE bytes, owned from now on."""
        self._fd = fd
        self._free = [_Block(number * CARRIER_BLOCK) for number in range(CARRIER_BLOCKS)]
        self._used: list[_Block] = []
        self.uses = 0

    @property
    def has_room(self) -> bool:
        """Whether ``put`` may be called."""
        return bool(self._free)

    def put(self, stream: int, offset: int, payload: bytes) -> Carried:
        """Bring the piece ``payload`` (≤ CARRIER_BLOCK) of ``stream`` there; the CARRIED to tell the guest.

        Raises:
            OSError: there is no memory for it.
        """
        block = self._free[-1]
        if os.pwrite(self._fd, payload, block.place) != len(payload):
            raise OSError("short write to the carrier")
        self._free.pop()
        block.stream, block.end = stream, offset + len(payload)
        self._used.append(block)
        self.uses += 1
        return Carried(offset, block.place, len(payload))

    def get(self, carried: Carried) -> bytes:
        """The bytes of a piece that lie there now.

        Raises:
            ProtocolError: the bytes cannot be read.
        """
        self.uses += 1
        payload = os.pread(self._fd, carried.length, carried.place)
        if len(payload) != carried.length:
            raise ProtocolError("the carrier is shorter than it was")
        return payload

    def acknowledged(self, stream: int, offset: int) -> None:
        """The guest has taken over everything of ``stream`` before ``offset``: the blocks are free again."""
        kept: list[_Block] = []
        for block in self._used:
            done = block.stream == stream and block.end <= offset
            (self._free if done else kept).append(block)
        self._used = kept

    def close(self) -> None:
        """Let go of the carrier's file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
