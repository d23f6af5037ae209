"""Containers made and started a second, for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bench.measure import Failed, by_turns
from bench.processes import available_mib
from bench.row import Goal, Row
from bench.stage import Client, Stage

_CLIENTS = (1, 4)
#: Each is long: more say no more.
_MOST_RUNS = 3
_SPARE_MIB = 1024
_NAME = "bench-creation"


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """`run -d` again and again, one at a time and four; all stay alive until the end."""
    count = stage.sizes.creations
    for clients in _CLIENTS:
        ours, theirs = by_turns(
            min(runs, _MOST_RUNS),
            partial(_per_second, lambda: stage.hyper, count, clients),
            partial(_per_second, lambda: stage.docker, count, clients),
            warm_up=False,
        )
        yield Row(
            f"Creations, {count} in a row, {clients} at a time",
            "1/s",
            ours,
            Goal(1.0, ratio=True, least=True),
            theirs,
            accelerator=stage.accelerator,
            command=f"{count} times `hyper run -d busybox sleep 86400`, the same with docker",
            note=f"at most {_MOST_RUNS} runs; all of a run are alive together, their removal does not count",
        )


def _per_second(engine: Callable[[], Client], count: int, clients: int) -> float:
    client = engine()
    client.run("run", "--rm", client.image, "true")
    try:
        began = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            for made in [pool.submit(_create, client, number) for number in range(count)]:
                made.result()
        return count / (time.perf_counter() - began)
    finally:
        client.attempt("rm", "-f", *(f"{_NAME}{number}" for number in range(count)))


def _create(client: Client, number: int) -> None:
    if available_mib() < _SPARE_MIB:
        raise Failed(f"the host's memory was used up by {number} containers")
    client.time_ms("run", "-d", "--name", f"{_NAME}{number}", client.image, "sleep", "86400")
