"""Whole commands, as a person waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from bench.measure import REST_S, Missing, by_turns
from bench.row import Goal, Row
from bench.stage import NO_POOL, NO_TEMPLATES, Client, Stage, waiting

_RUN = "`hyper run --rm busybox true`"
_NETWORK = "Docker: bridge network, overlay2, runc"


def run(stage: Stage, runs: int) -> Iterator[Row]:
    """`run --rm busybox true`, whole process, with templates and machines that wait (hyperd without options)."""
    before = waiting(stage.hyperd)
    row = _run_row(stage, stage.hyper, runs, "warm", Goal(0.40, ratio=True))
    found = waiting(stage.hyperd)
    if before and found:
        taken, missed = found.taken - before.taken, found.missed - before.missed
        row = replace(row, note=f"{taken} of {taken + missed} starts found a machine; {row.note}")
    yield row


def run_template(stage: Stage, runs: int) -> Iterator[Row]:
    """The same without machines that wait: each is a clone, made when it is asked for."""
    yield from _without(stage, runs, "template only", NO_POOL, Goal(0.80, ratio=True))


def run_cold(stage: Stage, runs: int) -> Iterator[Row]:
    """The same without templates: each machine boots."""
    yield from _without(stage, runs, "cold", NO_TEMPLATES, Goal(1200))


def _without(
    stage: Stage, runs: int, how: str, options: tuple[str, ...], goal: Goal
) -> Iterator[Row]:
    """A row of a hyperd with ``options``; one without figures when it refuses them."""
    try:
        with stage.warm_hyperd(*options) as (_, client):
            yield _run_row(stage, client, runs, how, goal, f"hyperd {' '.join(options)}")
    except Missing as error:
        on = stage.accelerator
        yield Row(_run_name(how), "ms", (), goal, accelerator=on, missing=str(error))


def _run_name(how: str) -> str:
    return f"`run --rm busybox true`, whole process, {how}"


def _run_row(
    stage: Stage, hyper: Client, runs: int, how: str, goal: Goal, options: str = ""
) -> Row:
    ours, theirs = by_turns(
        runs,
        lambda: hyper.time_ms("run", "--rm", hyper.image, "true"),
        lambda: stage.docker.time_ms("run", "--rm", stage.docker.image, "true"),
        rest_s=REST_S,
    )
    note = "; ".join(filter(None, [options, _NETWORK]))
    command = f"{_RUN}, `docker run --rm busybox true`"
    return Row(
        _run_name(how), "ms", ours, goal, theirs, stage.accelerator, note=note, command=command
    )


def version(stage: Stage, runs: int) -> Iterator[Row]:
    """`version`, whole process: the shortest round trip there is."""
    ours, theirs = by_turns(
        runs, lambda: stage.hyper.time_ms("version"), lambda: stage.docker.time_ms("version")
    )
    note = "client's start, one request over the socket, print"
    yield Row("`version`, round trip", "ms", ours, Goal(40), theirs, note=note)


def exec_(stage: Stage, runs: int) -> Iterator[Row]:
    """`exec` of `true` in a running container, whole process, beside docker's."""
    with ExitStack() as stack:
        box = stack.enter_context(_idle(stage.hyper))
        accelerator = stage.used_accelerator(box)
        their_box: list[str] = []

        def docker() -> float:
            if not their_box:
                their_box.append(stack.enter_context(_idle(stage.docker)))
            return stage.docker.time_ms("exec", *their_box, "true")

        ours, theirs = by_turns(runs, lambda: stage.hyper.time_ms("exec", box, "true"), docker)
    yield Row(
        "`exec` of `true` in a running container",
        "ms",
        ours,
        Goal(0.8, ratio=True),
        theirs,
        accelerator=accelerator,
        note="whole process of the client",
        command="`hyper exec ID true`, `docker exec ID true`",
    )


@contextmanager
def _idle(client: Client) -> Iterator[str]:
    """The id of a container that runs while the block lasts."""
    container = client.run("run", "-d", client.image, "sleep", "1000").strip()
    try:
        yield container
    finally:
        client.run("rm", "-f", container)
