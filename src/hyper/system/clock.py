"""A watch on the host's clock, which is set by a user or program, or because the host has slept.

Source: timerfd_create(2), TFD_TIMER_CANCEL_ON_SET. (Python has it from 3.13 on.)
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import time
from collections.abc import Callable
from typing import Final

_TFD_CLOEXEC, _TFD_NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK
_TFD_TIMER_ABSTIME, _TFD_TIMER_CANCEL_ON_SET = 1, 2
#: The timer itself is never to expire.
_FAR_S: Final = 10 * 365 * 86400


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class ClockWatch:
    """The watch that calls ``changed`` from the running loop each time CLOCK_REALTIME jumps. Close it.

    Raises:
        OSError: the kernel has no such timer.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._libc = ctypes.CDLL(None, use_errno=True)
        flags = _TFD_CLOEXEC | _TFD_NONBLOCK
        self._fd = self._checked(self._libc.timerfd_create(time.CLOCK_REALTIME, flags))
        try:
            self._arm()
        except BaseException:
            os.close(self._fd)
            raise
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def close(self) -> None:
        """The watch is over: ``changed`` is not called any more."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def _arm(self) -> None:
        when = _Itimerspec(value=_Timespec(int(time.time()) + _FAR_S, 0))
        flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
        self._checked(self._libc.timerfd_settime(self._fd, flags, ctypes.byref(when), None))

    def _read(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
        self._arm()
        self._changed()
