"""A tar that comes in pieces, as a client sends it: compressed or not, never as a whole. Pure.

The reader of layers pulls; here bytes are pushed. Where bytes are missing the reader gives up and tries the same
header again when more have come: headers are short, and contents are passed on without it.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator

import zstandard

from hyper.image import limits
from hyper.image.decompress import Decoder, Gunzip, compression_of
from hyper.image.tarstream import BLOCK, BadLayer, ByteSource, Entry, TarReader

#: Decompressed bytes handed on at a time.
_PIECE = 1 << 18
_MAGIC = 6
_ZEROS = bytes(1 << 16)
#: Longest run of extended headers before one entry; a megabyte each is allowed, but not many of them.
_MAX_HEADERS = 4 * limits.MAX_EXTENDED_HEADER_BYTES


class _NeedMore(Exception):
    """The signal that the bytes asked for have not come yet."""


class _Buffer(ByteSource):
    """The buffer of bytes that have come and are not used. Reads are exact, or raise _NeedMore."""

    def __init__(self) -> None:
        super().__init__(iter(()))
        self.data = b""
        self.at = 0
        self.whole = False

    @property
    def left(self) -> int:
        """The number of bytes in the buffer."""
        return len(self.data) - self.at

    def add(self, data: bytes) -> None:
        """The bytes ``data`` are in the buffer, too."""
        self.data = self.data[self.at :] + data
        self.at = 0

    def take(self, count: int) -> bytes:
        """The next bytes, at most ``count``, as many as there are."""
        piece = self.data[self.at : self.at + count]
        self.at += len(piece)
        return piece

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes; fewer only at the end of all."""
        if self.left < count and not self.whole:
            raise _NeedMore
        return self.take(count)

    def copy(
        self, count: int, write: Callable[[memoryview], object], *, exact: bool = True
    ) -> None:
        """Hand ``count`` bytes to ``write``, as `ByteSource.copy` does."""
        data = self.read(count)
        if len(data) < count and exact:
            raise BadLayer("the tar ends too early")
        write(memoryview(data))


class TarFeed:
    """The feed of a tar: entries, each followed by its content in pieces (of a sparse file with its holes as zeros).

    ``feed`` bytes as they come, then ``close``. ``done``: the tar's own end was seen; what follows is ignored.
    """

    def __init__(self) -> None:
        self._buffer = _Buffer()
        self._reader = TarReader(self._buffer)
        self._unpack: _Unpacker | None = None
        self._head = b""
        self._left = 0
        self._padding = 0
        self._parts: list[tuple[int, int]] = []
        self.done = False

    def feed(self, data: bytes) -> Iterator[Entry | bytes]:
        """The entries and pieces that ``data`` completes; to be used up before the next call.

        Raises:
            BadLayer: this is no tar, or a broken one.
        """
        if self.done:
            return
        if self._unpack is None:
            self._head += data
            if len(self._head) < _MAGIC:
                return
            data, self._head = self._head, b""
            self._unpack = _unpacker(data)
        try:
            for piece in self._unpack.feed(data):
                self._buffer.add(piece)
                yield from self._take()
                if self.done:
                    return
        except (zlib.error, lzma.LZMAError, OSError, zstandard.ZstdError, EOFError) as error:
            raise BadLayer(f"the archive cannot be decompressed: {error}") from error

    def close(self) -> Iterator[Entry | bytes]:
        """The entries and pieces that are complete now that nothing more comes.

        Raises:
            BadLayer: it ends too early.
        """
        self._buffer.add(self._head)
        self._buffer.whole = True
        if self._unpack is not None and not self._unpack.finished and not self.done:
            raise BadLayer("the archive's compressed data ends too early")
        yield from self._take()
        if not self.done:
            raise BadLayer("unexpected EOF: the tar ends too early")

    def _take(self) -> Iterator[Entry | bytes]:
        buffer = self._buffer
        while not self.done:
            yield from self._content()
            if self._parts or self._left or self._padding:
                return
            start = buffer.at
            try:
                entry = next(iter(self._reader), None)
            except _NeedMore:
                buffer.at = start
                if buffer.left > _MAX_HEADERS:
                    raise BadLayer("the headers of one entry are too long") from None
                return
            if entry is None:
                self.done = True
                buffer.take(buffer.left)
                return
            self._begin(entry)
            yield entry

    def _begin(self, entry: Entry) -> None:
        self._padding = -entry.stored % BLOCK
        if entry.fragments is None:
            self._left = entry.stored
            return
        position = 0
        for offset, length in entry.fragments.pieces:
            self._parts += [(offset - position, 0), (0, length)]
            position = offset + length
        self._parts.append((entry.size - position, 0))
        self._parts.reverse()

    def _content(self) -> Iterator[bytes]:
        while True:
            while self._left:
                piece = self._buffer.take(self._left)
                if not piece:
                    return self._short()
                self._left -= len(piece)
                yield piece
            if not self._parts:
                break
            hole, self._left = self._parts.pop()
            while hole:
                yield _ZEROS[:hole]
                hole -= min(hole, len(_ZEROS))
        self._padding -= len(self._buffer.take(self._padding))
        if self._padding:
            self._short()

    def _short(self) -> None:
        if self._buffer.whole:
            raise BadLayer("unexpected EOF: the tar ends in the middle of a file")


class _Unpacker:
    """The unpacker of streams in a row, as gzip's members; None: not compressed. Zeros behind the last are padding."""

    def __init__(self, make: Callable[[], Decoder] | None) -> None:
        self._make = make
        self._decoder = make() if make else None

    @property
    def finished(self) -> bool:
        """Whether the data may end here."""
        return self._decoder is None or self._decoder.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bytes of ``data`` unpacked, a bounded piece at a time."""
        if self._decoder is None or self._make is None:
            yield data
            return
        while data or not self._decoder.needs_input:
            if self._decoder.eof:
                if not data.strip(b"\0"):
                    return
                self._decoder = self._make()
            piece = self._decoder.decompress(data, _PIECE)
            data = self._decoder.unused_data if self._decoder.eof else b""
            if piece:
                yield piece
            if self._decoder.eof and not data:
                return


class _Zstd:
    """The decompressor for zstd: one call's output is unbounded, but bearable for a piece of input of this size."""

    _INPUT = 1024

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor(
            max_window_size=limits.MAX_ZSTD_WINDOW_BYTES
        ).decompressobj()
        self._rest = b""

    def decompress(self, data: bytes, _: int = -1, /) -> bytes:
        self._rest += data
        piece, self._rest = self._rest[: self._INPUT], self._rest[self._INPUT :]
        return self._inner.decompress(piece)

    @property
    def needs_input(self) -> bool:
        return not self._rest

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data + self._rest


def _unpacker(head: bytes) -> _Unpacker:
    match compression_of(head):
        case "gzip":
            return _Unpacker(Gunzip)
        case "zstd":
            return _Unpacker(_Zstd)
        case "bzip2":
            return _Unpacker(bz2.BZ2Decompressor)
        case "xz":
            limit = limits.MAX_ZSTD_WINDOW_BYTES
            return _Unpacker(lambda: lzma.LZMADecompressor(memlimit=limit))
    return _Unpacker(None)
