"""File systems of guests as the host sees them: never mounted here, repaired only within walls.

Source: Linux, Documentation/filesystems/ext4 (super block), e2fsck(8).
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final

from hyper.errors import HyperError
from hyper.system import jail, launch
from hyper.system.jail import Bind, JailSpec, View

#: Of s_feature_incompat in the image; its bit that says the journal is to be replayed.
_FEATURE_INCOMPAT: Final = 1024 + 0x60
_RECOVER: Final = 0x4
_DISK: Final = Path("/disk")
_TIMEOUT_S: Final = 120.0


def needs_recovery(image: Path) -> bool:
    """Whether the image's last machine was cut off: a kernel cannot mount the image from a read-only disk then."""
    with image.open("rb") as file:
        file.seek(_FEATURE_INCOMPAT)
        return bool(int.from_bytes(file.read(4), "little") & _RECOVER)


async def recover(image: Path, *, privileged: bool) -> None:
    """The image's journal is replayed. A hostile guest wrote it: e2fsck sees this one file, and has no privilege.

    Raises:
        HyperError: the image cannot be repaired.
    """
    program = Path(shutil.which("e2fsck", path="/usr/sbin:/sbin:/usr/bin") or "/usr/sbin/e2fsck")
    walls = JailSpec(
        views=(*jail.library_views(), View(program.resolve(), program)),
        uid=0 if privileged else None,
        binds=(Bind(image, _DISK, read_only=False),),
        network=False,
    )
    jailed = await launch.start(walls, [str(program), "-p", "-E", "journal_only", str(_DISK)])
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            status = await jailed.outer.wait()
    except BaseException:
        await jailed.kill()
        raise
    finally:
        jailed.inner.close()
    if status not in (0, 1):
        words = jailed.outer.stderr_tail().strip()[-300:]
        raise HyperError(f"cannot repair the file system {image}: e2fsck: {words or status}")
