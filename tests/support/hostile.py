"""Starts hostile.c in QEMU's place, through the driver as it is, and brings back what it could do.

``python -m tests.support.hostile BINARY RUN_DIR DISK WORD...`` does it for an ordinary user, whom a test run by root
becomes for that.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hyper.errors import MachineError
from hyper.machine.qemu.driver import QemuDriver
from hyper.machine.spec import Disk, FileBlocks, Limits, MachineSpec
from hyper.sandbox.probe import meet
from tests.support.machines import FIRST_TEST_UID, make_nic

SOURCE = Path(__file__).with_name("hostile.c")
CPUS = 0.2
#: Kernel headers musl's own do not have.
_HEADERS = ("/usr/include", "/usr/include/x86_64-linux-gnu")


def build(folder: Path) -> Path:
    """The program, static: it needs nothing of the jail."""
    binary = folder / "hostile"
    headers = [word for path in _HEADERS for word in ("-idirafter", path)]
    subprocess.run(
        [
            "musl-gcc",
            "-static",
            "-Os",
            "-Wall",
            "-Wextra",
            "-Werror",
            *headers,
            "-o",
            binary,
            SOURCE,
        ],
        check=True,
    )
    return binary


async def run(binary: Path, run_dir: Path, disk: Path, *words: str) -> str:
    """The error launch ends with: its last line is what the program said."""
    kernel = run_dir / "vmlinux"  # the driver's own, whose content nobody looks at
    shutil.copyfile(binary, kernel)
    spec = MachineSpec(
        name=f"hostile-{run_dir.name}",
        vcpus=1,
        memory_mib=64,
        # Any readable files do: nobody boots them.
        kernel=kernel,
        initrd=binary,
        disks=(Disk("shared", FileBlocks(disk), read_only=True),),
        nics=(make_nic(),),
        run_dir=run_dir,
        uid=FIRST_TEST_UID + 1 if os.geteuid() == 0 else None,
        limits=Limits(cpus=CPUS),
        command_line=words,
    )
    driver = QemuDriver(
        assets=run_dir, state_dir=run_dir / "s", meet=meet, binary=binary, accelerator="tcg"
    )
    try:
        machine = await driver.launch(spec)
    except MachineError as error:
        return error.message
    await machine.kill()
    raise AssertionError("the hostile program was taken for QEMU")


def report(message: str) -> dict[str, Any]:
    """What the program said, out of the message of the error."""
    found: dict[str, Any] = json.loads(message[message.index("{") :])
    return found


def main() -> None:
    """Print what launch says."""
    binary, run_dir, disk, *words = sys.argv[1:]
    print(asyncio.run(run(Path(binary), Path(run_dir), Path(disk), *words)))


if __name__ == "__main__":
    main()
