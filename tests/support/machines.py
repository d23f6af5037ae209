"""Machines for tests of drivers, with a guest that is tests/contract/guest.c, and the talk with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from hyper.machine.driver import Machine
from hyper.machine.spec import Forward, MachineSpec, UserNic
from hyper.sandbox.probe import meet
from hyper.system import jail

GUEST_SOURCE = Path(__file__).parents[1] / "contract/guest.c"
#: An emulated boot takes one second alone; others may be building kernels beside us.
BOOT_S = 120.0
ANSWER_S = 30.0
FIRST_TEST_UID = jail.FIRST_MACHINE_UID + 60000


def build_guest(folder: Path) -> Path:
    """The contract's guest as an initrd in ``folder``."""
    init = folder / "init"
    subprocess.run(
        ["musl-gcc", "-static", "-Os", "-Wall", "-Wextra", "-Werror", "-o", init, GUEST_SOURCE],
        check=True,
    )
    initrd = folder / "initrd"
    files = [("dev", 0o40755, b""), ("sys", 0o40755, b""), ("proc", 0o40755, b"")]
    initrd.write_bytes(make_cpio([*files, ("init", 0o100755, init.read_bytes())]))
    return initrd


def make_cpio(files: list[tuple[str, int, bytes]]) -> bytes:
    """A newc archive of (name, mode, content).

    Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    archive = bytearray()
    for number, (name, mode, content) in enumerate([*files, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        archive += b"070701" + b"".join(b"%08X" % field for field in fields)
        archive += name.encode() + b"\0"
        archive += bytes(-len(archive) % 4) + content
        archive += bytes(-len(archive) % 4)
    return bytes(archive)


def make_spec(folder: Path, *, kernel: Path, initrd: Path) -> MachineSpec:
    """A machine with nothing but a run folder of its own within ``folder``."""
    name = f"t{secrets.token_hex(4)}"
    run_dir = folder / name
    run_dir.mkdir(mode=0o700)
    uid = FIRST_TEST_UID + secrets.randbelow(5000) if os.geteuid() == 0 else None
    return MachineSpec(
        name=name,
        vcpus=1,
        memory_mib=64,
        kernel=kernel,
        initrd=initrd,
        disks=(),
        nics=(),
        run_dir=run_dir,
        uid=uid,
    )


class Guest(asyncio.Protocol):
    """Talks to tests/contract/guest.c."""

    def __init__(self) -> None:
        self._reader = asyncio.StreamReader()
        self._pending = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._reader.set_transport(transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.feed_eof()

    async def say(self, line: str) -> None:
        """Send a line."""
        assert self.transport is not None
        self.transport.write(line.encode() + b"\n")

    async def ask(self, line: str) -> str:
        """Send a line, return the line that comes back."""
        await self.say(line)
        return await self.hear()

    async def hear(self) -> str:
        """The next line that comes."""
        async with asyncio.timeout(ANSWER_S):
            while b"\n" not in self._pending:
                self._pending += await self.receive()
        answer, _, self._pending = self._pending.partition(b"\n")
        return answer.decode()

    async def receive(self) -> bytes:
        """Whatever comes next."""
        data = await self._reader.read(65536)
        if not data:
            raise ConnectionError("the guest's stream ended")
        return data


@contextlib.asynccontextmanager
async def talk(machine: Machine) -> AsyncIterator[Guest]:
    """The guest of ``machine``, once it came up."""
    async with asyncio.timeout(BOOT_S):
        await meet(machine)
    guest = await machine.connect(Guest)
    try:
        yield guest
    finally:
        assert guest.transport is not None
        guest.transport.abort()


def make_nic(*forwards: Forward) -> UserNic:
    """A card on a user network."""
    return UserNic(mac="52:54:00:12:34:56", network="10.0.2.0/24", forwards=forwards)
