"""CONTAINER_STATS, CONTAINER_TOP, CONTAINER_UPDATE: a container's counters, its processes, its limits.

Source: docs/protocol.md, "Requests".
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar, Final, Self

from hyper.errors import ProtocolError
from hyper.proto.request import Op, Request, read_flags
from hyper.proto.wire import Reader, Writer

#: A limit of ContainerUpdate that takes the limit away.
UNLIMITED: Final = 2**64 - 1
#: The longest result of the two requests that have one.
MAX_RESULT: Final = 8000
MAX_FILES: Final = 64
MAX_LISTED: Final = 512


class UpdateFlag(IntFlag):
    """Flags of ContainerUpdate; one or the other."""

    NONE = 0
    FREEZE = 1
    THAW = 2


@dataclass(frozen=True, slots=True)
class ContainerStats(Request):
    """Read the counters of a container; the result is ``Stats``."""

    op: ClassVar[Op] = Op.CONTAINER_STATS
    container: int

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        to.u32(self.container)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(source.u32())


@dataclass(frozen=True, slots=True)
class ContainerTop(Request):
    """List processes of a container with pids above ``after``; the result is ``Processes``."""

    op: ClassVar[Op] = Op.CONTAINER_TOP
    container: int
    after: int = 0

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        to.u32(self.container)
        to.u32(self.after)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(source.u32(), source.u32())


@dataclass(frozen=True, slots=True)
class ContainerUpdate(Request):
    """Set a container's limits (0 leaves one, UNLIMITED takes it away), freeze or thaw it.

    ``cpu_us``: microseconds of CPU time in each 100 ms. ``realtime_ns`` sets the clock of agents from before
    SandboxClock; 0 leaves it.
    """

    op: ClassVar[Op] = Op.CONTAINER_UPDATE
    container: int
    flags: UpdateFlag = UpdateFlag.NONE
    memory: int = 0
    pids: int = 0
    cpu_us: int = 0
    realtime_ns: int = 0

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        to.u32(self.container)
        to.u32(self.flags)
        to.u64(self.memory)
        to.u64(self.pids)
        to.u64(self.cpu_us)
        to.u64(self.realtime_ns)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        container, flags = source.u32(), read_flags(source, UpdateFlag)
        if flags == UpdateFlag.FREEZE | UpdateFlag.THAW:
            raise ProtocolError("to be frozen and thawed at once")
        return cls(container, flags, source.u64(), source.u64(), source.u64(), source.u64())


@dataclass(frozen=True, slots=True)
class StatFile:
    """A file of the guest's kernel."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Stats:
    """The result of ContainerStats. ``boot_ns``: the guest's CLOCK_BOOTTIME."""

    boot_ns: int
    files: tuple[StatFile, ...]

    def encode(self) -> bytes:
        """Return the encoded counters. Raises: ProtocolError."""
        to = Writer()
        to.u64(self.boot_ns)

        def put(file: StatFile) -> None:
            to.string(file.name)
            to.blob(file.content)

        to.items(self.files, put, limit=MAX_FILES)
        return bytes(to)

    @classmethod
    def decode(cls, result: bytes) -> Self:
        """Return the counters that the result holds. Raises: ProtocolError if malformed or too long."""
        source = _reader(result)
        boot_ns = source.u64()
        files = source.items(lambda: StatFile(source.string(), source.blob()), limit=MAX_FILES)
        source.end()
        return cls(boot_ns, files)


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """A process as the guest's /proc has it: the files ``stat`` and ``cmdline``."""

    pid: int
    uid: int
    stat: bytes
    cmdline: bytes


@dataclass(frozen=True, slots=True)
class Processes:
    """The result of ContainerTop. ``more``: other processes follow the last one."""

    boot_ns: int
    passwd: bytes
    more: bool
    processes: tuple[ProcessLine, ...]

    def encode(self) -> bytes:
        """Return the encoded processes. Raises: ProtocolError."""
        to = Writer()
        to.u64(self.boot_ns)
        to.blob(self.passwd)
        to.u8(self.more)

        def put(line: ProcessLine) -> None:
            to.u32(line.pid)
            to.u32(line.uid)
            to.blob(line.stat)
            to.blob(line.cmdline)

        to.items(self.processes, put, limit=MAX_LISTED)
        return bytes(to)

    @classmethod
    def decode(cls, result: bytes) -> Self:
        """Return the processes that the result holds. Raises: ProtocolError if malformed or too long."""
        source = _reader(result)
        boot_ns, passwd, more = source.u64(), source.blob(), source.u8()
        if more > 1:
            raise ProtocolError(f"list of processes with more = {more}")

        def line() -> ProcessLine:
            return ProcessLine(source.u32(), source.u32(), source.blob(), source.blob())

        processes = source.items(line, limit=MAX_LISTED)
        source.end()
        return cls(boot_ns, passwd, bool(more), processes)


def _reader(result: bytes) -> Reader:
    if len(result) > MAX_RESULT:
        raise ProtocolError(f"result of {len(result)} bytes is longer than {MAX_RESULT}")
    return Reader(result)
