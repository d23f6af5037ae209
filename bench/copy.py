"""``docker cp`` of a large file into a running container and out of it, and its ``export``."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.measure import by_turns
from bench.row import Goal, Row
from bench.stage import Client, Stage

_MEGABYTES = 300
_CHUNK = bytes(range(256)) * 4096
_BOX = "bench-copy"


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """MB/s of `cp` of a large file into a container and out of it, and of `export`, beside docker's."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "big"
        with file.open("wb") as out:
            for _ in range(_MEGABYTES * 1_000_000 // len(_CHUNK) + 1):
                out.write(_CHUNK)
        for client in (stage.hyper, stage.docker):
            stack.enter_context(_container(client))
        into, target = [str(file), f"{_BOX}:/big"], str(folder / "back")
        note = "of a file into a running container"
        yield _row(stage, "host → guest", runs, into, note, least=200)
        out = [f"{_BOX}:/big", target]
        yield _row(stage, "guest → host", runs, out, "of the same out of it", least=200)
        words = ["export", "-o", target, _BOX]
        ours, theirs = by_turns(
            runs, lambda: _time(stage.hyper, words), lambda: _time(stage.docker, words)
        )
        yield Row(
            f"`export`, {_MEGABYTES} MB",
            "MB/s",
            ours,
            peer=theirs,
            accelerator=stage.accelerator,
            note="of the container with that file",
        )


def _row(stage: Stage, name: str, runs: int, words: list[str], note: str, *, least: float) -> Row:
    words = ["cp", *words]
    ours, theirs = by_turns(
        runs, lambda: _time(stage.hyper, words), lambda: _time(stage.docker, words)
    )
    return Row(
        f"`cp`, {name}, {_MEGABYTES} MB",
        "MB/s",
        ours,
        peer=theirs,
        goal=Goal(least, least=True),
        accelerator=stage.accelerator,
        note=note,
    )


def _time(client: Client, words: list[str]) -> float:
    began = time.perf_counter()
    client.run(*words)
    return _MEGABYTES / (time.perf_counter() - began)


@contextmanager
def _container(client: Client) -> Iterator[None]:
    client.run("run", "-d", "--name", _BOX, client.image, "sleep", "3600")
    try:
        yield
    finally:
        client.run("rm", "-f", _BOX)
