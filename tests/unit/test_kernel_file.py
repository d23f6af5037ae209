"""What is seen of a kernel's file before it is booted: its kind, its entry, its own configuration."""

from __future__ import annotations

import gzip
import lzma
import os
import struct
from pathlib import Path

import pytest
import zstandard

from hyper.errors import InvalidRequest
from hyper.machine import kernel_file

ALL = "".join(f"CONFIG_{name}=y\n" for name in kernel_file.NEEDED)


def elf(*, machine: int = 62, note: bytes = b"", config: str | None = None) -> bytes:
    """A vmlinux of one note segment."""
    head = b"\x7fELF\x02\x01".ljust(18, b"\0") + struct.pack("<H", machine)
    head = head.ljust(32, b"\0") + struct.pack("<Q", 64)
    head = head.ljust(54, b"\0") + struct.pack("<HH", 56, 1)
    segment = struct.pack("<IIQ", 4, 0, 120).ljust(32, b"\0") + struct.pack("<Q", len(note))
    embedded = b""
    if config is not None:
        embedded = b"IKCFG_ST" + gzip.compress(config.encode()) + b"IKCFG_ED"
    return head.ljust(64, b"\0") + segment.ljust(56, b"\0") + note + embedded


ENTRY = struct.pack("<III4sQ", 4, 8, 18, b"Xen\0", 0x1000000)


def bzimage(payload: bytes, *, flags: int = 1) -> bytes:
    """A bzImage of one setup sector."""
    image = bytearray(1024)
    image[0x1F1] = 1
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, 0x20F)
    struct.pack_into("<H", image, 0x236, flags)
    struct.pack_into("<II", image, 0x248, 16, len(payload))
    return bytes(image) + bytes(16) + payload


def kept(tmp_path: Path, image: bytes) -> Path:
    path = tmp_path / "kernel"
    path.write_bytes(image)
    return path


def test_kernels_that_can_start_a_machine(tmp_path: Path) -> None:
    """A vmlinux, and a bzImage however it is packed; what it says of itself is read."""
    plain = kernel_file.read(kept(tmp_path, elf(note=ENTRY)))
    assert (plain.configuration, plain.told_its_clocks) == (None, False)
    inner = elf(note=ENTRY + b"lapic_timer_khz\0", config=ALL + "CONFIG_FUSE_FS=m\n")
    packings = (gzip.compress(inner), lzma.compress(inner), zstandard.compress(inner))
    for image in (inner, *map(bzimage, packings)):
        found = kernel_file.read(kept(tmp_path, image))
        assert found.configuration is not None
        assert found.configuration["FUSE_FS"] == "m"
        assert found.told_its_clocks
    unknown = kernel_file.read(kept(tmp_path, bzimage(b"\x02\x21\x4c\x18" + bytes(64))))
    assert unknown == kernel_file.KernelFile(None, told_its_clocks=False)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (b"", "neither a vmlinux"),
        (b"#!/bin/sh\n", "neither a vmlinux"),
        (elf(note=ENTRY, machine=183), "not for x86-64"),
        (elf(), "CONFIG_PVH is missing"),
        (elf(note=ENTRY)[:60], "ends too early"),
        (bzimage(b"", flags=0), "not for x86-64"),
        (bzimage(b"\x1f\x8b garbage"), "cannot be unpacked"),
        (bzimage(b"\xfd7zXZ garbage"), "cannot be unpacked"),
        (bzimage(b"\x28\xb5\x2f\xfd garbage"), "cannot be unpacked"),
        (bzimage(b"")[:0x240], "ends too early"),
        (
            elf(note=ENTRY, config=ALL.replace("CONFIG_SQUASHFS=y", "CONFIG_SQUASHFS=m")),
            r"has to be built in: CONFIG_SQUASHFS \(images; a module\)$",
        ),
        (
            elf(note=ENTRY, config="CONFIG_PVH=y\n"),
            r"CONFIG_BLK_DEV_INITRD \(HyperStart itself\), ",
        ),
    ],
)
def test_what_is_no_kernel_for_a_machine(tmp_path: Path, image: bytes, why: str) -> None:
    """Each says what is missing, and none is read past its end."""
    with pytest.raises(InvalidRequest, match=why):
        kernel_file.read(kept(tmp_path, image))


def test_files_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None there, a directory, one that machines may not read, one that is too large."""
    with pytest.raises(InvalidRequest, match="No such file"):
        kernel_file.read(tmp_path / "none")
    with pytest.raises(InvalidRequest, match="Is a directory"):
        kernel_file.read(tmp_path)
    path = kept(tmp_path, elf(note=ENTRY))
    path.chmod(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(InvalidRequest, match=r"chmod o\+r"):
        kernel_file.read(path)
    path.chmod(0o644)
    monkeypatch.setattr(kernel_file, "MAX_SIZE", 10)
    with pytest.raises(InvalidRequest, match="larger than"):
        kernel_file.read(path)
