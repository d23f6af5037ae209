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
from hyper.guest.process import GuestProcess
from hyper.machine.qemu.driver import QemuDriver, group_limits, jail_for
from hyper.machine.qemu.machine import QemuMachine
from hyper.machine.spec import Disk, MachineSpec, UserNic
from hyper.network import user
from hyper.proto.message import ContainerCreate, ProcessFlag, ProcessStart, SandboxSetup
from hyper.sandbox.sandbox import MAIN_PROCESS, Plan, Sandbox
from hyper.sandbox.scratch import ScratchDisks
from hyper.system import cgroup, jail, launch

CLOCK_SOURCE = Path(__file__).with_name("clock.c")
#: A machine that has not come up by then does not.
BOOT_TIMEOUT_S = 20.0
_STUB_POLLS = 400
#: Of the range's end, where no sandbox of a daemon is.
_UID = jail.FIRST_MACHINE_UID + 59_999


class TimedDriver(QemuDriver):
    """Remembers when QEMU's monitor answered last (``up_ns``, CLOCK_MONOTONIC)."""

    up_ns = 0

    async def launch(self, spec: MachineSpec) -> QemuMachine:
        machine = await super().launch(spec)
        self.up_ns = time.monotonic_ns()
        return machine


@dataclass(frozen=True)
class Workshop:
    """A folder with a disk of busybox and our clock, and a driver that starts machines on it."""

    folder: Path
    driver: TimedDriver
    layer: Path
    #: A kernel that says when it is entered.
    stub: Path

    @asynccontextmanager
    async def sandbox(
        self, *args: str, memory_mib: int = 128
    ) -> AsyncIterator[tuple[Sandbox, GuestProcess]]:
        """A fresh sandbox as the daemon makes them (layer, scratch, card) that runs ``args``; gone afterwards.

        Raises:
            HyperError: it does not start.
        """
        with tempfile.TemporaryDirectory(prefix="m", dir=self.folder) as name:
            scratch = Path(name) / "scratch"
            await ScratchDisks(self.folder / "scratch").create(scratch)
            plan = self._plan(Path(name), scratch, args, memory_mib)
            made, process, _ = await Sandbox.launch(
                self.driver, plan, made=lambda _: None, boot_timeout_s=BOOT_TIMEOUT_S
            )
            try:
                yield made, process
            finally:
                await made.destroy()

    def _plan(self, run_dir: Path, scratch: Path, args: tuple[str, ...], memory_mib: int) -> Plan:
        card = user.attach("bench")
        disks = (Disk("layer0", self.layer, True), Disk("scratch", scratch, False))
        flags = ProcessFlag.INIT | ProcessFlag.STDIN
        return Plan(
            _spec(run_dir, disks, UserNic(card.mac, card.network), memory_mib),
            SandboxSetup("bench", (card.interface,)),
            ContainerCreate(1, ("layer0",), hostname="bench", scratch="scratch"),
            ProcessStart(MAIN_PROCESS, 1, args, flags, env=("PATH=/bin",)),
        )

    async def firmware_ticks(self) -> int:
        """What the guest's counter is when the firmware enters the kernel (see firmware.py).

        Raises:
            Failed: it does not come to that.
        """
        with tempfile.TemporaryDirectory(prefix="f", dir=self.folder) as name:
            card = user.attach("bench")
            scratch = self.folder / "scratch.ext4"
            scratch.touch()
            disks = (Disk("layer0", self.layer, True), Disk("scratch", scratch, False))
            spec = _spec(Path(name), disks, UserNic(card.mac, card.network), 128)
            machine = await self.driver.launch(replace(spec, kernel=self.stub))
            try:
                return await _first_words(machine)
            finally:
                await machine.kill()

    async def jail_ms(self) -> float:
        """How long the walls of a machine take around a program that does nothing, from spawn to end."""
        spec = _spec(self.folder, (), UserNic("", ""), 128)
        walls = jail_for(spec, binary=imagebuilder.BUSYBOX)
        began = time.perf_counter_ns()
        group = cgroup.discover().create(spec.name, group_limits(spec))
        jailed = await launch.start(walls, [str(imagebuilder.BUSYBOX), "true"], group=group)
        await jailed.outer.wait()
        ended = time.perf_counter_ns()
        jailed.inner.close()
        group.remove()
        return (ended - began) / 1e6


async def _first_words(machine: QemuMachine) -> int:
    """What the stub printed."""
    for _ in range(_STUB_POLLS):
        ticks = firmware.counter(machine.console_tail())
        if ticks is not None:
            return ticks
        await asyncio.sleep(0.05)
    raise Failed(f"the firmware did not get to the kernel: {machine.console_tail()!r}")


def _spec(run_dir: Path, disks: tuple[Disk, ...], card: UserNic, memory_mib: int) -> MachineSpec:
    assets = defaults().assets
    return MachineSpec(
        name=f"bench-{run_dir.name}",
        vcpus=1,
        memory_mib=memory_mib,
        kernel=assets / "vmlinux",
        initrd=assets / "initrd",
        disks=disks,
        nics=(card,),
        run_dir=run_dir,
        uid=_UID if os.geteuid() == 0 else None,
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
        driver = TimedDriver(
            assets=defaults().assets, state_dir=folder / "state", accelerator=accelerator
        )
        stub = firmware.patched(defaults().assets / "vmlinux", folder)
        yield Workshop(folder, driver, layer, stub)


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
