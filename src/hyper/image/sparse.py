"""Sparse members of tars: where their data goes. Pure.

Four formats are out there: GNU's old one (type S) and its PAX versions 0.0, 0.1 and 1.0.
Source: GNU tar manual, "Storing Sparse Files".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hyper.errors import InvalidRequest
from hyper.image import limits

_ZEROS = bytes(1 << 20)
_KEY = b"GNU.sparse."
_BLOCK = 512

Read = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Fragments:
    """Fragments: ordered, non-overlapping (offset, length) pieces that hold data; the rest is a hole."""

    pieces: tuple[tuple[int, int], ...]

    def expand(
        self,
        size: int,
        copy: Callable[[int, Callable[[memoryview], object]], object],
        write: Callable[[memoryview | bytes], object],
    ) -> None:
        """Hand ``size`` bytes to ``write``: data through ``copy``, zeros between."""
        position = 0
        for offset, length in self.pieces:
            _write_zeros(offset - position, write)
            copy(length, write)
            position = offset + length
        _write_zeros(size - position, write)

    @property
    def stored(self) -> int:
        """The bytes of data, together."""
        return sum(length for _, length in self.pieces)


def read_gnu_fragments(
    block: bytes, read: Read, number: Callable[[bytes, str], int]
) -> tuple[Fragments, int]:
    """The fragments and the real size of an old GNU sparse member, whose header is ``block``.

    Raises:
        InvalidRequest: a map that cannot be.
    """
    size = number(block[483:495], "real size")
    pieces = _gnu_pieces(block[386:482], number)
    extended = block[482] != 0
    while extended:
        more = read(_BLOCK)
        if len(more) < _BLOCK or len(pieces) > limits.MAX_SPARSE_FRAGMENTS:
            raise InvalidRequest("a broken map of a sparse file")
        pieces += _gnu_pieces(more[:504], number)
        extended = more[504] != 0
    return _checked(pieces, size), size


def pax_fragments(
    pax: dict[bytes, bytes], read: Read
) -> tuple[Fragments, int, bytes | None, int] | None:
    """The (fragments, real size, name, bytes of the body that were the map) if ``pax`` tells of a sparse member.

    Raises:
        InvalidRequest: a map that cannot be, or an unknown version.
    """
    version = pax.get(_KEY + b"major"), pax.get(_KEY + b"minor")
    name = pax.get(_KEY + b"name")
    if version == (b"1", b"0"):
        pieces, consumed = _read_map(read)
        size = _decimal(pax.get(_KEY + b"realsize", b""))
        return _checked(pieces, size), size, name, consumed
    if version not in ((None, None), (b"0", b"0"), (b"0", b"1")):
        raise InvalidRequest("a sparse file of an unknown version")
    if _KEY + b"map" not in pax:
        if _KEY + b"numblocks" in pax:
            raise InvalidRequest("a sparse file of version 0.0, which is not supported")
        return None
    numbers = [_decimal(word) for word in pax[_KEY + b"map"].split(b",")]
    size = _decimal(pax.get(_KEY + b"size", b""))
    return _checked(_pairs(numbers), size), size, name, 0


def _read_map(read: Read) -> tuple[list[tuple[int, int]], int]:
    """The map of version 1.0: decimal lines at the start of the body, padded to a block."""
    data = read(_BLOCK)
    count = _decimal(data.split(b"\n", 1)[0])
    if count > limits.MAX_SPARSE_FRAGMENTS:
        raise InvalidRequest(f"a sparse file of {count} fragments")
    while data.count(b"\n") < 1 + 2 * count:
        more = read(_BLOCK)
        if not more:
            raise InvalidRequest("a broken map of a sparse file")
        data += more
    numbers = [_decimal(line) for line in data.split(b"\n", 1 + 2 * count)[1:-1]]
    return _pairs(numbers), len(data)


def _gnu_pieces(data: bytes, number: Callable[[bytes, str], int]) -> list[tuple[int, int]]:
    pieces = []
    for start in range(0, len(data), 24):
        if data[start] == 0:
            break
        pieces.append(
            (
                number(data[start : start + 12], "offset"),
                number(data[start + 12 : start + 24], "length"),
            )
        )
    return pieces


def _pairs(numbers: list[int]) -> list[tuple[int, int]]:
    if len(numbers) % 2:
        raise InvalidRequest("a broken map of a sparse file")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _checked(pieces: list[tuple[int, int]], size: int) -> Fragments:
    position = 0
    for offset, length in pieces:
        if offset < position or length < 0:
            raise InvalidRequest("a broken map of a sparse file")
        position = offset + length
    if position > size or len(pieces) > limits.MAX_SPARSE_FRAGMENTS:
        raise InvalidRequest("a broken map of a sparse file")
    return Fragments(tuple(pieces))


def _write_zeros(count: int, write: Callable[[bytes], object]) -> None:
    while count > 0:
        write(_ZEROS[:count])
        count -= len(_ZEROS)


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise InvalidRequest("a broken map of a sparse file")
    return int(text)
