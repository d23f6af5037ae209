"""Tar streams: reading hostile ones, writing strict ones. Pure: bytes in, entries out.

Python's own ``tarfile`` is three times slower and guesses where we want to refuse. What is accepted is what Go's
archive/tar accepts, because that is what images are made with: V7, ustar, GNU long names, PAX.

Source: pax(1) "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, appendix "Tar Internals".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hyper.errors import InvalidRequest
from hyper.image import limits
from hyper.image.sparse import Fragments, pax_fragments, read_gnu_fragments

BLOCK = 512
_ZERO = bytes(BLOCK)
_XATTR = b"SCHILY.xattr."
#: 32 bits is what squashfs keeps of times and owners.
MAX_U32 = 0xFFFF_FFFF

REGULAR, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = (
    b"0", b"1", b"2", b"3", b"4", b"5", b"6",
)  # fmt: skip
_SPARSE = b"S"
_KINDS = {
    b"\0": REGULAR, b"7": REGULAR, _SPARSE: REGULAR,
    REGULAR: REGULAR, HARDLINK: HARDLINK, SYMLINK: SYMLINK, CHARACTER: CHARACTER,
    BLOCK_DEVICE: BLOCK_DEVICE, DIRECTORY: DIRECTORY, FIFO: FIFO,
}  # fmt: skip


class BadLayer(InvalidRequest):
    """A bad layer: its bytes are no layer, broken, or made to do harm."""


@dataclass(slots=True)
class Entry:
    """An entry: one member of a tar. ``size`` is what the file will have, ``stored`` what the stream holds of it."""

    name: bytes
    kind: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[bytes, bytes] | None = None
    stored: int = 0
    fragments: Fragments | None = None


class ByteSource:
    """A source of bytes: exact reads and bulk copies from an iterator of byte strings."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._view = memoryview(b"")

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes, or what is left at the end of the stream."""
        if len(self._view) >= count:
            piece, self._view = self._view[:count], self._view[count:]
            return bytes(piece)
        pieces: list[bytes] = []
        self.copy(count, lambda view: pieces.append(bytes(view)), exact=False)
        return b"".join(pieces)

    def copy(
        self, count: int, write: Callable[[memoryview], object], *, exact: bool = True
    ) -> None:
        """Hand ``count`` bytes to ``write`` in large pieces, without copying them.

        Raises:
            BadLayer: the stream ends before, and ``exact``.
        """
        while count > 0:
            if not self._view:
                chunk = next(self._chunks, b"")
                if not chunk:
                    if exact:
                        raise BadLayer("the tar ends in the middle of a file")
                    return
                self._view = memoryview(chunk)
            piece = self._view[:count]
            self._view = self._view[len(piece) :]
            count -= len(piece)
            write(piece)

    def drain(self) -> None:
        """Read to the end of the stream."""
        self._view = memoryview(b"")
        for _ in self._chunks:
            pass


class TarReader:
    """The reader of a tar's entries. Iterate; between two entries call `copy_body` or let the body be skipped."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._left = 0
        self._entry: Entry | None = None

    def __iter__(self) -> Iterator[Entry]:
        """The entries up to the end mark (or a clean end of the stream).

        Raises:
            BadLayer: any fault of the tar, with the name of the entry where known.
        """
        while (entry := self._next()) is not None:
            yield entry
            self._skip_body()

    def copy_body(self, write: Callable[[memoryview | bytes], object]) -> None:
        """Hand the current entry's content, holes as zeros, to ``write`` (``entry.size`` bytes)."""
        entry = self._entry
        assert entry is not None
        if entry.fragments is None:
            self._source.copy(entry.size, write)
        else:
            entry.fragments.expand(entry.size, self._source.copy, write)
        self._left = -entry.stored % BLOCK

    def _skip_body(self) -> None:
        self._source.copy(self._left, lambda view: None)
        self._left = 0

    def _next(self) -> Entry | None:
        """The next entry with all extended headers before it applied."""
        pax: dict[bytes, bytes] = {}
        long_name = long_link = None
        while (block := self._header_block()) is not None:
            kind = block[156:157]
            if kind in (b"x", b"X"):
                pax.update(_pax_records(self._extended(block)))
            elif kind == b"g":
                self._extended(block)  # Docker ignores global headers, so must we
            elif kind == b"L":
                long_name = self._extended(block).split(b"\0", 1)[0]
            elif kind == b"K":
                long_link = self._extended(block).split(b"\0", 1)[0]
            else:
                return self._finish(block, pax, long_name, long_link)
        if pax or long_name is not None or long_link is not None:
            raise BadLayer("the tar ends after an extended header")
        return None

    def _header_block(self) -> bytes | None:
        block = self._source.read(BLOCK)
        if not block:
            return None
        if len(block) < BLOCK:
            raise BadLayer("the tar ends in the middle of a header")
        if block == _ZERO:
            second = self._source.read(BLOCK)
            if second not in (_ZERO, b""):
                raise BadLayer("a single empty block in the middle of the tar")
            return None
        stated = _number(block[148:156], "checksum")
        if stated != sum(block) - sum(block[148:156]) + 8 * 32:
            raise BadLayer("not a tar: bad header checksum")
        return block

    def _extended(self, block: bytes) -> bytes:
        size = _number(block[124:136], "size")
        if not 0 <= size <= limits.MAX_EXTENDED_HEADER_BYTES:
            raise BadLayer(f"an extended header of {size} bytes")
        data = self._source.read(size)
        self._source.copy(-size % BLOCK, lambda view: None)
        if len(data) < size:
            raise BadLayer("the tar ends in an extended header")
        return data

    def _finish(
        self, block: bytes, pax: dict[bytes, bytes], name: bytes | None, link: bytes | None
    ) -> Entry:
        entry = _entry(block)
        if name is not None:
            entry.name = name
        if link is not None:
            entry.link = link
        _apply_pax(entry, pax)
        # Only now: the first 100 bytes of a longer name may end with a slash, too.
        if block[156:157] in (b"\0", REGULAR) and entry.name.endswith(b"/"):
            entry.kind, entry.size, entry.stored = DIRECTORY, 0, 0
        _check(entry)
        if block[156:157] == _SPARSE:
            entry.fragments, entry.size = read_gnu_fragments(block, self._source.read, _number)
        elif entry.kind == REGULAR:
            self._apply_sparse_pax(entry, pax)
        if entry.fragments is not None and entry.fragments.stored != entry.stored:
            raise BadLayer(f"{entry.name[:80]!r} is sparse and its map does not fit its size")
        if entry.size < 0 or entry.size > limits.MAX_LAYER_TAR_BYTES:
            raise BadLayer(f"{entry.name[:80]!r} has an impossible size: {entry.size}")
        self._left = entry.stored + (-entry.stored % BLOCK)
        self._entry = entry
        return entry

    def _apply_sparse_pax(self, entry: Entry, pax: dict[bytes, bytes]) -> None:
        found = pax_fragments(pax, self._source.read)
        if found is None:
            return
        entry.fragments, entry.size, name, consumed = found
        entry.stored -= consumed
        entry.name = name or entry.name


