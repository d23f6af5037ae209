"""Many starts at the same moment."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from bench.measure import Failed, by_turns
from bench.processes import available_mib, busy_ms
from bench.row import Goal, Row
from bench.stage import Client, Stage

#: Each is long: more say no more.
_MOST_RUNS = 3
#: Starts one after the other, whose CPU time is that of one.
_SINGLE = 10
#: What a start leaves to be done (a machine to take the place of the one used) is done by then.
_SETTLE_S = 1.0
#: A machine of today, all memory that it has touched.
_MACHINE_MIB = 150
#: How much slower than its CPU time explains: measuring it on a host that does other things is no more exact.
_EXPLAINED = 1.25


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """Fifty at once: how long until all are done, the slowest, and what the cores explain. None may hang."""
    count = stage.sizes.at_once
    if available_mib() < count * _MACHINE_MIB:
        raise Failed(f"{available_mib():.0f} MiB are too few for {count} machines at once")
    slowest: dict[str, list[float]] = {}
    explained: list[float] = []

    def ours() -> float:
        explained.append(count * _cpu_ms(stage.hyper) / (os.cpu_count() or 1))
        return _at_once(stage.hyper, count, slowest)

    values, peer = by_turns(
        min(runs, _MOST_RUNS),
        ours,
        lambda: _at_once(stage.docker, count, slowest),
        warm_up=False,
    )
    name = f"{count} starts at once, until the last has ended"
    command = f"{count} × `hyper run --rm busybox true` at once, the same with docker"
    on, note = stage.accelerator, f"at most {_MOST_RUNS} runs; all succeeded"
    yield Row(name, "ms", values, peer=peer, accelerator=on, command=command, note=note)
    mine, theirs = slowest[stage.hyper.program], slowest.get("docker", [])
    note = "from its own spawn to its end"
    yield Row("the slowest", "ms", mine, peer=theirs, accelerator=on, note=note, part=True)
    yield Row(
        f"{count} starts at once, beside the CPU time of {count} by the cores",
        "ms",
        values,
        Goal(_EXPLAINED, ratio=True),
        explained,
        accelerator=on,
        peer_name="explained",
        note=f"`/proc/stat` over {_SINGLE} starts one after the other, a share each, × {count} "
        f"/ {os.cpu_count()} cores; other work on the host counts to it",
    )


def _cpu_ms(client: Client) -> float:
    """Of one start, everything that works for it."""
    client.run("run", "--rm", client.image, "true")
    time.sleep(_SETTLE_S)
    before = busy_ms()
    for _ in range(_SINGLE):
        client.run("run", "--rm", client.image, "true")
    time.sleep(_SETTLE_S)
    return (busy_ms() - before) / _SINGLE


def _at_once(client: Client, count: int, slowest: dict[str, list[float]]) -> float:
    """How long all of them took together; the slowest is noted."""
    client.run("run", "--rm", client.image, "true")
    began = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        taken = [
            pool.submit(client.time_ms, "run", "--rm", client.image, "true") for _ in range(count)
        ]
    wall_ms = (time.perf_counter() - began) * 1000
    if failed := [error for error in (one.exception() for one in taken) if error]:
        raise Failed(f"{len(failed)} of {count} {client.program} failed, the first: {failed[0]}")
    slowest.setdefault(client.program, []).append(max(one.result() for one in taken))
    return wall_ms
