"""A hundred containers on one daemon: what it weighs, and how long a list of them takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.measure import by_turns
from bench.processes import resident_mib
from bench.row import Row
from bench.stage import Client, Stage

#: A hundred machines would keep an emulating host at booting for a minute: the rest are created, never started.
RUNNING, ALL = 20, 100


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """RSS of the daemons with 0, 20 and 100 containers, and how long a list of them takes."""
    with ExitStack() as stack:
        engines = [stack.enter_context(_hyper(stage)), stack.enter_context(_docker(stage))]
        for count in (0, RUNNING, ALL):
            for client, _ in engines:
                _fill(stack, client, count)
            ours, theirs = (sum(map(resident_mib, pids)) for _, pids in engines)
            yield Row(
                f"Daemon's RSS, {count} containers, {min(count, RUNNING)} of them running",
                "MiB",
                [ours],
                peer=[theirs],
                note="hyperd; dockerd and its containerd. Neither machines nor shims are counted",
            )
        ours_ms, theirs_ms = by_turns(
            runs, *(lambda client=client: client.time_ms("ps", "-aq") for client, _ in engines)
        )
    yield Row(
        f"`docker ps -aq` of {ALL} containers, {RUNNING} of them running",
        "ms",
        ours_ms,
        peer=theirs_ms,
        note="the same docker client on hyperd and on dockerd; the others are created, not started",
    )


def _fill(stack: ExitStack, client: Client, count: int) -> None:
    """There are ``count`` containers, the first of them running."""
    present = len(client.run("ps", "-aq").split())
    for number in range(present, count):
        verb = ("run", "-d") if number < RUNNING else ("create",)
        name = f"bench-many{number}"
        client.run(*verb, "-m", "64m", "--name", name, client.image, "sleep", "86400")
        stack.callback(client.run, "rm", "-f", name)


@contextmanager
def _hyper(stage: Stage) -> Iterator[tuple[Client, list[int]]]:
    with stage.fresh_hyperd() as daemon:
        client = Client("docker", daemon.host, stage.busybox)
        client.run("pull", "-q", client.image)
        yield client, [daemon.pid]


@contextmanager
def _docker(stage: Stage) -> Iterator[tuple[Client, list[int]]]:
    with stage.fresh_docker() as client:
        files = (client.folder / "pid", client.folder / "exec/containerd/containerd.pid")
        yield client, [int(file.read_text()) for file in files]
