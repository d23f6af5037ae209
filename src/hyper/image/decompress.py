"""Decompression of blobs to tars: gzip, zstd, bzip2, xz or nothing, told apart by first bytes as in Docker. Bounded."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

import zstandard

from hyper.image import limits
from hyper.image.tarstream import BadLayer

_CHUNK = 1 << 20
_INPUT = 1 << 18
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
_BZIP2 = b"BZh"
_XZ = b"\xfd7zXZ\0"


class Decoder(Protocol):
    """A decoder: what zlib, bz2 and lzma have in common, once zlib is wrapped."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...


class Gunzip:
    """The decoder of one member of a gzip file."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def chunks(blob: BinaryIO, *, max_bytes: int = limits.MAX_LAYER_TAR_BYTES) -> Iterator[bytes]:
    """The tar in ``blob`` (seekable, unbuffered; read from its start) in pieces of up to 1 MiB.

    Raises:
        BadLayer: broken or truncated compression, or more than ``max_bytes`` come out.
    """
    total = 0
    try:
        for chunk in _open(blob):
            total += len(chunk)
            if total > max_bytes:
                raise BadLayer(f"the layer unpacks to more than {max_bytes} bytes")
            yield chunk
    except (zlib.error, lzma.LZMAError, OSError, zstandard.ZstdError, EOFError) as error:
        raise BadLayer(f"the layer cannot be decompressed: {error}") from error


def compression_of(head: bytes) -> str:
    """The compression of a file that begins with ``head`` (6 bytes or more, if it has them): "gzip"…; "" for a tar."""
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(_ZSTD) or head[1:4] == _ZSTD_SKIPPABLE:
        return "zstd"
    if head.startswith(_BZIP2):
        return "bzip2"
    return "xz" if head.startswith(_XZ) else ""


def _open(blob: BinaryIO) -> Iterator[bytes]:
    blob.seek(0)
    compression = compression_of(blob.read(6))
    blob.seek(0)
    match compression:
        case "gzip":
            return _decode(blob, Gunzip)
        case "zstd":
            return _zstd(blob)
        case "bzip2":
            return _decode(blob, bz2.BZ2Decompressor)
        case "xz":
            limit = limits.MAX_ZSTD_WINDOW_BYTES
            return _decode(blob, lambda: lzma.LZMADecompressor(memlimit=limit))
    return iter(lambda: blob.read(_CHUNK), b"")


def _decode(blob: BinaryIO, make: Callable[[], Decoder]) -> Iterator[bytes]:
    """The decoded bytes of one or more streams after each other; zeros behind the last are padding."""
    decoder, data = make(), b""
    while True:
        if not data and decoder.needs_input:
            data = blob.read(_INPUT)
            if not data:
                raise BadLayer("the layer's compressed data ends too early")
        piece = decoder.decompress(data, _CHUNK)
        data = b""
        if piece:
            yield piece
        if decoder.eof:
            data = decoder.unused_data or blob.read(_INPUT)
            if not data.strip(b"\0"):
                return
            decoder = make()


def _zstd(blob: BinaryIO) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=limits.MAX_ZSTD_WINDOW_BYTES)
    with decompressor.stream_reader(
        blob, read_size=_INPUT, read_across_frames=True, closefd=False
    ) as reader:
        while piece := reader.read(_CHUNK):
            yield piece
