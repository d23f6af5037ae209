"""Requests: the operation's number and the codec that each of them has.

Source: docs/protocol.md, "Requests".
"""

from abc import ABC, abstractmethod
from enum import IntEnum, IntFlag
from typing import ClassVar, Self, TypeVar

from hyper.errors import ProtocolError
from hyper.proto.wire import Reader, Writer

F = TypeVar("F", bound=IntFlag)


class Op(IntEnum):
    """The number of a request."""

    SANDBOX_SETUP = 1
    CONTAINER_CREATE = 2
    PROCESS_START = 3
    PROCESS_SIGNAL = 4
    PROCESS_RESIZE = 5
    PROCESS_REAP = 6
    SHUTDOWN = 7
    CONTAINER_STATS = 8
    CONTAINER_TOP = 9
    CONTAINER_UPDATE = 10
    INTERFACE_ADD = 11
    INTERFACE_REMOVE = 12
    CONTAINER_FILES = 13
    CONTAINER_REMOVE = 14
    CARRIER = 15
    SHARE_LOST = 16
    SANDBOX_CLOCK = 17


class Request(ABC):
    """A request: ``op`` and arguments."""

    __slots__ = ()
    op: ClassVar[Op]

    @abstractmethod
    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""

    @classmethod
    @abstractmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""

    def encode(self) -> bytes:
        """Return the whole request: number and arguments. Raises: ProtocolError."""
        to = Writer()
        to.u16(self.op)
        self.write(to)
        return bytes(to)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the request of this class that ``data`` holds.

        Raises:
            ProtocolError: it is another request, too short, too long or out of bounds.
        """
        source = Reader(data)
        op = source.u16()
        if op != cls.op:
            raise ProtocolError(f"request {op} where {cls.op.name} is expected")
        request = cls.read(source)
        source.end()
        return request


def read_flags(source: Reader, kind: type[F]) -> F:
    """Take flags. Raises: ProtocolError if one is unknown."""
    value = source.u32()
    known = 0
    for flag in kind:
        known |= int(flag)
    if value & ~known:
        raise ProtocolError(f"unknown flags {value & ~known:#x} in {kind.__name__}")
    return kind(value)
