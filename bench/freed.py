"""Memory that a guest's program has given back: how long until the host has it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from bench.measure import Failed
from bench.processes import family, rollup_mib
from bench.row import Goal, Row
from bench.stage import Client, Stage

_MEGABYTES = 500
#: The machine may keep so much more than it had.
_KEPT_MIB = 50
_PATIENCE_S, _EVERY_S, _SETTLE_S = 20.0, 0.5, 2.0
_BOX = "bench-freed"
#: Each is long: more say no more.
_MOST_RUNS = 5
_USE = f"dd if=/dev/zero of=/dev/shm/x bs=1M count={_MEGABYTES}"


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """A file in the guest's memory is written and removed; RSS of the machine's processes is read twice a second."""
    client = stage.hyper
    values, lasting = [], []
    for _ in range(min(runs, _MOST_RUNS)):
        seconds, more_mib = _once(client)
        values.append(seconds)
        lasting.append(more_mib)
    never = sum(map(math.isinf, values))
    told = (
        f"; not returned within {_PATIENCE_S:g} s in {never} of {len(values)} runs" if never else ""
    )
    yield Row(
        f"Memory freed by the program ({_MEGABYTES} MB) → back at the host",
        "s",
        values,
        Goal(10),
        accelerator=stage.accelerator,
        command=f"`hyper run -d --memory 1g --shm-size 600m busybox sleep`, `hyper exec ID sh -c '{_USE}; rm …'`",
        note=f"until RSS is within {_KEPT_MIB} MiB of before{told}; in the end it was at most {max(lasting):+.0f} MiB. "
        "No peer: what a container frees is the host's at once",
    )


def _once(client: Client) -> tuple[float, float]:
    """Seconds until the memory was back, or infinity; and what the machine has more than before in the end."""
    options = ("--name", _BOX, "--memory", "1g", "--shm-size", "600m")
    client.run("run", "-d", *options, client.image, "sleep", "86400")
    try:
        pid = int(client.run("inspect", "-f", "{{.Hyper.Pid}}", _BOX))
        client.run("exec", _BOX, "true")
        time.sleep(_SETTLE_S)
        before = _resident_mib(pid)
        client.run("exec", _BOX, "sh", "-c", _USE)
        touched = _resident_mib(pid) - before
        if touched < _MEGABYTES / 2:
            raise Failed(f"{_MEGABYTES} MB in the guest were {touched:.0f} MiB at the host")
        client.run("exec", _BOX, "rm", "/dev/shm/x")
        return _until_back(pid, before)
    finally:
        client.run("rm", "-f", _BOX)


def _until_back(pid: int, before: float) -> tuple[float, float]:
    began = time.monotonic()
    while (more := _resident_mib(pid) - before) > _KEPT_MIB:
        passed = time.monotonic() - began
        if passed > _PATIENCE_S:
            return math.inf, more
        time.sleep(_EVERY_S)
    return time.monotonic() - began, more


def _resident_mib(pid: int) -> float:
    return sum(rollup_mib(one, "Rss") for one in family(pid))
