"""Machines started by the driver alone, without a daemon, to see between their beginning and the agent's hello."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tools import imagebuilder

from bench import firmware
from bench.measure import Failed
from hyper.config import defaults
from hyper.errors import MachineError
from hyper.guest.process import GuestProcess
from hyper.guest.session import Session, checked
from hyper.machine.qemu.driver import QemuDriver
from hyper.machine.qemu.machine import QemuMachine
from hyper.machine.spec import Disk, FileBlocks, MachineSpec, UserNic
from hyper.network.card import mac_of_id
from hyper.network.guest_config import interface
from hyper.network.user import addresses as user
from hyper.proto.message import (
    ContainerCreate,
    ProcessFlag,
    ProcessStart,
    Request,
    SandboxSetup,
)
from hyper.sandbox.probe import meet
from hyper.sandbox.sandbox import MAIN_PROCESS
from hyper.sandbox.scratch import ScratchDisks
from hyper.system import jail

CLOCK_SOURCE = Path(__file__).with_name("clock.c")
#: A machine that has not come up by then does not.
BOOT_TIMEOUT_S = 20.0
_STUB_POLLS = 400
#: Of the range's end, where no sandbox of a daemon is.
_UID = jail.FIRST_MACHINE_UID + 59_999


@dataclass(frozen=True)
class Moments:
    """CLOCK_MONOTONIC of the host at the steps of a start.

    ``up``: QEMU's monitor answered; ``asked``: for the container, ``running``: its program.
    """

    spawned_ns: int
    up_ns: int
    hello_ns: int
    asked_ns: int
    running_ns: int


@dataclass(frozen=True)
class Started:
    """A running program, how it came to be, and CLOCK_BOOTTIME at the agent's main()."""

    process: GuestProcess
    moments: Moments
    boot_ns: int


@dataclass(frozen=True)
class Workshop:
    """A folder with a disk of busybox and our clock, and a driver that starts machines on it."""

    folder: Path
    accelerator: str
    driver: QemuDriver
    #: The same with busybox in QEMU's place.
    nothing: QemuDriver
    layer: Path
    #: A kernel that says when it is entered.
    stub: Path

    @asynccontextmanager
    async def started(self, *args: str, memory_mib: int = 128) -> AsyncIterator[Started]:
        """A fresh machine as the daemon makes them (layer, scratch, card) whose container runs ``args``.

        Unlike the daemon it asks the agent for nothing before its hello. The machine is gone afterwards.

        Raises:
            HyperError: it does not start.
        """
        with tempfile.TemporaryDirectory(prefix="m", dir=self.folder) as name:
            scratch = Path(name) / "scratch"
            await ScratchDisks(self.folder / "scratch").create(scratch)
            spec = self._spec(Path(name), scratch, memory_mib)
            machine = await self.driver.launch(spec)
            up_ns = time.monotonic_ns()
            try:
                session = await Session.open(machine.connect, resync=False)
                hello = await session.meet(timeout_s=BOOT_TIMEOUT_S)
                asked_ns = time.monotonic_ns()
                process = session.process(MAIN_PROCESS, tty=False)
                for answer in [session.post(request) for request in _requests(args)]:
                    checked(await answer)
                running_ns = time.monotonic_ns()
                moments = Moments(
                    machine.record.spawned_ns, up_ns, session.hello_ns, asked_ns, running_ns
                )
                yield Started(process, moments, hello.boot_ns)
                session.abort(MachineError("measured"))
            finally:
                await machine.kill()

    def _spec(self, run_dir: Path, scratch: Path, memory_mib: int = 128) -> MachineSpec:
        assets = defaults().assets
        return MachineSpec(
            name=f"bench-{run_dir.name}",
            vcpus=1,
            memory_mib=memory_mib,
            kernel=assets / "vmlinux",
            initrd=assets / "initrd",
            disks=(
                Disk("layer0", FileBlocks(self.layer), True),
                Disk("scratch", FileBlocks(scratch), False),
            ),
            nics=(UserNic(mac_of_id("bench"), str(user.NETWORK)),),
            run_dir=run_dir,
            uid=_UID if os.geteuid() == 0 else None,
        )

    async def firmware_ticks(self) -> int:
        """What the guest's counter is when the firmware enters the kernel (see firmware.py).

        Raises:
            Failed: it does not come to that.
        """
        with tempfile.TemporaryDirectory(prefix="f", dir=self.folder) as name:
            scratch = self.folder / "empty"
            scratch.touch()
            spec = self._spec(Path(name), scratch)
            machine = await self.driver.launch(replace(spec, kernel=self.stub))
            try:
                return await _first_words(machine)
            finally:
                await machine.kill()

    async def jail_ms(self) -> float:
        """How long the walls of a machine take around a program that ends at once, from spawn to end."""
        with tempfile.TemporaryDirectory(prefix="j", dir=self.folder) as name:
            spec = self._spec(Path(name), self.layer)
            began = time.perf_counter_ns()
            try:
                await self.nothing.launch_on(spec, self.accelerator)
            except MachineError:  # it is no hypervisor
                return (time.perf_counter_ns() - began) / 1e6
        raise Failed("busybox runs machines")