def header(entry: Entry) -> bytes:
    """The header blocks of ``entry``: ustar, preceded by PAX where ustar has no room."""
    records: list[tuple[bytes, bytes]] = [
        (_XATTR + key, value) for key, value in (entry.xattrs or {}).items()
    ]
    name, link = entry.name, entry.link
    if len(name) > 100:
        records.append((b"path", name))
        name = b"long"
    if len(link) > 100:
        records.append((b"linkpath", link))
        link = b"long"
    fields = [entry.uid, entry.gid, entry.size, entry.mtime]
    for index, (key, width) in enumerate(((b"uid", 7), (b"gid", 7), (b"size", 11), (b"mtime", 11))):
        if fields[index] >= 8**width:
            records.append((key, b"%d" % fields[index]))
            fields[index] = 0
    block = _ustar(name, entry, fields, link)
    if not records:
        return block
    data = b"".join(_pax_record(key, value) for key, value in records)
    head = _ustar(b"pax", Entry(b"pax", b"x"), [0, 0, len(data), 0], b"")
    return head + data + bytes(-len(data) % BLOCK) + block


def padding(size: int) -> bytes:
    """The zeros after a body of ``size`` bytes."""
    return bytes(-size % BLOCK)


def _ustar(name: bytes, entry: Entry, fields: list[int], link: bytes) -> bytes:
    uid, gid, size, mtime = fields
    block = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0        %b%bustar\x0000%64x%07o\0%07o\0" % (
        name.ljust(100, b"\0"), entry.mode, uid, gid, size, mtime,
        entry.kind, link.ljust(100, b"\0"), 0, entry.major, entry.minor,
    )  # fmt: skip
    block = block[:265] + bytes(64) + block[329:] + bytes(167)
    return b"%b%06o\0 %b" % (block[:148], sum(block), block[156:])


def _pax_record(key: bytes, value: bytes) -> bytes:
    body = len(key) + len(value) + 3
    length = body + len(str(body))
    if len(str(length)) != len(str(body)):
        length += 1
    return b"%d %b=%b\n" % (length, key, value)


