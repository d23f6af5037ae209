"""Classic BPF as seccomp(2) takes it: instructions that look at one system call.

Source: seccomp(2), bpf(4) "filter machine", linux/audit.h.
"""

from __future__ import annotations

import struct
from typing import Final

#: What tells instruction sets apart; x32 is x86-64 with this bit set in the call's number.
ARCH_X86_64: Final = 0xC000003E
ARCH_I386: Final = 0x40000003
X32_BIT: Final = 0x40000000
#: Offsets in struct seccomp_data.
NR, ARCH, ARG0, ARG1 = 0, 4, 16, 24

LOAD, AND, JUMP_EQUAL, JUMP_SET, JUMP_AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x45, 0x35, 0x06
JUMP_GREATER: Final = 0x25
#: What a filter can answer; the number of an error is added to ERRNO, what a tracer sees to TRACE.
ALLOW, LOG, TRACE, ERRNO, TRAP = 0x7FFF0000, 0x7FFC0000, 0x7FF00000, 0x00050000, 0x00030000
KILL_PROCESS, KILL_THREAD = 0x80000000, 0x00000000


def instruction(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    """An instruction (struct sock_filter); ``if_…``: how many instructions a jump skips."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def give(action: int) -> bytes:
    """The last instruction: what is done with the call."""
    return instruction(RETURN, action)
