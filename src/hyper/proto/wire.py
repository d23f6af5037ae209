"""Values inside bodies: integers, strings, lists. All little-endian, all bounded.

Source: docs/protocol.md, "Values".
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from hyper.errors import ProtocolError
from hyper.proto.limits import MAX_ITEMS, MAX_REQUEST, MAX_STR

T = TypeVar("T")


class Writer:
    """Writer of a body's values; ``bytes(writer)`` is the body."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts = bytearray()

    def __bytes__(self) -> bytes:
        return bytes(self._parts)

    def u8(self, value: int) -> None:
        """Append one byte. Raises: ProtocolError if out of range (as every method here)."""
        self._unsigned(value, 1)

    def u16(self, value: int) -> None:
        """Append two bytes."""
        self._unsigned(value, 2)

    def u32(self, value: int) -> None:
        """Append four bytes."""
        self._unsigned(value, 4)

    def u64(self, value: int) -> None:
        """Append eight bytes."""
        self._unsigned(value, 8)

    def raw(self, value: bytes, size: int) -> None:
        """Append exactly ``size`` bytes without a length."""
        if len(value) != size:
            raise ProtocolError(f"value of {len(value)} bytes where {size} are expected")
        self._parts += value

    def string(self, value: str, *, limit: int = MAX_STR) -> None:
        """Append a string. Surrogates made by ``os.fsdecode`` become their bytes again."""
        try:
            data = value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise ProtocolError(f"string cannot be encoded: {error}") from error
        if b"\0" in data:
            raise ProtocolError("string contains a NUL byte")
        self.blob(data, limit=limit)

    def blob(self, value: bytes, *, limit: int = MAX_REQUEST) -> None:
        """Append a byte string with its length."""
        if len(value) > limit:
            raise ProtocolError(f"value of {len(value)} bytes is longer than {limit}")
        self.u32(len(value))
        self._parts += value

    def items(
        self, values: Iterable[T], write: Callable[[T], None], *, limit: int = MAX_ITEMS
    ) -> None:
        """Append a count and each item by ``write``."""
        items = tuple(values)
        if len(items) > limit:
            raise ProtocolError(f"list of {len(items)} items is longer than {limit}")
        self.u32(len(items))
        for item in items:
            write(item)

    def _unsigned(self, value: int, size: int) -> None:
        if not 0 <= value < 1 << 8 * size:
            raise ProtocolError(f"number {value} does not fit in {size} bytes")
        self._parts += value.to_bytes(size, "little")


class Reader:
    """Reader of a body's values. Every method raises ``ProtocolError`` on a malformed value."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def u8(self) -> int:
        """Take one byte."""
        return int.from_bytes(self.raw(1), "little")

    def u16(self) -> int:
        """Take two bytes."""
        return int.from_bytes(self.raw(2), "little")

    def u32(self) -> int:
        """Take four bytes."""
        return int.from_bytes(self.raw(4), "little")

    def u64(self) -> int:
        """Take eight bytes."""
        return int.from_bytes(self.raw(8), "little")

    def raw(self, size: int) -> bytes:
        """Take exactly ``size`` bytes."""
        if len(self._data) - self._at < size:
            raise ProtocolError(f"body of {len(self._data)} bytes is too short")
        self._at += size
        return self._data[self._at - size : self._at]

    def string(self, *, limit: int = MAX_STR) -> str:
        """Take a string; bytes that are no UTF-8 become surrogates (``os.fsencode`` undoes it)."""
        return self._text(limit).decode("utf-8", "surrogateescape")

    def text(self, *, limit: int = MAX_STR) -> str:
        """Take a string for people to read; bytes that are no UTF-8 become U+FFFD."""
        return self._text(limit).decode("utf-8", "replace")

    def blob(self, *, limit: int = MAX_REQUEST) -> bytes:
        """Take a byte string with its length."""
        size = self.u32()
        if size > limit:
            raise ProtocolError(f"value of {size} bytes is longer than {limit}")
        return self.raw(size)

    def items(self, read: Callable[[], T], *, limit: int = MAX_ITEMS) -> tuple[T, ...]:
        """Take a count and each item by ``read``."""
        count = self.u32()
        if count > limit:
            raise ProtocolError(f"list of {count} items is longer than {limit}")
        return tuple(read() for _ in range(count))

    def rest(self) -> bytes:
        """Take everything that is left."""
        return self.raw(len(self._data) - self._at)

    def end(self) -> None:
        """Check that no bytes are left over."""
        left = len(self._data) - self._at
        if left:
            raise ProtocolError(f"body has {left} bytes left over")

    def _text(self, limit: int) -> bytes:
        data = self.blob(limit=limit)
        if b"\0" in data:
            raise ProtocolError("string contains a NUL byte")
        return data
