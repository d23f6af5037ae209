"""What the guest weighs: files on the host, memory in and around an idle machine, the smallest that works."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.machine import BOOT_TIMEOUT_S, Workshop, workshop
from bench.measure import Failed
from bench.processes import kib, resident_mib, rollup_mib
from bench.row import Goal, Row
from bench.stage import BUILD, Stage
from hyper.errors import HyperError

ROOT = Path(__file__).parents[1]
#: How long a fresh container is left alone before its memory is read.
_SETTLE_S = 1.0
_SMALLEST_MIB, _LARGEST_MIB, _STEP_MIB = 16, 96, 2


def files(stage: Stage, runs: int) -> Iterator[Row]:
    """Sizes of the two files that are the guest."""
    done = subprocess.run(
        [sys.executable, ROOT / "guest/hyperkernel/build.py"], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise Failed(f"no HyperKernel: {done.stderr[-300:]}")
    kernel = Path(done.stdout.strip()) / "bzImage"
    agent = BUILD / "hyperstart/hyperstart"
    yield Row("HyperKernel, bzImage", "MiB", [kernel.stat().st_size / 2**20], Goal(4.5))
    yield Row("HyperStart, stripped", "KiB", [agent.stat().st_size / 2**10], Goal(300))


def memory(stage: Stage, runs: int) -> Iterator[Row]:
    """An idle container of 128 MiB: seen from within, from the host, and the daemon beside it."""
    used, resident, proportional, huge, daemon = [], [], [], [], []
    for _ in range(runs):
        container = stage.hyper.run("run", "-d", stage.hyper.image, "sleep", "1000").strip()
        # Late work of a fresh guest is done by then, the daemon's too.
        time.sleep(_SETTLE_S)
        view = stage.hyperd.api.get(f"/containers/{container}/json")["Hyper"]
        resident.append(rollup_mib(view["Pid"], "Rss"))
        proportional.append(rollup_mib(view["Pid"], "Pss"))
        huge.append(rollup_mib(view["Pid"], "AnonHugePages"))
        daemon.append(resident_mib(stage.hyperd.pid))
        inside = stage.hyper.run("exec", container, "cat", "/proc/meminfo")
        used.append((kib(inside, "MemTotal") - kib(inside, "MemAvailable")) / 1024)
        stage.hyper.run("rm", "-f", container)
    on = stage.accelerator
    yield Row(
        "Memory used in an idle guest of 128 MiB",
        "MiB",
        used,
        Goal(20),
        accelerator=on,
        note="MemTotal − MemAvailable, `exec cat /proc/meminfo`",
    )
    yield Row("QEMU's RSS, idle", "MiB", resident, accelerator=on, note="smaps_rollup")
    yield Row("QEMU's PSS, idle", "MiB", proportional, accelerator=on, note="smaps_rollup")
    yield Row("of it in huge pages", "MiB", huge, accelerator=on, note="smaps_rollup", part=True)
    yield Row(
        "hyperd's RSS, one container running",
        "MiB",
        daemon,
        note="a daemon that has pulled and run others before",
    )
    yield Row("hyperd's RSS, just started", "MiB", [_fresh_daemon(stage) for _ in range(runs)])


def _fresh_daemon(stage: Stage) -> float:
    with stage.fresh_hyperd() as daemon:
        return resident_mib(daemon.pid)


def smallest(stage: Stage, runs: int) -> Iterator[Row]:
    """The smallest memory that runs `busybox true`, by the driver alone: the daemon refuses less than its minimum."""
    with workshop(stage.accelerator) as shop:
        size, below = asyncio.run(_search(shop, runs))
    yield Row(
        "Smallest memory that runs `busybox true`",
        "MiB",
        [float(size)],
        accelerator=stage.accelerator,
        note=f"{runs} of {runs} starts by the driver worked; with {size - _STEP_MIB} MiB: {below}",
    )


async def _search(shop: Workshop, runs: int) -> tuple[int, str]:
    """The size, and what happens with less."""
    bad, good = _SMALLEST_MIB - _STEP_MIB, _LARGEST_MIB
    why = ""
    while good - bad > _STEP_MIB:
        middle = (good + bad) // 2 // _STEP_MIB * _STEP_MIB
        failure = await _failure(shop, middle, 1)
        if failure:
            bad, why = middle, failure
        else:
            good = middle
    while failure := await _failure(shop, good, runs):
        good, why = good + _STEP_MIB, failure
    return good, why


async def _failure(shop: Workshop, memory_mib: int, times: int) -> str:
    """Why one of several starts did not work; empty if all did."""
    for _ in range(times):
        try:
            async with asyncio.timeout(2 * BOOT_TIMEOUT_S):
                async with shop.started("busybox", "true", memory_mib=memory_mib) as started:
                    ended = await started.process.exited
        except TimeoutError:
            return f"nothing within {2 * BOOT_TIMEOUT_S:g} s"
        except HyperError as error:
            return str(error).partition("\n")[0]
        if ended.status != 0:
            return f"status {ended.status}"
    return ""