def _pax_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 12)
        digits = data[position:space] if space >= 0 else b""
        if not digits.isdigit():
            raise BadLayer("a PAX header without a length")
        end = position + int(digits)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end > len(data) or end <= space + 1 or data[end - 1 : end] != b"\n" or not equals:
            raise BadLayer("a broken PAX header")
        if b"\0" in key or (b"\0" in value and not key.startswith(_XATTR)):
            raise BadLayer(f"a NUL in the PAX header {key[:40]!r}")
        yield key, value
        position = end


def _entry(block: bytes) -> Entry:
    (
        name,
        mode,
        uid,
        gid,
        size,
        mtime,
        _sum,
        flag,
        link,
        magic,
        _user,
        _group,
        major,
        minor,
        prefix,
    ) = _unpack(block)
    kind = _KINDS.get(flag)
    if kind is None:
        raise BadLayer(f"{_text(name)[:80]!r} is of the unknown type {flag!r}")
    path = _text(name)
    if magic == b"ustar\x0000" and prefix[0]:
        path = _text(prefix) + b"/" + path
    stored = _number(size, "size") if kind == REGULAR else 0
    entry = Entry(
        path, kind, _number(mode, "mode"), _number(uid, "uid"), _number(gid, "gid"),
        stored, _number(mtime, "mtime"), _text(link), stored=stored,
    )  # fmt: skip
    if kind in (CHARACTER, BLOCK_DEVICE):
        entry.major, entry.minor = _number(major, "major"), _number(minor, "minor")
    return entry


def _unpack(block: bytes) -> tuple[bytes, ...]:
    return (
        block[0:100], block[100:108], block[108:116], block[116:124], block[124:136], block[136:148],
        block[148:156], block[156:157], block[157:257], block[257:265], block[265:297],
        block[297:329], block[329:337], block[337:345], block[345:500],
    )  # fmt: skip


def _text(data: bytes) -> bytes:
    end = data.find(b"\0")
    return data if end < 0 else data[:end]


def _number(data: bytes, what: str) -> int:
    """The number in a field: octal, or GNU's base 256."""
    if data[0] & 0x80:
        value = int.from_bytes(data, "big")
        return value - (1 << 8 * len(data)) if data[0] & 0x40 else value - (1 << 8 * len(data) - 1)
    digits = data.strip(b" \0")
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        raise BadLayer(f"a header's {what} is no number: {digits[:20]!r}") from None


def _apply_pax(entry: Entry, pax: dict[bytes, bytes]) -> None:
    for key, value in pax.items():
        if key.startswith(_XATTR):
            if entry.xattrs is None:
                entry.xattrs = {}
            entry.xattrs[key[len(_XATTR) :]] = value
        elif not value:
            continue
        elif key == b"path":
            entry.name = value
        elif key == b"linkpath":
            entry.link = value
        elif key == b"size" and entry.kind == REGULAR:
            entry.size = entry.stored = _decimal(value, key)
        elif key in (b"uid", b"gid", b"mtime"):
            setattr(entry, key.decode(), _decimal(value.split(b".", 1)[0], key))


def _decimal(value: bytes, key: bytes) -> int:
    if not value.removeprefix(b"-").isdigit() or len(value) > 20:
        raise BadLayer(f"the PAX header {key.decode()!r} is no number: {value[:20]!r}")
    return int(value)


def _check(entry: Entry) -> None:
    """The entry is refused if it cannot be, and brought into range if it only looks odd."""
    shown = entry.name[:80]
    if not (0 <= entry.uid < MAX_U32 and 0 <= entry.gid < MAX_U32):
        raise BadLayer(f"{shown!r} has an impossible owner: {entry.uid}:{entry.gid}")
    if entry.stored < 0 or entry.stored > limits.MAX_LAYER_TAR_BYTES:
        raise BadLayer(f"{shown!r} has an impossible size: {entry.stored}")
    if not (0 <= entry.major < 1 << 12 and 0 <= entry.minor < 1 << 20):
        raise BadLayer(f"{shown!r} has an impossible device number: {entry.major}:{entry.minor}")
    size = sum(len(key) + len(value) for key, value in (entry.xattrs or {}).items())
    if size > limits.MAX_XATTR_BYTES:
        raise BadLayer(f"{shown!r} has too many extended attributes")
    entry.mode &= 0o7777
    entry.mtime = min(max(entry.mtime, 0), MAX_U32)


def components(name: bytes) -> list[bytes] | None:
    """The parts of a member's name, ``.`` and inner ``..`` resolved as Go's filepath.Clean does; None: it leads out."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if parts:
                parts.pop()
            elif not name.startswith(b"/"):
                return None
        elif part not in (b"", b"."):
            parts.append(part)
    return parts
