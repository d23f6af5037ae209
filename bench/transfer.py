"""A large image out of a store and into it: push, save, load."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support import images
from tests.support.registry import registry

from bench.measure import by_turns
from bench.row import Row
from bench.stage import Client, Stage

_MEGABYTES = 300


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """`push`, `save` and `load` of a 300 MB image, each beside docker's."""
    image = stage.registry.push(images.big(_MEGABYTES), "big:latest")
    clients = (stage.hyper, stage.docker_puller)
    for client in clients:
        client.run("pull", "-q", image)
    try:
        note = "into an empty registry each time; docker compresses again what it pulled"
        yield _row("push", runs, clients, lambda client: _push(client, image), note)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            yield from _archives(runs, clients, image, Path(folder) / "image.tar")
    finally:
        for client in clients:
            client.run("rmi", "-f", image)


def _archives(
    runs: int, clients: tuple[Client, Client], image: str, archive: Path
) -> Iterator[Row]:
    note = "`save -o` to a file"
    yield _row("save", runs, clients, lambda client: _save(client, image, archive), note)
    clients[1].run("save", "-o", str(archive), image)
    for client in clients:
        client.run("rmi", image)
    note = "of the same archive, docker's own, into stores without the image (`rmi` in between)"
    yield _row("load", runs, clients, lambda client: _load(client, image, archive), note)


def _row(
    name: str,
    runs: int,
    clients: tuple[Client, Client],
    deed: Callable[[Client], float],
    note: str,
) -> Row:
    ours, theirs = by_turns(runs, lambda: deed(clients[0]), lambda: deed(clients[1]))
    title = f"`{name}` of {_MEGABYTES} MB, 20 000 files, two layers"
    return Row(title, "ms", ours, peer=theirs, note=note)


def _push(client: Client, image: str) -> float:
    with registry() as target:
        name = f"{target.host}/big:latest"
        client.run("tag", image, name)
        try:
            os.sync()
            return client.time_ms("push", "-q", name)
        finally:
            client.run("rmi", name)


def _save(client: Client, image: str, archive: Path) -> float:
    os.sync()
    try:
        return client.time_ms("save", "-o", str(archive), image)
    finally:
        archive.unlink(missing_ok=True)


def _load(client: Client, image: str, archive: Path) -> float:
    os.sync()
    try:
        return client.time_ms("load", "-q", "-i", str(archive))
    finally:
        client.run("rmi", image)
