"""Cold boot: the hypervisor's spawn to the agent's hello, and where the time goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import astuple, dataclass

from bench.machine import Workshop, read_clocks, workshop
from bench.measure import Failed, by_turns
from bench.row import Goal, Row
from bench.stage import Stage
from hyper.system.tsc import TscMeter


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """Cold boot to the agent's hello, as the daemon says of real starts; then its parts, by the driver alone."""
    (booted,) = by_turns(runs, lambda: _start(stage))
    yield Row(
        "Cold boot: QEMU spawned → agent's hello, 128 MiB, 1 vCPU",
        "ms",
        booted,
        Goal(400),
        accelerator=stage.accelerator,
        command="`hyper run -d busybox sleep 1000`",
        note="its `Hyper.BootMs`, without templates; the agent answers the hello before "
        "it does what was asked along with it",
    )
    with workshop(stage.accelerator) as shop:
        found = asyncio.run(_repeat(shop, runs))
    for index, (name, how) in enumerate(_PARTS):
        values = [astuple(parts)[index] for parts in found]
        yield Row(name, "ms", values, accelerator=stage.accelerator, note=how, part=True)


def _start(stage: Stage) -> float:
    daemon, hyper = stage.cold
    container = hyper.run("run", "-d", hyper.image, "sleep", "1000").strip()
    machine = daemon.api.get(f"/containers/{container}/json")["Hyper"]
    hyper.run("rm", "-f", container)
    if machine["Accelerator"] != stage.accelerator and stage.accelerator != "auto":
        raise Failed(f"ran on {machine['Accelerator']}")
    return float(machine["BootMs"])


@dataclass(frozen=True)
class Parts:
    """Milliseconds of one boot, in the order of _PARTS; jail to agent add up to the first."""

    whole: float
    jail: float
    qemu: float
    firmware: float
    early: float
    kernel: float
    agent: float
    container: float
    qmp_up: float
    error: float


_PARTS = (
    (
        "by the driver alone, to a hello that nothing else was asked with",
        "no daemon; `spawned_ns` → HELLO, and only then the requests; the sum of the next six",
    ),
    (
        "jail",
        "walls and limits: the same start with busybox, which ends at once, in QEMU's place, just before",
    ),
    ("QEMU", "rest until the guest's counter (TSC) started, which is when its vCPU may run"),
    (
        "firmware",
        "first instruction → kernel's entry, by the counter; another boot, of a kernel patched to say so",
    ),
    (
        "kernel, before its clock",
        "entry → CLOCK_BOOTTIME 0: what the counter says less the firmware",
    ),
    ("kernel, from then on", "`boot_ns` of HELLO: CLOCK_BOOTTIME at HyperStart's main()"),
    ("HyperStart", "main() → HELLO read by the host"),
    (
        "(HyperStart, the container)",
        "after the hello: network, disks, overlay root, program started; asked → all answered",
    ),
    ("(spawned → QEMU's monitor answers)", "for comparison: `Driver.launch` returns then"),
    ("(error of the guest-to-host clock match)", "half of the shortest round trip"),
)


async def _repeat(shop: Workshop, runs: int) -> list[Parts]:
    meter = TscMeter()
    tsc_khz = await meter.khz()
    if tsc_khz is None:
        raise Failed("the parts of a boot need an invariant TSC")
    await _boot(shop, tsc_khz)
    return [await _boot(shop, tsc_khz) for _ in range(runs)]


async def _boot(shop: Workshop, tsc_khz: int) -> Parts:
    jail = await shop.jail_ms()
    firmware = await shop.firmware_ticks() / tsc_khz
    async with shop.started("clock") as started:
        stamp = await read_clocks(started.process)
    moments = started.moments
    # Three moments more on the host's clock.
    first_ns = stamp.host_ns - stamp.counter * 1_000_000 // tsc_khz
    kernel_ns = stamp.host_ns - stamp.boot_ns
    agent_ns = kernel_ns + started.boot_ns
    return Parts(
        whole=(moments.hello_ns - moments.spawned_ns) / 1e6,
        jail=jail,
        qemu=(first_ns - moments.spawned_ns) / 1e6 - jail,
        firmware=firmware,
        early=(kernel_ns - first_ns) / 1e6 - firmware,
        kernel=(agent_ns - kernel_ns) / 1e6,
        agent=(moments.hello_ns - agent_ns) / 1e6,
        container=(moments.running_ns - moments.asked_ns) / 1e6,
        qmp_up=(moments.up_ns - moments.spawned_ns) / 1e6,
        error=stamp.error_ns / 1e6,
    )
