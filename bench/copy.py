"""``docker cp`` of a large file into a running container and out of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.measure import by_turns
from bench.row import Row
from bench.stage import Client, Stage

_MEGABYTES = 300
_CHUNK = bytes(range(256)) * 4096
_BOX = "bench-copy"


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """MB/s of `cp` of a large file, into a container and out of it, beside docker's."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "big"
        with file.open("wb") as out:
            for _ in range(_MEGABYTES * 1_000_000 // len(_CHUNK) + 1):
                out.write(_CHUNK)
        for client in (stage.hyper, stage.docker):
            stack.enter_context(_container(client))
        into, target = [str(file), f"{_BOX}:/big"], str(folder / "back")
        yield _row(stage, "host → guest", runs, into, "of a file into a running container")
        yield _row(stage, "guest → host", runs, [f"{_BOX}:/big", target], "of the same out of it")


def _row(stage: Stage, name: str, runs: int, words: list[str], note: str) -> Row:
    ours, theirs = by_turns(
        runs, lambda: _copy(stage.hyper, words), lambda: _copy(stage.docker, words)
    )
    name = f"`cp`, {name}, {_MEGABYTES} MB"
    return Row(name, "MB/s", ours, peer=theirs, accelerator=stage.accelerator, note=note)


def _copy(client: Client, words: list[str]) -> float:
    began = time.perf_counter()
    client.run("cp", *words)
    return _MEGABYTES / (time.perf_counter() - began)


@contextmanager
def _container(client: Client) -> Iterator[None]:
    client.run("run", "-d", "--name", _BOX, client.image, "sleep", "3600")
    try:
        yield
    finally:
        client.run("rm", "-f", _BOX)
