"""Records: what the agent's builtins read and write. Files of a tree, what changed, how it ended.

Source: docs/protocol.md, "Builtins".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from hyper.errors import ProtocolError
from hyper.proto.limits import (
    MAX_ENTRY_NAME,
    MAX_ENTRY_PATH,
    MAX_LINK,
    MAX_RECORD,
    MAX_TEXT,
    MAX_XATTR_BYTES,
    MAX_XATTRS,
    RECORD_HEADER,
)
from hyper.proto.wire import Reader, Writer


class RecordKind(IntEnum):
    """The kind of a record."""

    STAT = 1
    ENTRY = 2
    CHANGE = 3
    END = 4
    ERROR = 5


class ChangeKind(IntEnum):
    """The kind of change of a file. Docker's numbers; OPAQUE (a directory that hides what is below it) is Hyper's."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2
    OPAQUE = 3


#: The kinds of files by tar's type flags.
FILE, HARD_LINK, LINK, CHARACTER, BLOCK, DIRECTORY, FIFO = b"0123456"
_DEVICES: Final = (CHARACTER, BLOCK)
_MAX_SIZE: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class FileStat:
    """The file at a path: ``mode`` as in stat(2), times since the epoch, ``link`` where a link leads to in the end."""

    mode: int
    size: int
    mtime_s: int
    mtime_ns: int
    link: bytes

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """The file that a STAT record's body describes. Raises: ProtocolError."""
        source = Reader(body)
        mode, size = source.u32(), source.u64()
        seconds, nanoseconds = _signed(source.u64()), source.u32()
        link = _text(source, MAX_LINK)
        source.end()
        return cls(mode, size, seconds, nanoseconds, link)


@dataclass(frozen=True, slots=True)
class Xattr:
    """An extended attribute."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a tree; ``size`` bytes of content follow a FILE's. ``mtime``: seconds. ``path`` is relative, b"" for
    the tree itself."""

    path: bytes
    type: int
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    major: int = 0
    minor: int = 0
    link: bytes = b""
    xattrs: tuple[Xattr, ...] = ()

    def encode(self) -> bytes:
        """The body of the entry's record. Raises: ProtocolError if the agent would not take it."""
        to = Writer()
        to.blob(self.path, limit=MAX_ENTRY_PATH)
        to.u8(self.type)
        for number in (self.mode, self.uid, self.gid):
            to.u32(number)
        to.u64(self.mtime & 2**64 - 1)
        to.u64(self.size)
        to.u32(self.major)
        to.u32(self.minor)
        to.blob(self.link, limit=MAX_LINK)
        to.items(self.xattrs, lambda item: _write_xattr(to, item), limit=MAX_XATTRS)
        self._check()
        return bytes(to)

    def record(self) -> bytes:
        """The entry's whole record. Raises: ProtocolError if the agent would not take it."""
        return _record(RecordKind.ENTRY, self.encode())

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """The entry that an ENTRY record's body describes. Raises: ProtocolError."""
        source = Reader(body)
        entry = cls(
            path=_text(source, MAX_ENTRY_PATH),
            type=source.u8(),
            mode=source.u32(),
            uid=source.u32(),
            gid=source.u32(),
            mtime=_signed(source.u64()),
            size=source.u64(),
            major=source.u32(),
            minor=source.u32(),
            link=_text(source, MAX_LINK),
            xattrs=source.items(
                lambda: Xattr(_text(source, MAX_ENTRY_NAME), source.blob(limit=MAX_XATTR_BYTES)),
                limit=MAX_XATTRS,
            ),
        )
        source.end()
        entry._check()
        return entry

    def _check(self) -> None:
        if not FILE <= self.type <= FIFO or self.mode & ~0o7777:
            raise ProtocolError(f"an entry of type {self.type}, mode {self.mode:o}")
        if self.path and not is_inner(self.path):
            raise ProtocolError(f"an entry with the path {self.path[:80]!r}")
        hard = self.type == HARD_LINK
        linked = is_inner(self.link) if hard else bool(self.link) == (self.type == LINK)
        if not linked or b"\0" in self.link:
            raise ProtocolError(f"an entry with the link {self.link[:80]!r}")
        if (self.size and self.type != FILE) or self.size > _MAX_SIZE:
            raise ProtocolError(f"an entry of {self.size} bytes")
        if (self.major or self.minor) and self.type not in _DEVICES:
            raise ProtocolError("an entry that is no device and has a number")
        if sum(len(item.name) + len(item.value) for item in self.xattrs) > MAX_XATTR_BYTES:
            raise ProtocolError("an entry with too many extended attributes")
        if any(not item.name or b"\0" in item.name for item in self.xattrs):
            raise ProtocolError("an extended attribute without a name")


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a file: ``path`` (absolute) is not as in the image any more."""

    kind: ChangeKind
    path: bytes

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """The change that a CHANGE record's body describes. Raises: ProtocolError."""
        source = Reader(body)
        kind, path = source.u8(), _text(source, MAX_ENTRY_PATH + 1)
        source.end()
        if kind not in ChangeKind.__members__.values() or not is_inner(path[1:]) or path[0] != 47:
            raise ProtocolError(f"a change of kind {kind} at {path[:80]!r}")
        return cls(ChangeKind(kind), path)


