"""Scratch disks: the writable layer of a container as a sparse ext4 image.

Formatting costs 50 ms; copying the few megabytes that a fresh file system consists of costs one. So one
template of the usual size is formatted once and copied.
"""

from __future__ import annotations

import asyncio
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyper.system import files, process
from hyper.units import MIB

#: What a container may write unless told otherwise. Sparse: only what is written takes room.
DEFAULT_SIZE: Final = 10 * 1024 * MIB
#: Bumped when what follows changes, so that old templates are not used any more.
_VERSION: Final = 2
#: What the agent would make at the first start (docs/protocol.md, "Root"): 4 ms of an emulated one. For debugfs(8).
_FOLDERS: Final = (
    b"mkdir 1\nmkdir 1/upper\nmkdir 1/work\nsif 1 mode 040700\nsif 1/work mode 040700\n"
)
#: A small journal: the machine may be killed at any moment and the container must start again. The tables of a sparse
#: file are zeros already (assume_storage_prezeroed), else the guest would write them in the background.
_FEATURES: Final = "^resize_inode,^metadata_csum,^64bit,^huge_file,^metadata_csum_seed"
_EXTENDED: Final = "lazy_itable_init=1,lazy_journal_init=1,assume_storage_prezeroed=1,nodiscard"
#: Where ext4's superblock begins, and how long it is; the flag in it of a journal that has to be replayed.
_SUPERBLOCK: Final = 1024
_NEEDS_RECOVERY: Final = 4
_MKFS: Final = (
    "mkfs.ext4",
    "-q",
    "-F",
    "-m",
    "0",
    "-J",
    "size=4",
    "-O",
    _FEATURES,
    "-E",
    _EXTENDED,
)


@dataclass(frozen=True, slots=True)
class _Superblock:
    """The facts in a super block of ext4, in bytes. ``clean``: it was unmounted; else ``used`` is old.

    Source: kernel Documentation/filesystems/ext4/super.rst.
    """

    clean: bool
    used: int
    #: What a fresh one uses for itself, but for its two folders.
    overhead: int


def _superblock(path: Path) -> _Superblock:
    with path.open("rb") as file:
        file.seek(_SUPERBLOCK)
        block = file.read(_SUPERBLOCK).ljust(_SUPERBLOCK, b"\0")
    blocks, _, free = struct.unpack_from("<III", block, 4)
    (log_size,) = struct.unpack_from("<I", block, 24)
    (features,) = struct.unpack_from("<I", block, 96)
    (overhead,) = struct.unpack_from("<I", block, 0x248)
    shift = 10 + (log_size & 7)
    return _Superblock(
        clean=not features & _NEEDS_RECOVERY,
        used=max(0, blocks - free) << shift,
        overhead=overhead << shift,
    )


class ScratchDisks:
    """The maker of scratch disks from templates kept in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = asyncio.Lock()

    async def create(self, path: Path, *, size: int = DEFAULT_SIZE) -> None:
        """A fresh, empty ext4 file system of ``size`` bytes stands at ``path`` (mode 0600), whole or not at all.

        Raises:
            ProcessFailed: it could not be formatted.
            OSError: no room.
        """
        if size != DEFAULT_SIZE:
            await self._format(path, size)
            return
        template = self._template(size)
        async with self._lock:
            if not template.exists():
                self._folder.mkdir(mode=0o700, exist_ok=True)
                await self._format(template, size, folders=True)
        draft = path.with_name(f"{path.name}.new")
        draft.unlink(missing_ok=True)  # a killed daemon's
        await asyncio.to_thread(files.copy_sparse, template, draft)
        draft.rename(path)

    def written_bytes(self, path: Path) -> int:
        """The bytes written to the scratch disk at ``path`` and still there; 0 if there is none (any more).

        While a machine has it mounted, and after one that was killed: what the file takes, which does not shrink.
        """
        try:
            disk = _superblock(path)
            template = self._template(path.stat().st_size)
            fresh = _superblock(template) if template.exists() else None
            if disk.clean:
                return max(0, disk.used - (fresh.used if fresh else disk.overhead))
            allocated = files.allocated_bytes(path)
            return max(0, allocated - (files.allocated_bytes(template) if fresh else 0))
        except FileNotFoundError:
            return 0

    def _template(self, size: int) -> Path:
        return self._folder / f"ext4-{_VERSION}-{size}"

    async def _format(self, template: Path, size: int, *, folders: bool = False) -> None:
        draft = template.with_name(f"{template.name}.{os.getpid()}")
        try:
            with draft.open("xb") as file:
                file.truncate(size)
            await process.run(
                [*_MKFS, str(draft)],
                timeout_s=60,
            )
            if folders:
                argv = ["debugfs", "-w", "-f", "-", str(draft)]
                await process.run(argv, input=_FOLDERS, timeout_s=60)
            draft.rename(template)
        finally:
            draft.unlink(missing_ok=True)