async def _first_words(machine: QemuMachine) -> int:
    """What the stub printed."""
    for _ in range(_STUB_POLLS):
        ticks = firmware.counter(machine.console_tail())
        if ticks is not None:
            return ticks
        await asyncio.sleep(0.05)
    raise Failed(f"the firmware did not get to the kernel: {machine.console_tail()!r}")


def _requests(args: tuple[str, ...]) -> tuple[Request, ...]:
    flags = ProcessFlag.INIT | ProcessFlag.STDIN
    return (
        SandboxSetup(
            "bench",
            (interface(mac_of_id("bench"), user.GUEST, 24, gateway=user.GATEWAY, mtu=user.MTU),),
        ),
        ContainerCreate(1, ("layer0",), hostname="bench", scratch="scratch"),
        ProcessStart(MAIN_PROCESS, 1, args, flags, env=("PATH=/bin",)),
    )


@contextmanager
def workshop(accelerator: str) -> Iterator[Workshop]:
    """A workshop in a folder of its own. Needs musl-gcc and tar2sqfs, as `make setup` does."""
    with tempfile.TemporaryDirectory(prefix="hb-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        clock, layer = folder / "clock", folder / "layer"
        subprocess.run(["musl-gcc", "-static", "-O2", "-o", clock, CLOCK_SOURCE], check=True)
        items = [
            *imagebuilder.busybox_items(),
            imagebuilder.file("bin/clock", clock.read_bytes(), mode=0o755),
        ]
        subprocess.run(
            ["tar2sqfs", "--quiet", "--force", "-c", "lz4", layer],
            input=imagebuilder.tar(items),
            check=True,
        )
        assets, state = defaults().assets, folder / "state"
        driver, nothing = (
            QemuDriver(
                assets=assets, state_dir=state, meet=meet, binary=binary, accelerator=accelerator
            )
            for binary in (Path("/usr/bin/qemu-system-x86_64"), imagebuilder.BUSYBOX)
        )
        stub = firmware.patched(assets / "vmlinux", folder)
        yield Workshop(folder, accelerator, driver, nothing, layer, stub)


@dataclass(frozen=True)
class Stamp:
    """One moment on three clocks: the host's monotonic, the guest's counter and its time since boot."""

    host_ns: int
    counter: int
    boot_ns: int
    #: The guest's stamps were taken within this much of ``host_ns``.
    error_ns: int


async def read_clocks(process: GuestProcess, *, tries: int = 20) -> Stamp:
    """The tightest of several questions to our clock, which runs as ``process``."""
    stamps = []
    answers = process.outputs()
    for _ in range(tries):
        asked = time.monotonic_ns()
        await process.write(b"?")
        answer = await anext(answers)
        heard = time.monotonic_ns()
        process.taken(answer.fd, len(answer.data), at_once=True)
        counter, boot_ns = map(int, answer.data.split())
        stamps.append(Stamp((asked + heard) // 2, counter, boot_ns, (heard - asked) // 2))
    return min(stamps, key=lambda stamp: stamp.error_ns)
