"""The report of a worker, the daemon's half: how a worker is called and what it says. See `hyper.image.worker`."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from typing import Any, Generic, TypeVar

import msgspec

from hyper.errors import HyperError
from hyper.system import pipe

_PIPE_BYTES = 1 << 20
_MAX_LINE = 8192
T = TypeVar("T")


class Line(msgspec.Struct, Generic[T]):
    """A line of a worker's report; ``facts`` is what it found."""

    read: int | None = None
    facts: T | None = None
    again: bool = False
    error: str | None = None


async def follow(fd: int, kind: type[T], progress: Callable[[int], None]) -> Line[T]:
    """The last line of a report with facts of ``kind``; progress is passed on as it comes.

    Raises:
        HyperError: the output is no report.
    """
    last: Line[T] = Line()
    async for text in _lines(fd):
        try:
            last = msgspec.json.decode(text, type=Line[kind])  # type: ignore[valid-type]
        except msgspec.DecodeError as error:
            raise HyperError(f"the layer converter wrote nonsense: {error}") from error
        if last.read is not None:
            progress(last.read)
    return last


async def _lines(fd: int) -> AsyncIterator[bytes]:
    os.set_blocking(fd, False)
    data = b""
    while True:
        try:
            chunk = os.read(fd, _MAX_LINE)
        except BlockingIOError:
            await pipe.readable(fd)
            continue
        if not chunk:
            return
        *complete, data = (data + chunk).split(b"\n")
        for line in complete:
            yield line
        if len(data) > _MAX_LINE:
            raise HyperError("the layer converter wrote an endless line")


def argv(module: str, options: dict[str, Any], report: int) -> list[str]:
    """The command line of a worker. ``report``: its end of the report's pipe."""
    return [sys.executable, "-I", "-m", module, json.dumps({**options, "report": report})]


class End:
    """An end of a pipe that may be closed early."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def roomy_pipe(stack: ExitStack) -> tuple[End, End]:
    """A pipe (reading end, writing end); what is still open is closed with ``stack``."""
    ends = tuple(End(fd) for fd in os.pipe())
    for end in ends:
        stack.callback(end.close)
    with suppress(PermissionError):  # the user's pipe pages are used up: slower, no worse
        fcntl.fcntl(ends[1].fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return ends[0], ends[1]
