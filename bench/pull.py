"""A large image from a registry into a store that does not have it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tests.support import images

from bench.measure import by_turns
from bench.row import Goal, Row
from bench.stage import Client, Stage

_MEGABYTES = 300


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """`pull` of a 300 MB image: hyper downloads, checks and converts; docker downloads, checks and unpacks."""
    image = stage.registry.push(images.big(_MEGABYTES), "big:latest")
    ours, theirs = by_turns(
        runs, lambda: _pull(stage.hyper, image), lambda: _pull(stage.docker_puller, image)
    )
    yield Row(
        f"`pull` of {_MEGABYTES} MB, 20 000 files, two gzip layers, ready to run",
        "ms",
        ours,
        Goal(1.0, ratio=True),
        theirs,
        command="`hyper pull -q IMAGE`, `docker pull -q IMAGE`",
        note="same registry, each store without the image (`rmi` in between)",
    )


def _pull(client: Client, image: str) -> float:
    # What earlier runs wrote is on its way to the disk: not in this one's time.
    os.sync()
    taken = client.time_ms("pull", "-q", image)
    client.run("rmi", image)
    return taken
