"""Pipes and sockets on the loop: read all, write all, keep the tail. Raw descriptors, no transports."""

from __future__ import annotations

import asyncio
import contextlib
import os

_CHUNK = 65536


class Tail:
    """The last ``limit`` bytes that came out of a descriptor, read as they come; never blocks its writer.

    Owns ``fd`` from now on. Must be made in a running loop.
    """

    def __init__(self, fd: int, *, limit: int = 8192) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._limit = limit
        self._data = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(fd, self._read)

    @property
    def data(self) -> bytes:
        """The bytes held now."""
        return bytes(self._data)

    def drain(self) -> bytes:
        """The bytes held, after taking in what the kernel still holds (the writer being dead)."""
        while self._read():
            pass
        return self.data

    def _read(self) -> bool:
        if self._fd < 0:
            return False
        try:
            chunk = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return False
        except ConnectionError:
            chunk = b""
        if not chunk:
            self.close()
            return False
        self._data += chunk
        del self._data[: -self._limit]
        return True

    def close(self) -> None:
        """Stop reading; the bytes held stay readable."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


async def readable(fd: int) -> None:
    """Return when ``fd`` has something to read, or ended."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(fd)


async def read_all(fd: int, *, limit: int) -> bytes:
    """The bytes of ``fd`` up to its end. The caller closes it.

    Raises:
        ValueError: there was more than ``limit`` bytes.
    """
    os.set_blocking(fd, False)
    data = bytearray()
    while True:
        try:
            chunk = os.read(fd, _CHUNK)
        except BlockingIOError:
            await readable(fd)
            continue
        if not chunk:
            return bytes(data)
        data += chunk
        if len(data) > limit:
            raise ValueError(f"more than {limit} bytes")


async def write_all(fd: int, data: bytes) -> None:
    """Write ``data``; stops silently when the reader has gone. The caller closes ``fd``."""
    os.set_blocking(fd, False)
    view = memoryview(data)
    with contextlib.suppress(BrokenPipeError):
        while view:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:
                await _writable(fd)


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(fd, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_writer(fd)
