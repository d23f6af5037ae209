"""PROCESS_*: start, signal, resize and forget a process.

Source: docs/protocol.md, "Requests".
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar, Self

from hyper.errors import ProtocolError
from hyper.proto.limits import MAX_ARGS, MAX_PROCESS_ID, MAX_SECCOMP, SECCOMP_INSTRUCTION
from hyper.proto.request import Op, Request, read_flags
from hyper.proto.wire import Reader, Writer


class ProcessFlag(IntFlag):
    """Flags of ProcessStart."""

    NONE = 0
    TTY = 1
    STDIN = 2
    INIT = 4
    NO_NEW_PRIVS = 8
    BUILTIN = 16
    REAPER = 32
    FREEZE = 64


class SignalFlag(IntFlag):
    """Flags of ProcessSignal."""

    NONE = 0
    CONTAINER = 1


@dataclass(frozen=True, slots=True)
class Rlimit:
    """A resource limit; ``resource`` is Linux's RLIMIT_* number, 2**64-1 is unlimited."""

    resource: int
    soft: int
    hard: int

    def write(self, to: Writer) -> None:
        """Append the limit. Raises: ProtocolError."""
        to.u32(self.resource)
        to.u64(self.soft)
        to.u64(self.hard)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take a limit. Raises: ProtocolError."""
        return cls(source.u32(), source.u64(), source.u64())


@dataclass(frozen=True, slots=True)
class ProcessStart(Request):
    """Start a program in a container; the result is its pid in the guest."""

    op: ClassVar[Op] = Op.PROCESS_START
    process: int
    container: int
    args: tuple[str, ...]
    flags: ProcessFlag = ProcessFlag.NONE
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    groups: tuple[str, ...] = ()
    capabilities: int = 0
    rlimits: tuple[Rlimit, ...] = ()
    rows: int = 0
    columns: int = 0
    seccomp: bytes = b""
    """A classic BPF program, an array of struct sock_filter; empty: none."""

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        write_process(to, self.process)
        to.u32(self.container)
        to.u32(self.flags)
        to.items(self.args, to.string, limit=MAX_ARGS)
        to.items(self.env, to.string, limit=MAX_ARGS)
        to.string(self.cwd)
        to.string(self.user)
        to.items(self.groups, to.string)
        to.u64(self.capabilities)
        to.items(self.rlimits, lambda limit: limit.write(to))
        to.u16(self.rows)
        to.u16(self.columns)
        to.blob(_whole_instructions(self.seccomp), limit=MAX_SECCOMP)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(
            process=read_process(source),
            container=source.u32(),
            flags=read_flags(source, ProcessFlag),
            args=source.items(source.string, limit=MAX_ARGS),
            env=source.items(source.string, limit=MAX_ARGS),
            cwd=source.string(),
            user=source.string(),
            groups=source.items(source.string),
            capabilities=source.u64(),
            rlimits=source.items(lambda: Rlimit.read(source)),
            rows=source.u16(),
            columns=source.u16(),
            seccomp=_whole_instructions(source.blob(limit=MAX_SECCOMP)),
        )


def _whole_instructions(program: bytes) -> bytes:
    if len(program) % SECCOMP_INSTRUCTION:
        raise ProtocolError(f"seccomp filter of {len(program)} bytes ends within an instruction")
    return program


@dataclass(frozen=True, slots=True)
class ProcessSignal(Request):
    """Send a signal to a process, or to every process of its container."""

    op: ClassVar[Op] = Op.PROCESS_SIGNAL
    process: int
    signal: int
    flags: SignalFlag = SignalFlag.NONE

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        write_process(to, self.process)
        to.u32(self.signal)
        to.u32(self.flags)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(read_process(source), source.u32(), read_flags(source, SignalFlag))


@dataclass(frozen=True, slots=True)
class ProcessResize(Request):
    """Set the size of a process's terminal."""

    op: ClassVar[Op] = Op.PROCESS_RESIZE
    process: int
    rows: int
    columns: int

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        write_process(to, self.process)
        to.u16(self.rows)
        to.u16(self.columns)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(read_process(source), source.u16(), source.u16())


@dataclass(frozen=True, slots=True)
class ProcessReap(Request):
    """Forget an exited process and its streams."""

    op: ClassVar[Op] = Op.PROCESS_REAP
    process: int

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        write_process(to, self.process)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(read_process(source))


def write_process(to: Writer, process: int) -> None:
    """Append a process id, 1 to MAX_PROCESS_ID. Raises: ProtocolError."""
    if not 1 <= process <= MAX_PROCESS_ID:
        raise ProtocolError(f"process id {process} is out of range")
    to.u32(process)


def read_process(source: Reader) -> int:
    """Take a process id. Raises: ProtocolError."""
    process = source.u32()
    if not 1 <= process <= MAX_PROCESS_ID:
        raise ProtocolError(f"process id {process} is out of range")
    return process


def stream_id(process: int, fd: int) -> int:
    """Return the stream id of a process's 0 (stdin), 1 (stdout) or 2 (stderr).

    Raises:
        ProtocolError: there is no such stream.
    """
    if not 1 <= process <= MAX_PROCESS_ID or fd not in (0, 1, 2):
        raise ProtocolError(f"no stream {fd} of process {process}")
    return process * 4 + fd


def split_stream_id(stream: int) -> tuple[int, int]:
    """Return (process, fd) of a stream id.

    Raises:
        ProtocolError: no process has this stream.
    """
    process, fd = divmod(stream, 4)
    if not 1 <= process <= MAX_PROCESS_ID or fd == 3:
        raise ProtocolError(f"stream {stream} belongs to no process")
    return process, fd
