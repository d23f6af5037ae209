"""A kernel's file before anything boots it: whether it can start a machine, and what it states that it lacks.

Source: Linux Documentation/x86/boot.rst (the setup header), include/xen/interface/elfnote.h, kernel/configs.c; ELF-64
Object File Format, "Program header".
"""

from __future__ import annotations

import io
import lzma
import os
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zstandard

from hyper.errors import InvalidRequest

MAX_SIZE: Final = 256 << 20
_MAX_CONFIG: Final = 1 << 20
#: What machines, their disks and HyperStart are made of, each with what it is for. There is no place for modules.
NEEDED: Final = {
    "BLK_DEV_INITRD": "HyperStart itself",
    "BINFMT_ELF": "HyperStart itself",
    "PROC_FS": "/proc",
    "SYSFS": "/sys",
    "DEVTMPFS": "/dev",
    "TMPFS": "files in memory",
    "UNIX98_PTYS": "terminals",
    "VIRTIO_MMIO": "every device",
    "VIRTIO_MMIO_CMDLINE_DEVICES": "every device",
    "VIRTIO_CONSOLE": "the agent's connection",
    "VIRTIO_BLK": "disks",
    "SCSI_VIRTIO": "disks",
    "BLK_DEV_SD": "disks",
    "SQUASHFS": "images",
    "SQUASHFS_ZSTD": "images",
    "SQUASHFS_LZ4": "images",
    "OVERLAY_FS": "images",
    "EXT4_FS": "what is written, and volumes",
    "VIRTIO_NET": "the network",
    "INET": "the network",
    "CGROUPS": "limits and figures",
    "MEMCG": "limits and figures",
    "PID_NS": "containers",
    "UTS_NS": "containers",
    "IPC_NS": "containers",
    "SECCOMP_FILTER": "containers",
}
#: The word of the command line that a patch of ours brings (guest/hyperkernel/patches).
_OUR_WORD: Final = b"lapic_timer_khz"
_NOTE_SEGMENT, _PVH_ENTRY = 4, 18
_ELF, _X86_64 = b"\x7fELF\x02\x01", 62
_SETUP_HEADER, _HEADER_MAGIC = 0x1F1, 0x202
_OLDEST_PROTOCOL: Final = 0x20C  # the first with the flags of what it loads


@dataclass(frozen=True, slots=True)
class KernelFile:
    """The facts read from a kernel's file. ``configuration``: as the file states it, by names without CONFIG_, or None.

    ``told_its_clocks``: the kernel believes what the command line says of the speed of an emulated machine's timers.
    """

    configuration: dict[str, str] | None
    told_its_clocks: bool


def read(path: Path) -> KernelFile:
    """The kernel at ``path``, which can start a machine as far as can be seen.

    Raises:
        InvalidRequest: there is none, it is of the wrong kind, or it says itself that something is missing.
    """
    image = _content(path)
    if image.startswith(_ELF):
        _check_elf(path, image)
    elif image[_HEADER_MAGIC : _HEADER_MAGIC + 4] == b"HdrS":
        image = _payload(path, image) or b""
    else:
        raise _unusable(path, "it is neither a vmlinux (ELF of 64 bits) nor a bzImage")
    found = KernelFile(_configuration(image), _OUR_WORD in image)
    if found.configuration is not None:
        _check_configuration(path, found.configuration)
    return found


def _unusable(path: Path, why: str) -> InvalidRequest:
    return InvalidRequest(f"the kernel {path} cannot be used: {why}")


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size > MAX_SIZE:
                raise _unusable(path, f"it is larger than {MAX_SIZE >> 20} MiB (strip its symbols)")
            # Machines of root's daemon run as users of their own.
            if os.geteuid() == 0 and not status.st_mode & 0o004:
                raise _unusable(path, "not everybody may read it (chmod o+r)")
            return file.read(MAX_SIZE)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None


def _check_elf(path: Path, image: bytes) -> None:
    try:
        (machine,) = struct.unpack_from("<H", image, 18)
        if machine != _X86_64:
            raise _unusable(path, "it is not for x86-64")
        if not _has_pvh_entry(image):
            raise _unusable(path, "it has no entry for direct starts: CONFIG_PVH is missing")
    except struct.error:
        raise _unusable(path, "the file ends too early") from None


def _has_pvh_entry(image: bytes) -> bool:
    (table,) = struct.unpack_from("<Q", image, 32)
    entry_size, entries = struct.unpack_from("<HH", image, 54)
    for index in range(entries):
        kind, _, offset = struct.unpack_from("<IIQ", image, table + index * entry_size)
        (size,) = struct.unpack_from("<Q", image, table + index * entry_size + 32)
        notes = image[offset : offset + size]
        if kind == _NOTE_SEGMENT and struct.pack("<I4s", _PVH_ENTRY, b"Xen\0") in notes:
            return True
    return False


def _payload(path: Path, image: bytes) -> bytes | None:
    """The vmlinux within a bzImage; None where it is compressed in a way that is not known here."""
    try:
        (protocol,) = struct.unpack_from("<H", image, 0x206)
        (flags,) = struct.unpack_from("<H", image, 0x236)
        offset, size = struct.unpack_from("<II", image, 0x248)
    except struct.error:
        raise _unusable(path, "the file ends too early") from None
    if protocol < _OLDEST_PROTOCOL or not flags & 1:
        raise _unusable(path, "it is not for x86-64")
    setup = ((image[_SETUP_HEADER] or 4) + 1) * 512
    packed = image[setup + offset : setup + offset + size]
    for magic, unpack in _UNPACKERS.items():
        if packed.startswith(magic):
            try:
                return unpack(packed)
            except (zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError) as error:
                raise _unusable(path, f"what it holds cannot be unpacked: {error}") from None
    return None


def _unzip(packed: bytes, most: int = MAX_SIZE) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(packed, most)


def _unxz(packed: bytes) -> bytes:
    return lzma.LZMADecompressor().decompress(packed, MAX_SIZE)


def _unzstd(packed: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)) as stream:
        return bytes(stream.read(MAX_SIZE))


_UNPACKERS: Final[dict[bytes, Callable[[bytes], bytes]]] = {
    b"\x1f\x8b": _unzip,
    b"\xfd7zXZ": _unxz,
    b"\x28\xb5\x2f\xfd": _unzstd,
}


def _configuration(image: bytes) -> dict[str, str] | None:
    start, end = image.find(b"IKCFG_ST"), image.find(b"IKCFG_ED")
    if not 0 <= start < end:
        return None
    try:
        text = _unzip(image[start + 8 : end], _MAX_CONFIG).decode(errors="replace")
    except zlib.error:
        return None  # some other use of these letters
    return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.MULTILINE))


def _check_configuration(path: Path, configuration: dict[str, str]) -> None:
    missing = [name for name in NEEDED if configuration.get(name) != "y"]
    if missing:
        told = ", ".join(
            f"CONFIG_{name} ({NEEDED[name]}{'; a module' if configuration.get(name) == 'm' else ''})"
            for name in missing
        )
        raise _unusable(path, f"this has to be built in: {told}")
