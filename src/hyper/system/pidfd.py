"""Processes by descriptor: waiting for, signalling and recognising one without racing its number.

Source: pidfd_open(2), pidfd_send_signal(2), proc_pid_stat(5).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_CLOCK_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
#: Positions in /proc/PID/stat counted from the field after the command's closing parenthesis.
_UTIME, _STIME, _START_TIME = 11, 12, 19


@dataclass(frozen=True, slots=True)
class Usage:
    """The cost of a process: CPU nanoseconds of all its threads so far, resident bytes now."""

    cpu_ns: int
    resident_bytes: int


def start_ticks(pid: int) -> int:
    """The start of ``pid`` in clock ticks since boot: with the number, a name that is never used twice.

    Raises:
        ProcessLookupError: no such process.
    """
    return int(_stat(pid)[_START_TIME])


def usage(pid: int) -> Usage:
    """The cost of ``pid``.

    Raises:
        ProcessLookupError: no such process.
    """
    fields = _stat(pid)
    pages = int(_read_proc(pid, "statm").split()[1])
    cpu_ns = (int(fields[_UTIME]) + int(fields[_STIME])) * _CLOCK_TICK_NS
    return Usage(cpu_ns=cpu_ns, resident_bytes=pages * _PAGE_BYTES)


def _stat(pid: int) -> list[str]:
    # The command may hold spaces and parentheses: only the last one ends it.
    return _read_proc(pid, "stat").rpartition(")")[2].split()


def _read_proc(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None


class Pidfd:
    """A process held by descriptor. Close it; that does nothing to the process."""

    def __init__(self, pid: int, fd: int) -> None:
        self.pid = pid
        self._fd = fd
        self._callbacks: list[Callable[[], None]] = []

    @classmethod
    def open(cls, pid: int) -> Pidfd:
        """Hold the process ``pid``.

        Raises:
            ProcessLookupError: no such process.
        """
        return cls(pid, os.pidfd_open(pid))

    @classmethod
    def open_same(cls, pid: int, ticks: int) -> Pidfd | None:
        """Hold the process ``pid`` if it is alive and started at ``ticks``; None otherwise."""
        try:
            held = cls.open(pid)
        except ProcessLookupError:
            return None
        # Checked after opening: the descriptor cannot change its process any more.
        with contextlib.suppress(ProcessLookupError):
            if start_ticks(pid) == ticks and not held.has_exited():
                return held
        held.close()
        return None

    def has_exited(self) -> bool:
        """Whether the process ended, all its threads (it may be a zombie; so may its first thread while others run)."""
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        return bool(poller.poll(0))

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal; no error when it has already ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, number)

    def on_exit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, from the running loop, when the process has ended."""
        self._callbacks.append(callback)
        if len(self._callbacks) == 1:
            asyncio.get_running_loop().add_reader(self._fd, self._fire)

    def _fire(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    async def wait(self) -> None:
        """Return once the process has ended. Any process will do, not only children; nothing is reaped."""
        exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_exit(lambda: None if exited.done() else exited.set_result(None))
        await exited

    def close(self) -> None:
        """Let go of the process."""
        if self._fd < 0:
            return
        if self._callbacks:
            self._callbacks.clear()
            asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