@dataclass(frozen=True, slots=True)
class Content:
    """A piece of the content of the latest entry."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The end of a builtin's records: it has done everything."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The failure of a builtin, which has given up; ``code`` is a ReplyCode's number, ``errno`` Linux's or 0."""

    code: int
    errno: int
    text: str

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """The failure that an ERROR record's body describes. Raises: ProtocolError."""
        source = Reader(body)
        failure = cls(source.u16(), source.u16(), source.text(limit=MAX_TEXT))
        source.end()
        return failure


Record = FileStat | FileEntry | Content | Change | End | Failure

#: The record after the last entry.
END_RECORD: Final = bytes([RecordKind.END, 0, 0, 0, 0])


class RecordDecoder:
    """Decoder of a builtin's output. ``ended``: the last record has come."""

    def __init__(self) -> None:
        self._buffer = b""
        self._content = 0
        self.ended = False

    def feed(self, data: bytes) -> Iterator[Record]:
        """The records that are complete with ``data``; to be used up before the next call.

        Raises:
            ProtocolError: the bytes are no output of a builtin.
        """
        self._buffer += data
        at = 0
        while at < len(self._buffer):
            if self.ended:
                raise ProtocolError("a builtin wrote on after its end")
            if self._content:
                piece = self._buffer[at : at + self._content]
                at += len(piece)
                self._content -= len(piece)
                yield Content(piece)
                continue
            body = self._body(at)
            if body is None:
                break
            kind, at = RecordKind(self._buffer[at]), at + RECORD_HEADER + len(body)
            yield self._take(kind, body)
        self._buffer = self._buffer[at:]

    def _body(self, at: int) -> bytes | None:
        """The body of the record that begins at ``at``, None while it is not whole."""
        kind = self._buffer[at]
        if not RecordKind.STAT <= kind <= RecordKind.ERROR:
            raise ProtocolError(f"a record of kind {kind}")
        start = at + RECORD_HEADER
        size = int.from_bytes(self._buffer[at + 1 : start], "little")
        if len(self._buffer) < start:
            return None
        if size > MAX_RECORD:
            raise ProtocolError(f"a record of {size} bytes")
        return self._buffer[start : start + size] if len(self._buffer) >= start + size else None

    def _take(self, kind: RecordKind, body: bytes) -> Record:
        match kind:
            case RecordKind.STAT:
                return FileStat.decode(body)
            case RecordKind.ENTRY:
                entry = FileEntry.decode(body)
                self._content = entry.size
                return entry
            case RecordKind.CHANGE:
                return Change.decode(body)
            case RecordKind.ERROR:
                self.ended = True
                return Failure.decode(body)
            case RecordKind.END:
                Reader(body).end()
                self.ended = True
                return End()


def is_inner(path: bytes) -> bool:
    """Whether ``path`` is relative, with no part empty, ``.``, ``..`` or too long."""
    parts = path.split(b"/")
    return len(path) <= MAX_ENTRY_PATH and all(
        part not in (b"", b".", b"..") and len(part) <= MAX_ENTRY_NAME and b"\0" not in part
        for part in parts
    )


def _record(kind: RecordKind, body: bytes) -> bytes:
    if len(body) > MAX_RECORD:
        raise ProtocolError(f"a record of {len(body)} bytes")
    return bytes([kind]) + len(body).to_bytes(4, "little") + body


def _write_xattr(to: Writer, item: Xattr) -> None:
    to.blob(item.name, limit=MAX_ENTRY_NAME)
    to.blob(item.value, limit=MAX_XATTR_BYTES)


def _signed(value: int) -> int:
    return value - 2**64 if value >> 63 else value


def _text(source: Reader, limit: int) -> bytes:
    data = source.blob(limit=limit)
    if b"\0" in data:
        raise ProtocolError("a name contains a NUL byte")
    return data
