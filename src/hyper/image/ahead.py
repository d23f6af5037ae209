"""A thread that works ahead of its reader: decompression and hashing leave the interpreter lock alone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_DEPTH = 4


@contextmanager
def read_ahead(pieces: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """An iterator over ``pieces``, produced by a thread that ends with the context.

    What ``pieces`` raises, the iterator raises.
    """
    ready: queue.Queue[bytes | BaseException] = queue.Queue(_DEPTH)
    stop = threading.Event()

    def produce() -> None:
        try:
            for piece in pieces:
                ready.put(piece)
                if stop.is_set():
                    return
            ready.put(b"")
        except BaseException as error:  # noqa: BLE001 (handed over whole, raised in the reader)
            ready.put(error)

    thread = threading.Thread(target=produce, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield _take(ready)
    finally:
        stop.set()
        while thread.is_alive():
            _discard(ready)
            thread.join(0.01)


def _take(ready: queue.Queue[bytes | BaseException]) -> Iterator[bytes]:
    while True:
        piece = ready.get()
        if isinstance(piece, BaseException):
            raise piece
        if not piece:
            return
        yield piece


def _discard(ready: queue.Queue[bytes | BaseException]) -> None:
    while not ready.empty():
        ready.get_nowait()
