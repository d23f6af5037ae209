"""What watching containers costs hyperd: its own CPU time while stats of twenty are streamed."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path

from bench.row import Goal, Row
from bench.stage import Stage

CONTAINERS = 20
_SECONDS = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """Percent of a core for streaming the stats of twenty containers; each run is ten seconds."""
    client = stage.hyper
    names = [f"stats{number}" for number in range(CONTAINERS)]
    try:
        for name in names:
            client.run("run", "-d", "-m", "64m", "--name", name, client.image, "sleep", "86400")
        with ExitStack() as streams:
            for name in names:
                answer = stage.hyperd.api.open(f"/containers/{name}/stats")
                streams.callback(answer.close)
                answer.readline()
                threading.Thread(target=_drain, args=(answer,), daemon=True).start()
            values = [_percent(stage.hyperd.pid) for _ in range(runs)]
        yield Row(
            f"Stats stream of {CONTAINERS} containers, hyperd's CPU",
            "% of a core",
            values,
            goal=Goal(5.0),
            accelerator=stage.accelerator,
            note=f"utime + stime of hyperd over {_SECONDS:g} s, one client a container",
        )
    finally:
        argv = client.argv("rm", "-f", *names)
        subprocess.run(argv, env=client.environ, capture_output=True, check=False)


def _drain(answer: HTTPResponse) -> None:
    """Read until the stream is closed."""
    try:
        while answer.readline():
            pass
    except (OSError, ValueError, AttributeError):
        return  # closed under us: measured enough


def _percent(pid: int) -> float:
    before, began = _used(pid), time.monotonic()
    time.sleep(_SECONDS)
    return 100 * (_used(pid) - before) / (time.monotonic() - began)


def _used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
