"""An interpreter of classic BPF that knows nothing of how filters are assembled."""

from __future__ import annotations

import struct

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7


def answer(program: bytes, number: int, *, arch: int = X86_64, args: tuple[int, ...] = ()) -> int:
    """What a filter says to one system call."""
    padded = (*args, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("=IIQ6Q", number, arch, 0, *padded)
    instructions = list(struct.iter_unpack("=HBBI", program))
    at, accumulator = 0, 0
    while True:
        code, if_true, if_false, value = instructions[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif code == 0x54:
            accumulator &= value
        elif code == 0x05:
            at += value
        else:
            at += if_true if _holds(code, accumulator, value) else if_false


def _holds(code: int, accumulator: int, value: int) -> bool:
    match code:
        case 0x15:
            return accumulator == value
        case 0x25:
            return accumulator > value
        case 0x35:
            return accumulator >= value
        case 0x45:
            return bool(accumulator & value)
    raise AssertionError(f"unknown instruction {code:#x}")
