"""How long the firmware takes: the real kernel, with other code where the firmware enters it.

The code says on the console what the machine's time stamp counter was when it was entered. All that comes before is as
it always is: a kernel and an initrd of the same size are loaded, the same devices are there.

Source: Linux Documentation/arch/x86/boot.rst (PVH), Xen public/elfnote.h (18 = XEN_ELFNOTE_PHYS32_ENTRY), elf(5).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Failed

_PT_LOAD, _PT_NOTE = 1, 4
_PHYS32_ENTRY = 18
#: 32-bit x86; EBX becomes the counter's lower half, printed as eight letters A (0) to P (15), highest first, and a line
#: end; again and again, since the console's reader may be let in later.
_CODE = bytes.fromhex(
    "0f31"  # rdtsc
    "89c3"  # mov ebx, eax
    "b908000000"  # line: mov ecx, 8
    "66baf803"  # mov dx, 0x3f8 (the first UART)
    "c1c304"  # letter: rol ebx, 4
    "88d8"  # mov al, bl
    "240f"  # and al, 15
    "0441"  # add al, 'A'
    "ee"  # out dx, al
    "49"  # dec ecx
    "75f3"  # jnz letter
    "b00a"  # mov al, 10
    "ee"  # out dx, al
    "b900004000"  # mov ecx, 0x400000
    "e2fe"  # loop to itself
    "ebde"  # jmp line
)
_LETTERS = re.compile(r"^[A-P]{8}$", re.MULTILINE)


def patch(kernel: bytes) -> bytes:
    """``kernel`` (an ELF vmlinux) with that code at its PVH entry. Raises: Failed if it has none."""
    segments = list(_segments(kernel))
    entry = next((_entry(kernel, *part) for kind, *part in segments if kind == _PT_NOTE), None)
    for kind, offset, address, size in segments:
        if entry is not None and kind == _PT_LOAD and address <= entry < address + size:
            at = offset + entry - address
            return kernel[:at] + _CODE + kernel[at + len(_CODE) :]
    raise Failed("the kernel has no PVH entry")


def _segments(elf: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(type, offset in the file, physical address, size in the file) of each."""
    (table,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    for at in range(table, table + size * count, size):
        kind, _, offset, _, address, length = struct.unpack_from("<IIQQQQ", elf, at)
        yield kind, offset, address, length


def _entry(elf: bytes, offset: int, _: int, size: int) -> int | None:
    """The note that says where to enter."""
    at, end = offset, offset + size
    while at < end:
        name, length, kind = struct.unpack_from("<III", elf, at)
        at += 12 + (name + 3) // 4 * 4
        if kind == _PHYS32_ENTRY and length in (4, 8):
            return int.from_bytes(elf[at : at + length], "little")
        at += (length + 3) // 4 * 4
    return None


def counter(console: str) -> int | None:
    """What the code printed; None when it has not yet."""
    lines = _LETTERS.findall(console[: console.rfind("\n") + 1])
    if not lines:
        return None
    return int(lines[-1].translate(str.maketrans("ABCDEFGHIJKLMNOP", "0123456789abcdef")), 16)


def patched(kernel: Path, folder: Path) -> Path:
    """The patched kernel as a file in ``folder``."""
    made = folder / "vmlinux-firmware"
    made.write_bytes(patch(kernel.read_bytes()))
    made.chmod(0o444)
    return made
