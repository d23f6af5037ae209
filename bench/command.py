"""Whole commands, as a person waits for them."""

from __future__ import annotations

from collections.abc import Iterator

from bench.measure import by_turns
from bench.row import Goal, Row
from bench.stage import Stage


def run(stage: Stage, runs: int) -> Iterator[Row]:
    """A container from nothing to gone."""
    hyper, docker = stage.hyper, stage.docker
    ours, theirs = by_turns(
        runs,
        lambda: hyper.time_ms("run", "--rm", hyper.image, "true"),
        lambda: docker.time_ms("run", "--rm", docker.image, "true"),
    )
    yield Row(
        "`run --rm busybox true`, whole process, cold",
        "ms",
        ours,
        Goal(1200),
        theirs,
        accelerator=stage.accelerator,
        note="Docker: bridge network, overlay2, runc",
    )


def version(stage: Stage, runs: int) -> Iterator[Row]:
    """The shortest round trip there is."""
    hyper, docker = stage.hyper, stage.docker
    ours, theirs = by_turns(
        runs, lambda: hyper.time_ms("version"), lambda: docker.time_ms("version")
    )
    note = "client's start, one request over the socket, print"
    yield Row("`version`, round trip", "ms", ours, Goal(40), theirs, note=note)


def exec_(stage: Stage, runs: int) -> Iterator[Row]:
    """A program more in a running container."""
    hyper, docker = stage.hyper, stage.docker
    ids = [
        client.run("run", "-d", client.image, "sleep", "1000").strip() for client in (hyper, docker)
    ]
    accelerator = stage.used_accelerator(ids[0])
    ours, theirs = by_turns(
        runs,
        lambda: hyper.time_ms("exec", ids[0], "true"),
        lambda: docker.time_ms("exec", ids[1], "true"),
    )
    for client, container in zip((hyper, docker), ids, strict=True):
        client.run("rm", "-f", container)
    yield Row(
        "`exec` of `true` in a running container",
        "ms",
        ours,
        Goal(1.0, ratio=True),
        theirs,
        accelerator=accelerator,
        note="whole process of the client",
    )
