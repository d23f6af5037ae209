"""The HELLO messages of host and guest.

Source: docs/protocol.md, "Meeting, and meeting again".
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from hyper.errors import OutdatedAgent, ProtocolError
from hyper.proto.limits import ENTROPY_SIZE, MAGIC, MAX_PROCESSES, MAX_TEXT, NONCE_SIZE, VERSION
from hyper.proto.process import read_process, write_process
from hyper.proto.wire import Reader, Writer


class ProcessState(IntEnum):
    """State of a process in the guest's HELLO."""

    RUNNING = 1
    EXITED = 2


def _write_prefix(to: Writer, version: int, nonce: bytes) -> None:
    to.u32(MAGIC)
    to.u16(version)
    to.u16(0)
    to.raw(nonce, NONCE_SIZE)


def _read_prefix(source: Reader) -> tuple[int, bytes]:
    magic, version, reserved = source.u32(), source.u16(), source.u16()
    if magic != MAGIC:
        raise ProtocolError(f"HELLO with magic {magic:#010x}, expected {MAGIC:#010x}")
    if reserved:
        raise ProtocolError(f"reserved field of HELLO is {reserved}, expected 0")
    return version, source.raw(NONCE_SIZE)


@dataclass(frozen=True, slots=True)
class HostHello:
    """The host's HELLO."""

    nonce: bytes
    realtime_ns: int
    entropy: bytes
    version: int = VERSION

    def encode(self) -> bytes:
        """Return the HELLO's body. Raises: ProtocolError."""
        to = Writer()
        _write_prefix(to, self.version, self.nonce)
        to.u64(self.realtime_ns)
        to.raw(self.entropy, ENTROPY_SIZE)
        return bytes(to)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Return the HELLO that the body holds. Raises: ProtocolError if malformed."""
        source = Reader(body)
        version, nonce = _read_prefix(source)
        hello = cls(nonce, source.u64(), source.raw(ENTROPY_SIZE), version)
        source.end()
        return hello


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """A process the guest has not been told to forget.

    ``stdin`` is the next offset the guest expects, ``stdout`` and ``stderr`` the lowest it
    still holds.
    """

    process: int
    state: ProcessState
    stdin: int
    stdout: int
    stderr: int

    def write(self, to: Writer) -> None:
        """Append the process. Raises: ProtocolError."""
        write_process(to, self.process)
        to.u8(self.state)
        to.u64(self.stdin)
        to.u64(self.stdout)
        to.u64(self.stderr)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take a process. Raises: ProtocolError."""
        process, state = read_process(source), source.u8()
        try:
            known = ProcessState(state)
        except ValueError:
            raise ProtocolError(f"process {process} is in unknown state {state}") from None
        return cls(process, known, source.u64(), source.u64(), source.u64())


@dataclass(frozen=True, slots=True)
class GuestHello:
    """The guest's HELLO."""

    nonce: bytes
    boot_ns: int
    agent: str
    processes: tuple[ProcessInfo, ...] = ()
    version: int = VERSION

    def encode(self) -> bytes:
        """Return the HELLO's body. Raises: ProtocolError."""
        to = Writer()
        _write_prefix(to, self.version, self.nonce)
        to.u64(self.boot_ns)
        to.string(self.agent, limit=MAX_TEXT)
        to.items(self.processes, lambda info: info.write(to), limit=MAX_PROCESSES)
        return bytes(to)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Return the HELLO that the body holds.

        Of a foreign version no more than prefix and version are looked at; ``agent`` is then
        empty and ``boot_ns`` 0.

        Raises:
            ProtocolError: malformed, or a process is named twice.
        """
        source = Reader(body)
        version, nonce = _read_prefix(source)
        if version != VERSION:
            return cls(nonce, 0, "", (), version)
        boot_ns, agent = source.u64(), source.text(limit=MAX_TEXT)
        processes = source.items(lambda: ProcessInfo.read(source), limit=MAX_PROCESSES)
        source.end()
        if len({info.process for info in processes}) != len(processes):
            raise ProtocolError("HELLO names a process twice")
        return cls(nonce, boot_ns, agent, processes, version)

    def require_version(self) -> None:
        """The guest speaks this version of the protocol.

        Raises:
            OutdatedAgent: it speaks a lower one.
            ProtocolError: it speaks a higher one.
        """
        if self.version == VERSION:
            return
        words = f"it speaks version {self.version}, we speak {VERSION}"
        if self.version < VERSION:
            raise OutdatedAgent(f"the agent is of an older hyperd: {words}")
        raise ProtocolError(words)
