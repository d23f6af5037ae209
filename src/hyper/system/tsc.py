"""The speed of this CPU's time stamp counter: an emulated guest reads it, and need not calibrate if told.

Source: Intel SDM vol. 3 "Invariant TSC"; clock_gettime(2) CLOCK_MONOTONIC_RAW.
"""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import time
from dataclasses import dataclass
from pathlib import Path

#: rdtsc; shl rdx, 32; or rax, rdx; ret
_READ_TSC = b"\x0f\x31\x48\xc1\xe2\x20\x48\x09\xd0\xc3"
#: Each reading is good to about 0.1 µs, so this far apart the error is a few millionths.
_APART_S = 0.05
_TRIES = 20


@dataclass(frozen=True, slots=True)
class _Reading:
    counter: int
    raw_ns: int
    window_ns: int


class TscMeter:
    """The meter of the counter: it reads first when made, then when asked; asked later than 50 ms it does not wait."""

    def __init__(self) -> None:
        self._code = _code() if _is_invariant() else None
        self._first = self._read()
        self._khz: int | None = None

    async def khz(self) -> int | None:
        """The counter's frequency in kHz; None if it varies, not on x86-64, or if no code may be made at run time."""
        if self._first is None or self._khz is not None:
            return self._khz
        elapsed_s = (time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) - self._first.raw_ns) / 1e9
        await asyncio.sleep(max(0.0, _APART_S - elapsed_s))
        second = self._read()
        if second is not None:
            ticks = second.counter - self._first.counter
            self._khz = round(ticks * 1_000_000 / (second.raw_ns - self._first.raw_ns))
        return self._khz

    def _read(self) -> _Reading | None:
        """The tightest reading of several: being scheduled away between clock and counter would falsify it."""
        if self._code is None:
            return None
        function = ctypes.CFUNCTYPE(ctypes.c_uint64)(
            ctypes.addressof(ctypes.c_char.from_buffer(self._code))
        )
        readings = []
        for _ in range(_TRIES):
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            counter = function()
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            readings.append(_Reading(counter, (before + after) // 2, after - before))
        return min(readings, key=lambda reading: reading.window_ns)


def _is_invariant() -> bool:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return {"constant_tsc", "nonstop_tsc"} <= set(line.split())
    return False


def _code() -> mmap.mmap | None:
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:  # a security policy forbids it
        return None
    code.write(_READ_TSC)
    return code
